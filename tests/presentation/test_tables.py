"""One table in all its forms: the same digits everywhere, and nothing that breaks the form."""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from recbole_navigen.presentation.tables import Cell, Table, to_csv, to_latex, to_markdown, to_terminal

NASTY = ("[1, 2] # `q`", "a|b *c* <i>", "x^2 ~ {y} \\z", "50% & more_$")


@pytest.fixture
def tables() -> list[Table]:
    def row(name: str, value: float, best: bool) -> tuple[Cell, ...]:
        numbers = {"": value, " low": value - 1 / 3, " p": None if best else 0.01}
        return (Cell(name), Cell(f"{value:.4f}", "[0.1, 0.9]", "" if best else "†", best, numbers), Cell("failed"))

    rows = tuple(row(name, number + 1 / 3, number == 3) for number, name in enumerate(NASTY))
    first = Table("50% of_all", "all items", ("model", "NDCG@10", "users/s"), rows, ("† below {all}", "[one] note"))
    second = Table("more", "all items", ("model", "head"), tuple((row[0], row[1]) for row in rows))
    return [first, second]


def test_all_forms_show_the_same_digits(tables: list[Table]) -> None:
    console = Console(width=200, file=io.StringIO())
    console.print(*to_terminal(tables), sep="\n")
    for text in (console.file.getvalue(), to_markdown(tables), to_latex(tables)):
        for number in range(4):
            assert text.count(f"{number + 1 / 3:.4f}") == 2
        assert text.count("failed") == 4
    assert "**3.3333** " in to_markdown(tables) and r"\textbf{3.3333} {\scriptsize [0.1, 0.9]}" in to_latex(tables)
    assert "0.3333† " in to_markdown(tables) and r"0.3333$^\dagger$" in to_latex(tables)


def test_latex_is_escaped_and_balanced(tables: list[Table]) -> None:
    text = to_latex(tables)
    assert text.count(r"\begin{") == text.count(r"\end{") == 4 and text.count(r"\toprule") == 2
    bare = text.replace("\\\\", "").replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    body = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert sum(line.count(" & ") for line in body) == 5 * 2 + 5 * 1 and len(body) == 5 + 5 + 2
    for line in text.splitlines()[1:]:
        assert not re.search(r"(?<!\\)[%#_]", line), line
    # A bracket or star after these commands would be read as their argument, even in the next line.
    assert not re.search(r"(\\\\|\\toprule|\\midrule)\s*[\[*]", text)
    # A rule may stand only where no cell is open: right after the end of a row.
    before = re.findall(r"(.*)\n\\(?:mid|bottom)rule", text)
    assert len(before) == 4 and all(line.endswith(r" \\") for line in before)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex is installed")
def test_latex_compiles(tables: list[Table], tmp_path: Path) -> None:
    page = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{to_latex(tables)}\end{{document}}"
    (tmp_path / "page.tex").write_text(page, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_markdown_rows_have_as_many_cells_as_columns(tables: list[Table]) -> None:
    lines = [line for line in to_markdown(tables).splitlines() if line.startswith("|")]
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [4] * 6 + [3] * 6
    assert r"a\|b \*c\* \<i\>" in lines[3]


def test_csv_holds_all_tables_of_a_key_side_by_side_with_all_digits(tables: list[Table]) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(tables))))
    assert [line["model"] for line in lines] == list(NASTY) and {line["ranked"] for line in lines} == {"all items"}
    for number, line in enumerate(lines):
        assert float(line["NDCG@10"]) == float(line["head"]) == number + 1 / 3
        assert float(line["NDCG@10 low"]) == number
        assert line["NDCG@10 p"] == ("" if number == 3 else "0.01") and "users/s" not in line
