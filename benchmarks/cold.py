"""New items: a tenth of the catalogue is withheld from training, added by text alone, and asked for among all items.

    python benchmarks/cold.py --dataset=ml-100k --draws=3
    python benchmarks/cold.py --dataset=amazon-toys-2014 --data_path=FOLDER [--key=value]

The items that are withheld are drawn by a seed, with `--draws` from several, each with a training of its own; a user's
value is then the mean over the draws. NaviGen is trained on what is left of every user (leave-one-out: the last two
events are not trained on either), and the withheld items are added to it by `Recommender.add_items`. Each event of a
withheld item behind the last event of its user that was trained on is a target, so nothing of the user's future is
known to any model. Its history is what the user did before, without withheld items. Withheld items whose text has no
word cannot be added by it and are not asked for; how many these are is reported.

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
from recbole_navigen.identifiers.terms import terms_of_new
from recbole_navigen.quick_start import Recommender
from recbole_navigen.quick_start.run import finished_run
from recbole_navigen.serving.growing import EXPOSURE

WARM_LOSS = 0.01
OURS, BEFORE, ALONE, BESIDE = "NaviGen", "warm before", "control, warm alone", "control, warm beside withheld"


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


def measured(name: str, data_path: str, given: list[str], seed: int, exposure: float, with_control: bool) -> dict:
    """One draw of withheld items: NDCG@10 of each user by ranker, and what is reported beside it."""
    own = run_settings(seed, given)
    # 1. The run, the whole histories, and what is asked.
    source, smaller = dataset_folder(data_path, name), RUNS / f"data-{seed}" / name
    cold = withhold(source, smaller, SHARE, seed)
    run = finished_run(name, config_dict={**own, "data_path": str(smaller.parent)})
    config = Config("NaviGen", name, config_dict={"data_path": str(source.parent), "state": "ERROR"})
    whole = histories_of(create_dataset(config))
    recommender = Recommender.load(run, device="cpu")
    warm_items = list(recommender.item_tokens)
    table, texts = item_table(config, source)
    order = sorted(cold)
    terms = terms_of_new([texts[item] for item in order], recommender.table.terms)
    by_text = {item for item, own in zip(order, terms, strict=True) if own}  # without a word none is added by its text
    asked = cases(whole, cold)
    cold_cases = [case for case in asked if case[2] in by_text]
    warm_cases = [case for case in asked if case[2] not in cold]
    train = {user: [item for item in events if item not in cold][:-HELD_OUT] for user, events in whole.items()}

    # 2. Warm items before and after, cold ones after.
    values = {BEFORE: ndcg_of(navigen(recommender), warm_cases, warm_items)}
    added = recommender.add_items(table[table[config["ITEM_ID_FIELD"]].isin(by_text)], exposure)
    items = list(recommender.item_tokens)
    near, rows, index = neighbours([texts[item] for item in items], items)
    rankers = {
        OURS: navigen(recommender),
        "popularity": popularity(train, items),
        "text neighbours": near,
        "content only": content(train, rows, index, seed),
    }
    values |= {f"cold, {label}": ndcg_of(rank, cold_cases, items) for label, rank in rankers.items()}
    values |= {f"warm, {label}": ndcg_of(rank, warm_cases, items) for label, rank in rankers.items()}

    # 3. The control, which knew them.
    if with_control:
        knew = Recommender.load(control_run(name, smaller, whole, cold, own), device="cpu")
        also = [item for item in knew.item_tokens if item in cold]
        values[ALONE] = ndcg_of(navigen(knew), warm_cases, knew.item_tokens, also)
        values[BESIDE] = ndcg_of(navigen(knew), warm_cases, knew.item_tokens)
    details = {
        "withheld items": len(cold),
        "without a word": len(cold) - len(by_text),
        "cold targets": len(cold_cases),
        "warm targets": len(warm_cases),
    }
    details |= {"text explains": added.explained, "ridge": added.strength, "boost": added.boost}
    return {"values": values, "details": details}


def pooled(draws: list[dict]) -> dict[str, dict[str, float]]:
    """Each user's mean over the draws of items in which there was something to ask, by what is measured."""
    found: dict[str, dict[str, list[float]]] = {}
    for draw in draws:
        for label, values in draw["values"].items():
            for user, value in values.items():
                found.setdefault(label, {}).setdefault(user, []).append(value)
    return {label: {user: float(np.mean(own)) for user, own in users.items()} for label, users in found.items()}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data_path", default="dataset")
    parser.add_argument("--seed", type=int, default=2020)
    parser.add_argument("--draws", type=int, default=1, help="of withheld items, each with a training of its own")
    parser.add_argument("--part", choices=("items", "users", "choices", "exposure"), default="items")
    parser.add_argument("--without_control", action="store_true", help="spare the training of the second model")
    parser.add_argument("--exposure", type=float, default=EXPOSURE, help="of `Recommender.add_items`")
    arguments, given = parser.parse_known_args(argv)
    name, seed = arguments.dataset, arguments.seed
    if arguments.part != "items":
        measure = importlib.import_module(f"cold_start.{arguments.part}").measure
        return measure(name, arguments.data_path, run_settings(seed, given))

    shared = (arguments.exposure, not arguments.without_control)
    draws = [measured(name, arguments.data_path, given, seed + draw, *shared) for draw in range(arguments.draws)]
    values = pooled(draws)
    means = {label: mean_of(own) for label, own in values.items()}
    users = list(values[f"cold, {OURS}"])
    bars = []
    for label in ("popularity", "text neighbours", "content only"):
        differences = [values[f"cold, {OURS}"][user] - values[f"cold, {label}"][user] for user in users]
        lead = bootstrap(np.array(differences))
        text = f"cold NDCG@10, NaviGen - {label}, interval {lead.low:.4f} to {lead.high:.4f}"
        bars.append(Bar(text, lead.mean, "above 0", lead.low > 0))
    loss = 1 - means[f"warm, {OURS}"] / means[BEFORE]
    bars.append(Bar("warm NDCG@10 lost to the added items", loss, f"at most {WARM_LOSS}", loss <= WARM_LOSS))
    details = {"dataset": name, "exposure": arguments.exposure, "draws": [draw["details"] for draw in draws]}
    details |= {"cold users": len(users), "warm users": len(values[BEFORE]), "ndcg@10": means}
    if ALONE in means:
        known, less = (1 - means[label] / means[ALONE] for label in (BESIDE, BEFORE))
        details["control"] = {"lost to known items": known, "lost to less data": less}
    write_results(f"cold-{name}", bars, details)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
