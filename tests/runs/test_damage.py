"""Whatever is read from a run's folder is verified, and what is damaged is named in one sentence by every command."""

import logging
import shutil
from pathlib import Path

import pytest
from synthetic import write_atomic
from tiny_settings import NAVIGEN

from recbole_navigen.artefacts import read_record, write_record
from recbole_navigen.cli.compare import compare
from recbole_navigen.cli.generate import generate
from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.quick_start import Recommender, run_navigen
from recbole_navigen.runs.folder import own_folder
from recbole_navigen.runs.layout import RESULT
from recbole_navigen.runs.result import RESULT_KEYS, find_finished, finished_folders, read_result

SHAPES = {
    "empty": b"",
    "half": None,
    "binary": bytes(range(256)),
    "list": b"[1, 2]",
    "number": b"3",
    "null": b"null",
    "nothing in it": b"{}",
    "brackets without end": b"[" * 100_000,
    "number without end": b"9" * 5000,
    "not UTF-8": '{"model": "Käse"}'.encode("latin-1"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of NaviGen with a writer."""
    folder = tmp_path_factory.mktemp("damage")
    data = write_atomic(folder / "dataset", "tiny", users=20, items=25)
    quiet = {"state": "ERROR", "show_progress": False, "use_gpu": False, "epochs": 1, "align_epochs": 0}
    places = {"data_path": str(data), "checkpoint_dir": str(folder / "saved")}
    stages = {"training_stages": ["finetune", "write"]}
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = run_navigen("NaviGen", "tiny", config_dict={**NAVIGEN, **quiet, **places, **stages})["run_dir"]
    root.handlers[:] = handlers
    root.setLevel(level)
    return Path(found)


def copied(run: Path) -> Path:
    return Path(shutil.copytree(run, Path("saved") / run.name))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_damaged_result_of_any_shape_is_one_sentence(run, own_folder, shape, capsys, caplog):
    folder = copied(run)
    result, wanted = folder / RESULT, read_result(folder)["identity"]
    content = SHAPES[shape]
    result.write_bytes(result.read_bytes()[:500] if content is None else content)
    for command in (["--runs", str(folder)], ["--runs", str(run), str(folder)]):
        assert compare(command) == 1
        assert is_named(capsys.readouterr().err, result)
    assert generate([f"--run={folder}"]) == 1
    assert is_named(capsys.readouterr().err, result)
    with pytest.raises(DamagedArtefact, match=r"result\.json is damaged"):
        Recommender.load(folder)
    assert list(finished_folders("saved", wanted)) == [] and find_finished("saved", wanted) is None
    assert f"{result} is damaged" in caplog.text


def is_named(said: str, file: Path) -> bool:
    return said.startswith(f"error: {file} is damaged") and said.count("\n") == 1 and "delete" in said


@pytest.mark.parametrize("key", RESULT_KEYS)
def test_a_result_of_another_kind_is_one_sentence(run, own_folder, key, capsys):
    folder = copied(run)
    record = read_record(folder / RESULT)
    del record[key]
    write_record(folder / RESULT, record)
    with pytest.raises(InputError, match=f"says nothing of {key}"):
        Recommender.load(folder)
    assert compare(["--runs", str(folder)]) == 2 and capsys.readouterr().err.count("\n") == 1
    assert list(finished_folders("saved", record.get("identity", {}))) == []


def test_every_file_that_is_read_is_verified(run, own_folder):
    """One byte of each in turn: loading names the file, or the file is one that loading does not read."""
    folder = copied(run)
    unread = {"trained.json", "started.json", "run.lock", "ranks/ranks.parquet", "ranks/manifest.json"}
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert {name.partition("/")[0] for name in files} >= {"checkpoint", "identifiers", "tokenizer", "writer", RESULT}
    Recommender.load(folder)
    for name in sorted(files - unread):
        whole = (folder / name).read_bytes()
        middle = len(whole) // 2
        (folder / name).write_bytes(bytes([*whole[:middle], whole[middle] ^ 1, *whole[middle + 1 :]]))
        with pytest.raises(DamagedArtefact, match=name.rpartition("/")[2].replace(".", r"\.")):
            Recommender.load(folder)
        (folder / name).unlink()
        with pytest.raises((DamagedArtefact, InputError)):
            Recommender.load(folder)
        (folder / name).write_bytes(whole)
    Recommender.load(folder)
    for name in ("ranks/ranks.parquet", "ranks/manifest.json"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-10])
        assert compare(["--runs", str(folder)]) == 1
        (folder / name).write_bytes(whole)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"model": "Pop"}', bytes(range(200, 256))])
def test_no_run_goes_on_where_it_cannot_be_told_what_was_begun(own_folder, caplog, content):
    wanted = {"model": "Pop", "seed": 1}
    with pytest.raises(KeyboardInterrupt), own_folder_of(wanted) as (first, _):
        (first / "checkpoint").touch()
        raise KeyboardInterrupt
    (first / "started.json").write_bytes(content)
    with own_folder_of(wanted) as (second, goes_on):
        assert second != first and not goes_on
    assert "started.json is damaged" in caplog.text


def own_folder_of(wanted: dict):
    return own_folder(Path("saved"), "Pop-tiny", wanted)


@pytest.mark.parametrize("line", ["3", "[1]", "{", '{"op_code": 99}', "{}", '"x"', "\x00\x01"])
def test_a_damaged_journal_of_a_sweep_is_one_sentence(own_folder, line):
    study = pytest.importorskip("recbole_navigen.tuning.study")
    Path("sweep.log").write_text(f"{line}\n")
    with pytest.raises(InputError, match=r"the study cannot be kept in --storage=journal:sweep\.log"):
        study.open_study("s", ["maximize"], [], {}, "journal:sweep.log", "random", "none", 30, 3, 1)
