"""Write docs/reference/settings.md from the description in properties/: every setting, its default and what it may be.

python docs/make_settings.py
"""

import re
from pathlib import Path
from typing import Any

import yaml

from recbole_navigen.config.description import Setting, describe_file, every

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "settings.md"
# File of properties/ -> who reads it.
FILES = {
    "overall.yaml": "All models and data sets",
    "model/NaviGen.yaml": "NaviGen",
    "model/Transitions.yaml": "Transitions",
    "model/HSTU.yaml": "HSTU",
    "model/SASRecText.yaml": "SASRecText",
    "model/Ensemble.yaml": "Ensemble",
    "model/ReleasedNaviGen.yaml": "ReleasedNaviGen",
    "supervision.yaml": "Supervision: in the setting `supervision` of a run, as `{name: value}`",
    "teacher/openai.yaml": "An endpoint as teacher: in `teacher_model` or `judge_model` of the supervision",
    "teacher/transformers.yaml": "A local model as teacher: in `teacher_model` or `judge_model` of the supervision",
    "reinforce.yaml": "Reinforcement: in the setting `reinforce` of a run, as `{name: value}`",
    "generation.yaml": "Images and videos: `run_generate.py`",
    "recbole.yaml": "RecBole's own settings and those of its models: what they may be",
}
INTRODUCTION = """\
# Settings

Made by `python docs/make_settings.py` from the comments of `properties/`; do not edit. Any of them may be given as
`--key=value`, in a file of `--config_files` or in `config_dict`; later ones win. Dictionaries are merged name by name,
and dots lead into them: `--task_weights.dense=0` changes one weight and keeps the others. Only a `whole dict` is
replaced as a whole.

Names, types, ranges and what must fit each other are checked before anything is loaded. A name that nothing reads is
refused with the nearest one. How types are written: `recbole_navigen/config/description.py`.
"""


def shown(default: Any) -> str:
    """A default as yaml writes it, on one line."""
    text = yaml.safe_dump(default, default_flow_style=True, width=10_000, sort_keys=False).strip()
    return "~" if default is None else text.removesuffix("...").strip()


def rows(file: str) -> list[Setting]:
    """The settings of one file of properties/, in order; entries of a dictionary stand behind it."""
    described = every(describe_file(ROOT / "properties" / file))
    # What `dict of T` holds stands in the default of the dictionary already.
    return [setting for setting in described if setting.help]


def page() -> str:
    """The whole page."""
    lines = [INTRODUCTION]
    for file, readers in FILES.items():
        lines += [f"## {readers}", "", f"`properties/{file}`", ""]
        heading, with_default = None, file != "recbole.yaml"
        for row in rows(file):
            if row.heading != heading:
                heading = row.heading
                lines += ["", *([f"### {heading}", ""] if heading else [])]
                lines += ["| setting | default | type | what it does |", "|---|---|---|---|"] if with_default else []
                lines += [] if with_default else ["| setting | type | what it does |", "|---|---|---|"]
            default = [f"`{shown(row.default)}`"] if with_default else []
            cells = (f"`{row.name}`", *default, row.type, row.help)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
