"""Write docs/reference/settings.md from the comments of properties/: every setting, its default and what it does.

python docs/make_settings.py
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "settings.md"
# File of properties/ -> who reads it.
FILES = {
    "overall.yaml": "All models and data sets",
    "model/NaviGen.yaml": "NaviGen",
    "supervision.yaml": "Supervision: in the setting `supervision` of a run, as `{name: value}`",
    "reinforce.yaml": "Reinforcement: in the setting `reinforce` of a run, as `{name: value}`",
    "generation.yaml": "Images and videos: `run_generate.py`",
}
_SETTING = re.compile(r"^(?P<name>\w+):\s*(?P<value>.*?)\s+# \((?P<kind>[^)]*)\) (?P<about>.+)$")
_INNER = re.compile(r"^\s+(?P<name>\S+?):\s*(?P<value>.*?)(\s+# \((?P<kind>[^)]*)\) (?P<about>.+))?$")
_HEADING = re.compile(r"^# (?P<text>.+)$")


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: its name, default, type and explanation, and the heading it stands below."""

    name: str
    value: str
    kind: str
    about: str
    heading: str


def rows(text: str) -> Iterator[Row]:
    """The settings of one yaml file, in order. A line that is neither setting nor comment is refused."""
    heading, outer = "", ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            heading = heading if outer else ""
            continue
        if found := _HEADING.match(line):
            heading, outer = found["text"].rstrip("."), ""
        elif found := _SETTING.match(line):
            outer = found["name"]
            yield Row(outer, found["value"], found["kind"], found["about"], heading)
        elif outer and (found := _INNER.match(line)):
            yield Row(f"{outer}.{found['name']}", found["value"], found["kind"] or "", found["about"] or "", heading)
        else:
            raise ValueError(f"line {number} is no setting with `# (type) explanation`: {line}")


def page() -> str:
    """The whole page."""
    lines = [
        "# Settings",
        "",
        "Made by `python docs/make_settings.py` from the comments of `properties/`; do not edit. Any of them may be",
        "given as `--key=value`, in a file of `--config_files` or in `config_dict`; later ones win. Those of RecBole",
        "and of its models are RecBole's own; `properties/model/` changes a few of their defaults.",
        "",
    ]
    for file, readers in FILES.items():
        lines += [f"## {readers}", "", f"`properties/{file}`", ""]
        heading = None
        for row in rows((ROOT / "properties" / file).read_text(encoding="utf-8")):
            if row.heading != heading:
                heading = row.heading
                lines += ["", *([f"### {heading}", ""] if heading else [])]
                lines += ["| setting | default | type | what it does |", "|---|---|---|---|"]
            cells = (f"`{row.name}`", f"`{row.value}`" if row.value else "", row.kind, row.about)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
