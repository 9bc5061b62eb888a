"""New items: a tenth of the catalogue is withheld from training, added by text alone, and asked for among all items.

    python benchmarks/cold.py --dataset=ml-100k
    python benchmarks/cold.py --dataset=amazon-toys-2014 --data_path=FOLDER [--key=value]

The items that are withheld are drawn by a seed. NaviGen is trained on what is left of every user (leave-one-out: the
last two events are not trained on either), and the withheld items are added to it by `Recommender.add_items`. Each
event of a withheld item behind the last event of its user that was trained on is a target, so nothing of the user's
future is known to any model. Its history is what the user did before, without withheld items.

What the added items cost the others is compared with a control: a model that was trained on the same events and
those of the withheld items as well, for which these are items like any other. Its NDCG@10 of the other items falls too
when the withheld ones join the ranking: that part is the price of a larger catalogue. What it has above the model
without them when both rank the other items alone is the part of the data that was withheld. --without_control spares
this second training.

    python benchmarks/cold.py --dataset=ml-100k --part=users    # new users: cold_start/users.py
    python benchmarks/cold.py --dataset=ml-100k --part=choices  # how much statements weigh: cold_start/choices.py
    python benchmarks/cold.py --dataset=ml-100k --part=exposure  # what new items cost: cold_start/exposure.py

Baselines rank the same catalogue for the same histories: popularity in training; text nearest neighbours (mean cosine
of tf-idf to the last items); and a content-only model (ridge regression from the mean text of a history to that of the
next item, fitted to the training events).
"""

import argparse
import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from cold_start.items import (
    HELD_OUT,
    LEAST,
    RUNS,
    SHARE,
    cases,
    content,
    item_table,
    navigen,
    ndcg_of,
    neighbours,
    popularity,
    withhold,
)
from harness.common import Bar, write_results
from recbole_navigen.config import Config
from recbole_navigen.config.locate import dataset_folder
from recbole_navigen.config.reading import parse_value
from recbole_navigen.data import create_dataset
from recbole_navigen.data.histories import histories_of
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.quick_start import Recommender
from recbole_navigen.quick_start.run import finished_run
from recbole_navigen.serving.growing import EXPOSURE

WARM_LOSS = 0.01


def run_settings(seed: int, given: list[str]) -> dict[str, Any]:
    """Settings of all runs: those of the command line, as `--key=value`, above the benchmark's own."""
    settings: dict[str, Any] = {"checkpoint_dir": str(RUNS / "saved"), "seed": seed}
    for setting in given:
        key, _, value = setting.removeprefix("--").partition("=")
        settings[key] = parse_value(key, value)
    return settings


def control_run(name: str, smaller: Path, whole: dict[str, list[str]], cold: set[str], settings: dict) -> Path:
    """The run that knew the withheld items: trained on all events before the two that `cases` begins with.

    smaller: the data set that NaviGen was trained on. whole: what each user did. settings: of the run.
    """
    folder = RUNS / f"control-{settings['seed']}" / name
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(smaller / f"{name}.item", folder / f"{name}.item")
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user, events in whole.items():
        warm = [place for place, item in enumerate(events) if item not in cold]
        if len(warm) >= LEAST:
            kept = [*events[: warm[-HELD_OUT]], *(events[place] for place in warm[-HELD_OUT:])]
            lines += [f"{user}\t{item}\t{time}" for time, item in enumerate(kept)]
    (folder / f"{name}.inter").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    columns = {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
    return finished_run(name, config_dict={**columns, **settings, "data_path": str(folder.parent)})


def mean_of(values: dict[str, float]) -> float:
    """Mean over users."""
    return float(np.mean(list(values.values())))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data_path", default="dataset")
    parser.add_argument("--seed", type=int, default=2020)
    parser.add_argument("--part", choices=("items", "users", "choices", "exposure"), default="items")
    parser.add_argument("--without_control", action="store_true", help="spare the training of the second model")
    parser.add_argument("--exposure", type=float, default=EXPOSURE, help="of `Recommender.add_items`")
    arguments, settings = parser.parse_known_args(argv)
    name, seed = arguments.dataset, arguments.seed
    own = run_settings(seed, settings)
    if arguments.part != "items":
        measure = importlib.import_module(f"cold_start.{arguments.part}").measure
        return measure(name, arguments.data_path, own)

    # 1. The run, the whole histories, and what is asked.
    source, smaller = dataset_folder(arguments.data_path, name), RUNS / f"data-{seed}" / name
    cold = withhold(source, smaller, SHARE, seed)
    run = finished_run(name, config_dict={**own, "data_path": str(smaller.parent)})
    config = Config("NaviGen", name, config_dict={"data_path": str(source.parent), "state": "ERROR"})
    whole = histories_of(create_dataset(config))
    recommender = Recommender.load(run, device="cpu")
    warm_items = list(recommender.item_tokens)
    asked = cases(whole, cold)
    cold_cases = [case for case in asked if case[2] in cold]
    warm_cases = [case for case in asked if case[2] not in cold]
    train = {user: [item for item in events if item not in cold][:-HELD_OUT] for user, events in whole.items()}

    # 2. Warm items before and after, cold ones after.
    before = ndcg_of(navigen(recommender), warm_cases, warm_items)
    table, texts = item_table(config, source)
    added = recommender.add_items(table[table[config["ITEM_ID_FIELD"]].isin(cold)], arguments.exposure)
    items = list(recommender.item_tokens)
    near, rows, index = neighbours([texts[item] for item in items], items)
    rankers = {
        "NaviGen": navigen(recommender),
        "popularity": popularity(train, items),
        "text neighbours": near,
        "content only": content(train, rows, index, seed),
    }
    of_cold = {label: ndcg_of(rank, cold_cases, items) for label, rank in rankers.items()}
    of_warm = {label: ndcg_of(rank, warm_cases, items) for label, rank in rankers.items()}

    # 3. The control, which knew them.
    control = None
    if not arguments.without_control:
        knew = Recommender.load(control_run(name, smaller, whole, cold, own), device="cpu")
        also = [item for item in knew.item_tokens if item in cold]
        alone = mean_of(ndcg_of(navigen(knew), warm_cases, knew.item_tokens, also))
        beside = mean_of(ndcg_of(navigen(knew), warm_cases, knew.item_tokens))
        control = {
            "warm alone": alone,
            "warm beside withheld": beside,
            "lost to known items": 1 - beside / alone,
            "lost to less data": 1 - mean_of(before) / alone,
        }

    # 4. Bars.
    users = list(of_cold["NaviGen"])
    ours = np.array([of_cold["NaviGen"][user] for user in users])
    bars = []
    for label in list(rankers)[1:]:
        lead = bootstrap(ours - np.array([of_cold[label][user] for user in users]))
        bars.append(
            Bar(
                f"cold NDCG@10, NaviGen - {label}, interval {lead.low:.4f} to {lead.high:.4f}",
                lead.mean,
                "above 0",
                lead.low > 0,
            )
        )
    loss = 1 - mean_of(of_warm["NaviGen"]) / mean_of(before)
    bars.append(Bar("warm NDCG@10 lost to the added items", float(loss), f"at most {WARM_LOSS}", loss <= WARM_LOSS))
    means = {
        kind: {label: mean_of(own) for label, own in found.items()}
        for kind, found in (("cold", of_cold), ("warm", of_warm))
    }
    details = {
        "dataset": name,
        "withheld_items": len(cold),
        "cold": {"users": len(users), "targets": len(cold_cases)},
        "warm": {"users": len(before), "targets": len(warm_cases)},
        "ndcg@10": means | {"warm before": mean_of(before)},
        "control": control,
        "text_explains": added.explained,
        "ridge": added.strength,
        "exposure": arguments.exposure,
        "boost": added.boost,
    }
    write_results(f"cold-{name}", bars, details)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
