"""From what an instruction's facts should be taken, and how they should be said: compared on validation items.

    python benchmarks/expectation.py [--dataset=ml-100k] [--data_path=FOLDER] [--users=1000] [--key=value]

Each user's history ends before the validation item, which is the target. The ranking model of `quality.py` gives the
probable items; plans of `supervision/planner.py` are drawn phrase by phrase, by the same draws for every setting, so no
writer is needed. Beside them stand the titles of the five best items. Compared are POOL
(1 is the item ranked first), HISTORY, LIFT and TEMPERATURE, one at a time; a label drawn of two; wordings one by one;
styles that do not say the kind; and clips called by one tag of their own in place of topics by their gain. A gap is own
target minus the targets of 20 other users; intervals are paired over users (bootstrap, 95%).
"""

import argparse
import random
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import numpy as np

from harness.common import Bar, write_results
from harness.ranking_runs import ranking_run
from instructions import held_out_users
from recbole_navigen.config import Config
from recbole_navigen.config.reading import parse_argv
from recbole_navigen.data import create_dataset, read_item_text
from recbole_navigen.encoders.sentences import SentenceSpace, packaged_encoder
from recbole_navigen.evaluation.instruction_scores import mismatched
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.quick_start import Recommender
from recbole_navigen.supervision import planner as planning
from recbole_navigen.supervision import wording
from recbole_navigen.supervision.dataset_facts import facts_of
from recbole_navigen.supervision.planner import planner_of
from recbole_navigen.supervision.plans import Brief
from recbole_navigen.supervision.settings import settings_of
from recbole_navigen.supervision.wording import realise

TITLES = "titles of the five best"
MOST = 50  # items of the widest pool
# What is changed: (where, name, value) each.
CHANGES: dict[str, list[tuple[Any, str, Any]]] = {
    f"{name} {value}": [(planning, name, value)]
    for name, values in {
        "POOL": (1, 5, 10, 20),
        "HISTORY": (0.0, 0.2, 0.6),
        "LIFT": (0.0, 0.4, 1.0),
        "TEMPERATURE": (0.5, 2.0),
        "FOREIGN": (0.0, 0.3, 1.0),
    }.items()
    for value in values
}
CHANGES["two labels, one of them drawn"] = [(planning, "LABELS", 2)]
CHANGES |= {
    f"always worded: {pattern}": [(wording, name, {"only": pattern}) for name in ("SEVERAL", "CLIPS")]
    for pattern in dict.fromkeys([*wording.SEVERAL.values(), *wording.ONE.values()])
}
CHANGES["styles that do not say the kind"] = [(planning.Planner, "_briefly", lambda *_: "film")]
CHANGES["one tag of each clip"] = [(planning.Planner, "_leading", lambda *_: [])]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--users", type=int, default=1000, help="at most so many, spread evenly")
    arguments, argv = parser.parse_known_args()
    folder, settings = ranking_run(arguments.dataset, parse_argv(argv))
    config = Config("NaviGen", arguments.dataset, config_dict=settings)
    dataset, model = create_dataset(config), Recommender.load(folder)
    index = {token: place for place, token in enumerate(model.table.item_tokens)}
    texts = read_item_text(config, dataset).text[1:]
    facts = facts_of(config, dataset, model.table.terms)
    planner = planner_of(settings_of(config), facts)

    # 1. Histories before the validation item, and what is probable after them.
    users, whole, _, media = held_out_users(model, arguments.users)
    histories, targets = [items[:-1] for items in whole], [index[items[-1]] for items in whole]
    tops = model.recommend_all(histories, MOST, exclude_history=True)

    def lines(change: list[tuple[Any, str, Any]]) -> list[str]:
        written = []
        with ExitStack() as changed:
            for where, name, value in change:
                changed.enter_context(patch.object(where, name, value))
            for user, history, top, medium in zip(users, histories, tops, media, strict=True):
                chances = [index[row.item] for row in top], [row.probability for row in top]
                brief = planner.brief([index[item] for item in history], *chances, medium, ())
                plan = drawn_plan(brief, random.Random(user))
                written.append(realise(plan, brief, planner.budget))
        return written

    # 2. Gaps of similarity.
    space = SentenceSpace(packaged_encoder())
    target_vectors = space([texts[item] for item in targets])
    written = {"default": lines([])}
    written[TITLES] = [", ".join(model.titles[row.item] for row in list(top)[:5]) for top in tops]
    written |= {label: lines(change) for label, change in CHANGES.items()}
    gaps, table = {}, {}
    for label, texts_of in written.items():
        vectors = space(texts_of)
        own = (vectors * target_vectors).sum(axis=1)
        control = [(vectors * target_vectors[other]).sum(axis=1) for other in mismatched(media)]
        gaps[label] = own - np.mean(control, axis=0)
        table[label] = {"similarity": str(bootstrap(own)), "similarity, gap": str(bootstrap(gaps[label]))}
        table[label]["gap - that of the default"] = str(bootstrap(gaps[label] - gaps["default"]))
    best = max(bootstrap(gaps[label] - gaps["default"]).low for label in CHANGES)
    bars = [Bar("low end of the lead of any other setting", best, "at most 0", best <= 0)]
    write_results(f"expectation-{arguments.dataset}", bars, {"users": len(users), "table": table})


def drawn_plan(brief: Brief, draws: random.Random) -> dict[str, str]:
    """A plan that is drawn phrase by phrase."""
    plan: dict[str, str] = {}
    for aspect in brief.aspects:
        plan[aspect] = draws.choice(brief.candidates(aspect, plan))
    return plan


if __name__ == "__main__":
    main()
