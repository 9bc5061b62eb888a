"""Small sources in the exact formats of real data sets, and the files that must come of them, byte for byte.

`fixtures/README.md` has the rules, `fixtures/*/TRAPS.md` what is hidden in each source.
"""

import json
import shlex
from pathlib import Path

import pytest

from recbole_navigen.cli.convert import convert

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(folder.name for folder in FIXTURES.iterdir() if folder.is_dir())
SUFFIXES = (".inter", ".item", ".user")


def command(name: str) -> list[str]:
    """The arguments of a fixture's command, with the paths of its sources."""
    words = shlex.split((FIXTURES / name / "expected" / "command.txt").read_text())[1:]
    sources = [str(FIXTURES / name / word) for word in words[1:] if not word.startswith("--")]
    return [words[0], *sources, *(word for word in words[1:] if word.startswith("--"))]


@pytest.mark.parametrize("name", NAMES)
def test_a_source_becomes_the_expected_files(name: str, own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = FIXTURES / name / "expected"
    report = json.loads((expected / "report.json").read_text())
    code = convert(command(name))
    output = capsys.readouterr()
    if code:
        assert code == report.get("exit_code"), output.err
        assert list(own_folder.rglob("*")) == []
        return
    assert "exit_code" not in report
    folder = own_folder / "dataset" / name
    written = {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix in SUFFIXES}
    assert written == {file.name: file.read_bytes() for file in expected.iterdir() if file.suffix in SUFFIXES}
    numbers = json.loads((folder / f"{name}.report.json").read_text())
    assert {key: numbers.get(key) for key in report} == report
    assert output.out.splitlines()[-1] == f"python run_navigen.py --dataset={name}"
    assert (own_folder / "properties" / "dataset" / f"{name}.yaml").is_file()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("amazon2023-truncated", ["Toy_Box.jsonl.gz", "the download is not whole"]),
        ("book-crossing", ["Book-Crossing has no times", "leave-one-out by time is not possible", "--order=file"]),
    ],
)
def test_a_refusal_says_why(name: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(command(name)) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and all(word in said for word in words)


@pytest.mark.parametrize("name", ["beeradvocate", "steam"])
def test_ids_that_stock_recbole_loses_are_escaped_when_asked(name: str, own_folder: Path) -> None:
    assert convert([*command(name), "--escape_ids"]) == 0
    written = (own_folder / "dataset" / name / f"{name}.inter").read_bytes()
    assert written == (FIXTURES / name / "expected_escaped" / f"{name}.inter").read_bytes()
    report = json.loads((own_folder / "dataset" / name / f"{name}.report.json").read_text())
    assert report["ids_escaped"] == 1


def test_files_of_a_split_may_be_named_in_any_order(own_folder: Path) -> None:
    """Train comes before valid and test where they share a millisecond, whatever the command says."""
    words = command("amazon2023-split")
    assert convert([words[0], *reversed(words[1:4]), *words[4:]]) == 0
    written = (own_folder / "dataset" / "amazon2023-split" / "amazon2023-split.inter").read_bytes()
    assert written == (FIXTURES / "amazon2023-split" / "expected" / "amazon2023-split.inter").read_bytes()
