"""Hashes tell values apart, writes are all or nothing, damage is found."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT

from recbole_navigen.artefacts import (
    MANIFEST,
    atomic_directory,
    content_hash,
    plain,
    read_json,
    read_record,
    stage_is_current,
    verify_manifest,
    write_json,
    write_record,
)
from recbole_navigen.errors import DamagedArtefact
from recbole_navigen.leftovers import OLD, beside
from recbole_navigen.work import Stage

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def canonical(value):
    """Return a value that compares equal exactly where hashes must be equal (1, 1.0 and True are three values)."""
    if isinstance(value, list | tuple):
        return ("list", *(canonical(entry) for entry in value))
    if isinstance(value, dict):
        return ("dict", *sorted((key, repr(canonical(entry))) for key, entry in value.items()))
    return (type(value).__name__, repr(value))


@given(values, values)
def test_hash_is_equal_exactly_for_equal_values(one, other) -> None:
    assert (content_hash(one) == content_hash(other)) == (canonical(one) == canonical(other))


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_hash_knows_where_parts_end(one, other) -> None:
    assert (content_hash(*one) == content_hash(*other)) == (one == other)


def test_hash_of_arrays() -> None:
    array = np.arange(6, dtype=np.int64).reshape(2, 3)
    same = np.asfortranarray(array)
    assert content_hash(array) == content_hash(same) == content_hash(array[:, ::-1][:, ::-1])
    others = [array.ravel(), array.T, array.astype(np.int32), array.astype(float), array + 1, array.tolist()]
    assert len({content_hash(other) for other in [array, *others]}) == 7
    assert content_hash(array.astype(">i8")) == content_hash(array)
    assert content_hash(np.float64(0.5), np.int64(3)) == content_hash(0.5, 3)
    assert content_hash(np.zeros((0, 3))) != content_hash(np.zeros((3, 0)))
    assert content_hash(np.array(["a", "b"])) != content_hash(np.array(["a", "c"]))


def test_hash_refuses_what_has_no_content() -> None:
    for value in (Path("x"), {1, 2}, object(), np.array([object()])):
        with pytest.raises(TypeError, match="content_hash"):
            content_hash(value)


def test_hash_is_the_same_in_another_process() -> None:
    value = "{'b': [1, 2.5, None], 'a': 'é'}"
    code = f"from recbole_navigen.artefacts import content_hash; print(content_hash({value}))"
    root = ROOT
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == content_hash({"a": "é", "b": (1, 2.5, None)})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


@given(json_values)
def test_json_round_trip(value) -> None:
    write_json("value.json", value)
    assert read_json("value.json") == value
    assert [path.name for path in Path().iterdir()] == ["value.json"]


def test_json_takes_numpy_and_replaces_whole_files(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "value.json"
    write_json(file, {"a": np.float32(0.5), np.int64(2): np.arange(2), "t": (True, np.bool_(False))})
    assert json.loads(file.read_text()) == {"a": 0.5, "2": [0, 1], "t": [True, False]}
    with pytest.raises(TypeError):
        write_json(file, {"a": object()})
    assert read_json(file)["a"] == 0.5 and len(list(file.parent.iterdir())) == 1
    file.write_text('{"a": ')
    with pytest.raises(DamagedArtefact, match=r"value\.json is damaged"):
        read_json(file)


records = st.dictionaries(st.text(st.characters(codec="utf-8")).filter(lambda key: key != "checksum"), json_values)


@given(records)
def test_a_record_comes_back(value) -> None:
    write_record("value.json", value)
    assert read_record("value.json") == value


@given(records, st.data())
def test_a_damaged_record_is_named_whatever_its_shape(value, data) -> None:
    """Any JSON, any bytes, a part of what was there, or what was there with one byte changed."""
    write_record("value.json", value)
    whole = Path("value.json").read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytes([*whole[:place], whole[place] ^ 1 << data.draw(st.integers(0, 7)), *whole[place + 1 :]])
    other = json_values.map(lambda any_json: json.dumps(any_json).encode())
    content = data.draw(other | st.binary() | st.sampled_from([whole[:place], flipped, b"[" * 100_000, b"9" * 5000]))
    Path("value.json").write_bytes(content)
    try:
        assert read_record("value.json") == value  # a space in another place, or nothing at all, has changed
    except DamagedArtefact as error:
        message = str(error)
        assert message.startswith("value.json is damaged") and message.endswith("delete it and run again")


def fill(directory: Path, inputs: dict, text: str = "first") -> None:
    with atomic_directory(directory, inputs) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "one.txt").write_text(text)
        (temporary / "two.bin").write_bytes(b"\0" * 100)


def test_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "stage"
    with pytest.raises(RuntimeError, match="killed"), atomic_directory(target) as temporary:
        (temporary / "half.txt").write_text("half")
        assert not target.exists()
        raise RuntimeError("killed")
    assert list(target.parent.iterdir()) == []

    fill(target, {"seed": 1})
    with pytest.raises(RuntimeError, match="killed"), atomic_directory(target) as temporary:
        raise RuntimeError("killed")
    assert (target / "inner" / "one.txt").read_text() == "first"
    fill(target, {"seed": 2}, "second")
    assert (target / "inner" / "one.txt").read_text() == "second"
    assert [path.name for path in target.parent.iterdir()] == ["stage"]


def test_directory_survives_a_kill_between_the_two_renames(tmp_path: Path) -> None:
    target = tmp_path / "sta[ge]"
    fill(target, {"seed": 1})
    target.rename(beside(target, OLD))
    fill(tmp_path / "sta[ge].2", {"seed": 2}, "of another")
    (tmp_path / "sta[ge].2").rename(beside(tmp_path / "sta[ge].2", OLD))
    assert stage_is_current(target, {"seed": 1})
    assert (target / "inner" / "one.txt").read_text() == "first"


def test_second_writer_of_the_same_directory_wins(tmp_path: Path) -> None:
    target = tmp_path / "stage"
    with atomic_directory(target) as temporary:
        (temporary / "mine.txt").write_text("mine")
        fill(target, {"seed": 1})
    assert [path.name for path in target.iterdir()] == ["mine.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]


def test_manifest_says_what_is_current(tmp_path: Path) -> None:
    target = tmp_path / "stage"
    inputs = {"seed": 1, "sizes": (3, 64), "hash": "ab", "rate": np.float64(0.25)}
    assert not stage_is_current(target, inputs)
    fill(target, inputs)
    assert stage_is_current(target, inputs) and stage_is_current(target, plain(inputs))
    assert not stage_is_current(target, {**inputs, "seed": 2})
    manifest = verify_manifest(target)
    assert set(manifest["files"]) == {"inner/one.txt", "two.bin"}
    assert manifest["files"]["two.bin"]["size"] == 100


def test_a_stage_is_made_once_from_its_inputs(tmp_path: Path) -> None:
    target, made = tmp_path / "stage", []

    def stage(seed: int) -> Stage:
        def make() -> str:
            made.append(seed)
            return f"made {len(made)}"

        return Stage(target, {"seed": seed}, make, lambda folder, text: (folder / "a").write_text(text), read)

    def read(folder: Path) -> str:
        return (folder / "a").read_text()

    first, second = stage(1), stage(1)
    assert (first.run(), first.cached) == ("made 1", False)
    assert (second.run(), second.cached) == ("made 1", True)
    assert stage(2).run() == "made 2" and stage(1).run() == "made 3"
    (target / "a").write_text("changed")
    assert stage(1).run() == "made 4" and made == [1, 2, 1, 1]


def test_a_folder_of_an_earlier_version_is_still_current(tmp_path: Path) -> None:
    """The layout on disk, spelled out: what runs and caches were closed with before there was a class for it."""
    (tmp_path / "a").write_text("kept")
    files = {"a": {"size": 4, "sha256": hashlib.sha256(b"kept").hexdigest()}}
    write_record(tmp_path / MANIFEST, {"format": 1, "inputs": {"seed": 1}, "files": files})
    old = (tmp_path / MANIFEST).read_bytes()
    kept = Stage(tmp_path, {"seed": 1}, lambda: 1 / 0, lambda *_: None, lambda folder: (folder / "a").read_text())
    assert kept.run() == "kept" and kept.cached
    with atomic_directory(tmp_path / "new", {"seed": 1}) as folder:
        (folder / "a").write_text("kept")
    assert (tmp_path / "new" / MANIFEST).read_bytes() == old


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", ["inner/one.txt", "two.bin", MANIFEST])
def test_damage_is_found_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage) -> None:
    target = tmp_path / "stage"
    fill(target, {"seed": 1})
    if name == MANIFEST and damage is cut:
        damage = lambda file: file.write_bytes(file.read_bytes()[:-20])  # noqa: E731 (the last byte is a line feed)
    damage(target / name)
    with pytest.raises(DamagedArtefact, match=name.replace(".", r"\.")):
        verify_manifest(target)
    assert not stage_is_current(target, {"seed": 1})
    assert "building it again" in caplog.text


def test_manifest_of_another_format_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "stage"
    fill(target, {})
    manifest = json.loads((target / MANIFEST).read_text())
    manifest["format"] = 99
    manifest["checksum"] = content_hash({key: manifest[key] for key in ("format", "inputs", "files")})
    write_json(target / MANIFEST, manifest)
    with pytest.raises(DamagedArtefact, match="format 99"):
        verify_manifest(target)
