"""New items: what their exposure costs the others, by three levers on the scores that text predicts for them.

    python benchmarks/cold.py --dataset=ml-100k --part=exposure [--data_path=FOLDER] [--key=value]

Measured twice: on *validation* items, a tenth of those that `--part=items` leaves to the training, withheld from a
training of their own, by which the default is chosen; and on the withheld items of `--part=items` themselves. Levers:

    boost     b nats are added to the scores of all new items, which is what `exposure` chooses
    level     and each item's mean score over histories is drawn to that of all new items, by half
    spread    and what an item's score has above or below its own mean counts 1.5 times

Reported is the NDCG@10 that trained items lose, and that of the new ones, against text neighbours and content alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cold_start.items import (
    AT_ONCE,
    HELD_OUT,
    RUNS,
    SHARE,
    cases,
    content,
    item_table,
    navigen,
    ndcg_of,
    neighbours,
    withhold,
)
from harness.common import write_results
from recbole_navigen.config import Config
from recbole_navigen.config.locate import dataset_folder
from recbole_navigen.data import create_dataset
from recbole_navigen.data.histories import histories_of
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.quick_start import Recommender
from recbole_navigen.quick_start.run import finished_run

VALIDATION_SEED = 1
BOOSTS = (-3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
LEVERS = {"boost": (0.0, 1.0), "level": (0.5, 1.0), "spread": (0.0, 1.5), "level and spread": (0.5, 1.5)}
Case = tuple[str, list[str], str]


def curve(name: str, source: Path, smaller: Path, settings: dict[str, Any], draw: int) -> dict[str, Any]:
    """What every lever does at every boost.

    Args:
        source: folder of the data set. smaller: where it is written without the withheld items. settings: of the run.
        draw: seed of the items that are withheld.
    """
    # 1. The run, new items as they are predicted, and the scores of all items behind every history.
    cold = withhold(source, smaller, SHARE, draw)
    run = finished_run(name, config_dict={**settings, "data_path": str(smaller.parent)})
    config = Config("NaviGen", name, config_dict={"data_path": str(source.parent), "state": "ERROR"})
    whole = histories_of(create_dataset(config))
    recommender = Recommender.load(run, device="cpu")
    old, asked = len(recommender.item_tokens), cases(whole, cold)
    of_cold, of_warm = ([case for case in asked if (case[2] in cold) == new] for new in (True, False))
    table, texts = item_table(config, source)
    recommender.add_items(table[table[config["ITEM_ID_FIELD"]].isin(cold)], exposure=0)
    items, rank = list(recommender.item_tokens), navigen(recommender)

    def scores(part: Sequence[Case]) -> np.ndarray:
        histories = [history for _, history, _ in part]
        return np.concatenate(
            [rank(histories[begin : begin + AT_ONCE]) for begin in range(0, len(part), AT_ONCE)]
        ).astype(np.float64)

    warm, new = scores(of_warm), scores(of_cold)
    before = np.mean(list(ndcg_in(warm[:, :old].copy(), of_warm, items[:old]).values()))
    near, rows, index = neighbours([texts[item] for item in items], items)
    train = {user: [item for item in events if item not in cold][:-HELD_OUT] for user, events in whole.items()}
    rivals = {"text neighbours": near, "content only": content(train, rows, index, settings["seed"])}
    others = {label: ndcg_of(own, of_cold, items) for label, own in rivals.items()}

    # 2. Levers. Means are over the histories of trained targets.
    mean = warm[:, old:].mean(axis=0)
    points = []
    for lever, (level, spread) in LEVERS.items():
        for boost in BOOSTS:
            moved = []
            for own in (warm, new):
                after = own.copy()
                after[:, old:] = mean + spread * (own[:, old:] - mean) - level * (mean - mean.mean()) + boost
                moved.append(after)
            found = ndcg_in(moved[1], of_cold, items)
            point = {"lever": lever, "boost": boost, "cold": float(np.mean(list(found.values())))}
            point["warm lost"] = float(1 - np.mean(list(ndcg_in(moved[0], of_warm, items).values())) / before)
            for label, other in others.items():
                lead = bootstrap(np.array([found[user] - other[user] for user in found]))
                point[label] = [lead.low, lead.mean, lead.high]
            points.append(point)
            shown = "  ".join(f"{label} {point[label][0]:+.4f}" for label in others)
            print(f"{lever:18s} {boost:+.1f}  cold {point['cold']:.4f}  warm lost {point['warm lost']:.4f}  {shown}")
    means = {label: float(np.mean(list(own.values()))) for label, own in others.items()}
    return {"withheld": len(cold), "targets": len(of_cold), "users": len(others["content only"]), "cold": means} | {
        "points": points
    }


def ndcg_in(scores: np.ndarray, asked: Sequence[Case], items: Sequence[str]) -> dict[str, float]:
    """`ndcg_of` scores that are there, (cases, N)."""
    parts = iter(range(0, len(asked), AT_ONCE))

    def rank(histories: Sequence[Sequence[str]]) -> np.ndarray:
        begin = next(parts)
        return scores[begin : begin + len(histories)]

    return ndcg_of(rank, asked, items)


def measure(name: str, data_path: str, settings: dict[str, Any]) -> int:
    """The benchmark. settings: of the runs, `seed` among them."""
    seed, source = settings["seed"], dataset_folder(data_path, name)
    smaller = RUNS / f"data-{seed}" / name
    withhold(source, smaller, SHARE, seed)
    inner = RUNS / f"data-{seed}-valid" / name
    details = {
        "validation": curve(name, smaller, inner, settings, VALIDATION_SEED),
        "test": curve(name, source, smaller, settings, seed),
    }
    write_results(f"cold-exposure-{name}", [], {"dataset": name, **details})
    return 0
