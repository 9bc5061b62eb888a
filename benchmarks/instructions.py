"""Instructions of a trained NaviGen for held-out targets, beside three simpler ways to write them.

    python benchmarks/instructions.py [--dataset=ml-100k] [--data_path=FOLDER] [--users=1000] [--key=value]

Each test user's history ends before the test item; that item is the target, which no training saw. Compared are NaviGen
and (a) the instruction searched for the most popular item, the same for everyone, (b) the instruction searched for the
user's last item, and (c) NaviGen trained on rows that do not name the target's terms. Similarity is the cosine of
sentence embeddings (all-MiniLM-L6-v2, extra `offline`), which neither search nor training used, and of tf-idf. A gap is
own target minus the targets of other users; intervals are paired over users (bootstrap, 95%). The same run without
cid2ins tells what the task costs in next-item NDCG@10. Finished runs in runs/instructions are found again.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from common import Bar, write_results

from recbole_navigen.artefacts import read_json
from recbole_navigen.config import Config
from recbole_navigen.data import create_dataset, read_item_text
from recbole_navigen.evaluation.instructions import PERSONAL, InstructionScores, score_instructions
from recbole_navigen.evaluation.ranks import ndcg
from recbole_navigen.evaluation.similarity import SentenceSpace, TfidfSpace, packaged_encoder
from recbole_navigen.evaluation.statistics import bootstrap, interval, resampled_means
from recbole_navigen.evaluation.user_ranks import UserRanks
from recbole_navigen.language.tags import MEDIA
from recbole_navigen.quick_start import Recommender, run_navigen
from recbole_navigen.quick_start.generate import WRITING_WEIGHT
from recbole_navigen.quick_start.runs import finished_folders, identity
from recbole_navigen.quick_start.supervised import roles_of, settings_of
from recbole_navigen.settings import parse_argv
from recbole_navigen.supervision.build import search_settings
from recbole_navigen.supervision.evolution import evolve
from recbole_navigen.supervision.protocol import Sample

RUNS = Path(__file__).resolve().parent / "runs" / "instructions"
LEAST_NDCG = 0.99  # of the model without cid2ins


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--users", type=int, default=1000, help="at most so many, spread evenly")
    arguments, argv = parser.parse_known_args()
    settings = {"checkpoint_dir": str(RUNS / "saved"), **parse_argv(argv)}
    name = arguments.dataset

    # 1. Three runs.
    config = Config("NaviGen", name, config_dict=settings)
    weights = {task: weight for task, weight in config["task_weights"].items() if task != "cid2ins"}
    settings = {**settings, "task_weights": {**weights, "cid2ins": WRITING_WEIGHT}}
    supervision = {**(config["supervision"] or {}), "teach_terms": False}
    folders = {
        "NaviGen": _run(name, settings),
        "without cid2ins": _run(name, {**settings, "task_weights": weights}),
        "NaviGen, no TIDs taught": _run(name, {**settings, "supervision": supervision}),
    }
    models = {label: Recommender.load(folder) for label, folder in folders.items() if label != "without cid2ins"}
    model = models["NaviGen"]

    # 2. Held-out users, their targets, and the instruction that the search finds for each.
    dataset = create_dataset(config)
    texts = dict(zip(model.table.item_tokens, read_item_text(config, dataset).text[1:], strict=True))
    terms = dict(zip(model.table.item_tokens, model.table.terms, strict=True))
    known = [user for user in model.users if len(model.history_of(user)) >= 3]
    users = known[:: -(-len(known) // arguments.users)]
    histories = [model.history_of(user)[:-1] for user in users]
    targets = [model.history_of(user)[-1] for user in users]
    media = [MEDIA[place % 2] for place in range(len(users))]
    domain = settings_of(config)["domain"]
    roles = roles_of(config, model.table.terms)

    def searched(items: list[str], seen: list[list[str]]) -> list[str]:
        samples = [
            Sample(user, tuple(terms[one] for one in before), terms[item], domain, medium)
            for user, item, before, medium in zip(users, items, seen, media, strict=True)
        ]
        results = evolve(samples, roles.teacher, roles.judge, search_settings(settings_of(config))).results
        return ["" if result is None else result.draft.prompt for result in results]

    def answers(items: list[str], written: list[str]) -> list[str]:
        pairs = zip(items, written, strict=True)
        return [json.dumps({"target_tid": list(terms[item]), "target_ins": text}) for item, text in pairs]

    references = searched(targets, histories)
    counts = Counter(item for user in model.users for item in model.history_of(user)[:-2])
    popular = [counts.most_common(1)[0][0]] * len(users)
    one = dict(zip(media[:2], searched(popular, [[]] * len(users))[:2], strict=True))
    last = [history[-1] for history in histories]
    written = {
        "searched for the target": answers(targets, references),
        "most popular item": answers(popular, [one[medium] for medium in media]),
        "last item": answers(last, searched(last, [history[:-1] for history in histories])),
    }
    found = {label: recommender.instruct(histories, media) for label, recommender in models.items()}
    written |= {label: [row.answer for row in rows] for label, rows in found.items()}

    # 3. Scores by two spaces; everything else is the same in both.
    target_texts, target_terms = [texts[item] for item in targets], [terms[item] for item in targets]
    spaces = {"sentences": SentenceSpace(packaged_encoder()), "tf-idf": TfidfSpace(list(texts.values()))}
    scores: dict[str, dict[str, InstructionScores]] = {
        space: {
            label: score_instructions(rows, target_terms, target_texts, references, vectors)
            for label, rows in written.items()
        }
        for space, vectors in spaces.items()
    }
    table = {label: _row(scores, label) for label in written}

    # 4. Bars.
    ours = scores["sentences"]["NaviGen"]
    valid = float(ours.values["valid"].mean())
    bars = [Bar("valid answers", valid, "1", valid == 1.0)]
    for measure in ("target_similarity", "tid_f1"):
        gap = bootstrap(ours.gap(measure))
        bars.append(Bar(f"{measure}, personalisation gap, low end", gap.low, "above 0", gap.low > 0))
        for other in ("most popular item", "last item"):
            more = bootstrap(ours.gap(measure) - scores["sentences"][other].gap(measure))
            table[f"NaviGen - {other}"] = {**table.get(f"NaviGen - {other}", {}), f"{measure}, gap": str(more)}
            bars.append(Bar(f"{measure}, gap - gap of {other}, low end", more.low, "above 0", more.low > 0))
    ranks = [ndcg(UserRanks.load(folders[label]).rank, 10) for label in ("NaviGen", "without cid2ins")]
    draws = resampled_means(np.array(ranks))
    ratio = interval(ranks[0].mean() / ranks[1].mean(), draws[0] / draws[1])
    title = f"next-item NDCG@10, with / without cid2ins, interval {ratio.low:.3f} to {ratio.high:.3f}"
    bars.append(Bar(title, ratio.mean, f"at least {LEAST_NDCG}", ratio.mean >= LEAST_NDCG))
    examples = [
        {
            "user": user,
            "history": [model.titles[item] for item in history[-5:]],
            "true next": model.titles[target],
            "model's next": model.titles[row.recommended.item],
            "answer": row.answer,
        }
        for user, history, target, row in list(zip(users, histories, targets, found["NaviGen"], strict=True))[:5]
    ]
    stages = {label: read_json(folder / "result.json")["stages"] for label, folder in folders.items()}
    write_results(
        f"instructions-{name}",
        bars,
        {"users": len(users), "domain": domain, "table": table, "stages": stages, "examples": examples},
    )


def _run(dataset: str, settings: dict) -> Path:
    """Folder of a finished run with these settings, trained if there is none."""
    config = Config("NaviGen", dataset, config_dict=settings)
    known = next(finished_folders(config["checkpoint_dir"], identity(config)), None)
    return known or Path(run_navigen("NaviGen", dataset, config_dict=settings)["run_dir"])


def _row(scores: dict[str, dict[str, InstructionScores]], label: str) -> dict[str, str]:
    """One writer's scores as text."""
    main = scores["sentences"][label]
    row = {name: str(bootstrap(values)) for name, values in main.values.items()}
    row |= {f"{name}, gap": str(bootstrap(main.gap(name))) for name in PERSONAL}
    lexical = scores["tf-idf"][label]
    for name in ("target_similarity", "reference_similarity"):
        row[f"{name}, tf-idf"] = str(bootstrap(lexical.values[name]))
        row[f"{name}, tf-idf, gap"] = str(bootstrap(lexical.gap(name)))
    row |= {name: f"{value:.4f}" for name, value in main.diversity.items()}
    return row | {"refused": json.dumps(main.refused)}


if __name__ == "__main__":
    main()
