"""Write docs/results.md, every result there is, and the table of README, from the JSON files of benchmarks/results.

python benchmarks/leaderboard.py

Of several measurements of a model the newest counts, and of those of one day the one of most seeds. A row is marked
where what it measures has changed since: its settings, or the syntax, without comments, docstrings and annotations, of
the files that decide how its model learns and ranks (`FILES`). That needs git; without it no row is marked.
"""

import ast
import functools
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.common import RESULTS
from harness.ranking_runs import settings_of

ROOT = Path(__file__).resolve().parent.parent
PAGE, README = ROOT / "docs" / "results.md", ROOT / "README.md"
BEGIN, END = "<!-- made by benchmarks/leaderboard.py -->\n", "<!-- end -->"
SETS = ("ml-100k", "amazon-toys-2014", "amazon-games-2018", "microlens-50k")
METRICS = tuple(f"{metric}, {ranked} items" for ranked in ("all", "unseen") for metric in ("NDCG@10", "Recall@10"))
COSTS = ("seeds", "training min", "parameters")
IN_README = ("NaviGen", "SASRec", "HSTU", "Transitions", "ItemKNN", "Pop")
_ROWS = ("data/order.py", "data/sequences.py", "data/loader.py", "training/user_rows.py", "evaluation/ranks.py")
_NETWORK = ("blockwise", "build", "item_model", "legal_codes", "repeats", "softmax", "starts", "text_model")
_NETWORK += ("tree_decoder", "causal_filter", "memory")
_TABLES = ("balanced", "codes", "embeddings", "neighbours", "table", "terms")
FILES = {
    "every": tuple(f"recbole_navigen/{name}" for name in _ROWS),
    "Transitions": (
        "properties/model/Transitions.yaml",
        "recbole_navigen/baselines/transitions.py",
        "recbole_navigen/identifiers/neighbours.py",
    ),
    "HSTU": ("properties/model/HSTU.yaml", "recbole_navigen/baselines/hstu.py"),
    "SASRec + text": ("properties/model/SASRecText.yaml", "recbole_navigen/baselines/sasrec_text.py"),
    "NaviGen": (
        "properties/model/NaviGen.yaml",
        *(f"recbole_navigen/network/{name}.py" for name in _NETWORK),
        *(f"recbole_navigen/identifiers/{name}.py" for name in _TABLES),
        *(f"recbole_navigen/training/{name}.py" for name in ("averaging", "schedule", "sft")),
        *(f"recbole_navigen/model/{name}.py" for name in ("calibration", "navigen", "ranking")),
        *(f"recbole_navigen/pipeline/{name}.py" for name in ("collaborative", "recoding")),
    ),
}
_MARK = re.compile(r" ?°(?: \([^)]*\))?")


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one data set, as it was measured."""

    dataset: str
    label: str
    cells: Mapping[str, str]
    settings: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def command(self) -> str:
        """What measures this row again."""
        words = [f"python benchmarks/quality.py --dataset={self.dataset} --models={_quoted(self.label)}"]
        words += [f"--seeds={self.cells['seeds']} --part={re.sub(r'[^a-z0-9]+', '-', self.label.lower()).strip('-')}"]
        return " ".join(words + ["--data_path=FOLDER"] * ("data_path" in self.result["command"]))

    @property
    def age(self) -> str:
        """Empty, or what has changed of what this row measures."""
        now = settings_of(self.dataset).get(self.label, {})
        changed = ["settings"] if "settings" in self.result and dict(self.settings) != now else []
        kind = next((kind for kind in FILES if self.label.startswith(kind)), "every")
        files = changed_since(self.result["commit"].rstrip("+"), tuple({*FILES["every"], *FILES[kind]}))
        return ", ".join(changed + [f"{files} file{'s' * (files > 1)}"] * (files > 0))


def _quoted(label: str) -> str:
    return f"'{label}'" if " " in label else label


@functools.cache
def changed_since(commit: str, paths: tuple[str, ...]) -> int:
    """How many files below some paths say something else than they did in a commit."""
    listed = _git("diff", "--name-only", "--no-renames", commit, "HEAD", "--", *paths).split()
    return sum(_meaning(name, _git("show", f"{commit}:{name}")) != _meaning(name, _now(name)) for name in listed)


def _now(name: str) -> str:
    return (ROOT / name).read_text("utf-8") if (ROOT / name).is_file() else ""


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def _meaning(name: str, text: str) -> str:
    """A file without what does not change what it does."""
    if not name.endswith(".py"):
        return "\n".join(line.partition("#")[0].rstrip() for line in text.splitlines())
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for part in ("annotation", "returns"):
            if hasattr(node, part):
                setattr(node, part, None)
        if isinstance(getattr(node, "body", None), list):
            node.body = [each for each in node.body if not _is_text(each)]
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def results() -> list[dict[str, Any]]:
    """What every benchmark has left, by name."""
    return [json.loads(file.read_text("utf-8")) for file in sorted(RESULTS.glob("*.json"))]


def leaderboard(measured: list[dict[str, Any]]) -> dict[str, list[Row]]:
    """Data set -> one row a model, the best of the unseen items first."""
    best: dict[tuple[str, str], Row] = {}
    for result in measured:
        dataset = next((name for name in SETS if result["name"].startswith(f"quality-{name}")), None)
        for label, cells in (result["table"] if dataset else {}).items():
            settings = result.get("settings", {}).get(label) or settings_of(dataset).get(label, {})
            # Marks of a paired test hold within one comparison alone.
            row = Row(dataset, label, {key: re.sub("[†‡]", "", cell) for key, cell in cells.items()}, settings, result)
            known = best.setdefault((dataset, label), row)
            if _rank(row) > _rank(known):
                best[dataset, label] = row
    rows = sorted(best.values(), key=lambda row: row.cells[METRICS[2]], reverse=True)
    return {name: [row for row in rows if row.dataset == name] for name in SETS}


def _rank(row: Row) -> tuple[str, int]:
    return row.result["date"], int(row.cells["seeds"].split()[0])


def readme_table(board: Mapping[str, list[Row]]) -> str:
    """The table of README: NDCG@10 of some models on all data sets, in both protocols."""
    lines = ["| NDCG@10 | ranked items | " + " | ".join(IN_README) + " |", "|---|---" + "|---" * len(IN_README) + "|"]
    for dataset, rows in board.items():
        own = {row.label: row for row in rows}
        for ranked in ("all", "unseen"):
            cells = [_short(own.get(label), f"NDCG@10, {ranked} items") for label in IN_README]
            top = max(cells)
            lines.append(
                f"| {dataset} | {ranked} | " + " | ".join(f"**{c}**" if c == top else c for c in cells).strip() + " |"
            )
    days = sorted(row.result["date"] for rows in board.values() for row in rows if row.label in IN_README)
    return "\n".join(lines) + f"\n\nMeasured between {days[0]} and {days[-1]}.\n"


def _short(row: Row | None, column: str) -> str:
    if row is None:
        return "-"
    mean, _, interval = row.cells[column].partition(" ")
    return f"{mean[1:]} {interval.replace('0.', '.')}"


def page(measured: list[dict[str, Any]], board: Mapping[str, list[Row]]) -> str:
    """docs/results.md."""
    return "\n".join([*_head(), *_boards(board), *_questions(), *_bars(measured), *_places(measured), ""])


def _head() -> Iterator[str]:
    yield "# Results\n"
    yield "*Made by `python benchmarks/leaderboard.py` from `benchmarks/results/*.json`.*\n"
    yield (
        "How well each model finds the next item of a user, on four data sets. The last item of each user by time is "
        "the one to be found, the whole catalogue is ranked, and NDCG@10 and Recall@10 are means over seeds with 95% "
        "bootstrap intervals over users. *All items*: what the user had before stays in the ranking, which is "
        "RecBole's rule. *Unseen items*: it is hidden. Protocol and statistics: [comparison.md](comparison.md). What "
        "NaviGen's lead is made of, and where it has none: [quality.md](quality.md).\n"
    )
    yield (
        "° marks a row that is older than what it measures, with how much has changed since in the settings and the "
        "files that decide how its model learns and ranks. Minutes were taken on two cores that other work used, too.\n"
    )


def _boards(board: Mapping[str, list[Row]]) -> Iterator[str]:
    for dataset, rows in board.items():
        yield f"## {dataset}\n"
        about = re.match(r"((?:# .*\n)+)", (ROOT / "properties" / "dataset" / f"{dataset}.yaml").read_text("utf-8"))[1]
        yield about.replace("# ", "").replace("\n", " ").split(". ")[0] + ".\n"
        yield "| model | " + " | ".join((*METRICS, *COSTS)) + " | measured |"
        yield "|---" * (len(METRICS) + len(COSTS) + 2) + "|"
        for row in rows:
            cells = [row.cells[column] for column in (*METRICS, *COSTS)]
            age = f" ° ({row.age})" if row.age else ""
            yield f"| {row.label} | {' | '.join(cells)} | {row.result['date']}, {row.result['commit']}{age} |"
        yield "\n| model | settings | machine | measured again by |\n|---|---|---|---|"
        for row in rows:
            settings = ", ".join(f"{key}: {value}" for key, value in row.settings.items() if key != "seeds")
            yield f"| {row.label} | {settings or 'the defaults'} | {_machine(row.result)} | `{row.command}` |"
        yield ""


def _questions() -> Iterator[str]:
    yield "## What else is measured\n"
    yield "| benchmark | what it measures |\n|---|---|"
    for file in sorted((ROOT / "benchmarks").rglob("*.py")):
        text = file.read_text("utf-8")
        if re.search(r"^from harness.common import .*write_results", text, re.MULTILINE):
            about = " ".join(ast.get_docstring(ast.parse(text)).split("\n\n")[0].split())
            yield f"| `{file.relative_to(ROOT)}` | {_cell(about)} |"
    yield ""


def _bars(measured: list[dict[str, Any]]) -> Iterator[str]:
    yield "## Goals of this version\n"
    yield "What was to be reached, what was, and whether it holds; those that do not hold stand here, too.\n"
    yield "| measurement | goal | value | to be | holds |\n|---|---|---|---|---|"
    for result in measured:
        for bar in result["bars"]:
            holds = "yes" if bar["holds"] else "**no**"
            yield f"| {result['name']} | {_cell(bar['name'])} | {bar['value']:.4g} | {bar['goal']} | {holds} |"
    yield ""


def _places(measured: list[dict[str, Any]]) -> Iterator[str]:
    yield "## Measurements\n"
    yield "Each is `benchmarks/results/NAME.json`, with all its numbers and the versions of packages.\n"
    yield "| name | command | date | commit | machine |\n|---|---|---|---|---|"
    for result in measured:
        told = f"{result['date']} | {result['commit']} | {_machine(result)}"
        yield f"| {result['name']} | `{_cell(result['command'].strip())}` | {told} |"


def _machine(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    processor = machine["processor"].replace("(R)", "").replace(" Processor", "")
    threads = f"{machine['threads']} thread{'s' * (machine['threads'] > 1)}"
    return f"{processor} ({machine['vector_instructions']}), {threads}, {machine['memory_gib']:.0f} GiB"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def unmarked(text: str) -> str:
    """A text without the marks of age, which depend on the commit that is looked at."""
    return _MARK.sub("", text)


def main() -> None:
    measured = results()
    board = leaderboard(measured)
    PAGE.write_text(page(measured, board), encoding="utf-8")
    before, _, rest = README.read_text("utf-8").partition(BEGIN)
    README.write_text(before + BEGIN + readme_table(board) + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
