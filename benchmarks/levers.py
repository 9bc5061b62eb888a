"""What each lever is worth, one at a time: validation NDCG@10 of NaviGen with one setting changed, beside its defaults.

    python benchmarks/levers.py [--dataset=amazon-toys-2014] [--data_path=FOLDER] [--epochs=5] [--levers=NAME,NAME]

All validation users, one seed, few epochs (so that a lever costs minutes); intervals are paired over users and leave
out what another seed would change. The levers stand in `levers.yaml`. Finished ones are kept in runs/levers.
"""

import argparse
from pathlib import Path

import numpy as np
from common import Bar, write_results

from recbole_navigen.artefacts import content_hash, read_json, write_json
from recbole_navigen.config import Config
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.evaluation.ranks import ndcg, searched_ranks
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.quick_start import run_navigen
from recbole_navigen.quick_start.pipeline import load_navigen
from recbole_navigen.settings import read_settings

HERE = Path(__file__).resolve().parent
RUNS = HERE / "runs" / "levers"
DEPTH = 20
PROTOCOLS = ("all items", "unseen items")


def measured(dataset: str, data_path: str, settings: dict, epochs: int, seed: int) -> dict:
    """Ranks of all validation users (2, B), share of the dense score, and minutes of one setting; kept."""
    file = RUNS / dataset / f"{content_hash([settings, epochs, seed])[:16]}.json"
    if file.is_file():
        return read_json(file)
    shared = {"data_path": data_path, "checkpoint_dir": str(RUNS / "saved"), "show_progress": False, "state": "WARNING"}
    shared |= {"seed": seed, "epochs": epochs, "eval_step": epochs, "metrics": ["NDCG"], "topk": [10]}
    run = Path(run_navigen("NaviGen", dataset, config_dict={**shared, **settings})["run_dir"])
    result = read_json(run / "result.json")
    config = Config("NaviGen", dataset, config_dict={**shared, **settings})
    config["validation_users"] = None
    train_data, valid_data, _ = data_preparation(config, create_dataset(config))
    model = load_navigen(config, train_data._dataset, run)
    ranks = searched_ranks(model, valid_data, DEPTH)
    record = {
        "settings": settings,
        "ranks": [part.tolist() for part in ranks],
        "share": None if model.lm.dense is None else float(model.lm.dense.share),
        "parameters": result["parameters"]["total"],
        "minutes": result["training_seconds"] / 60,
    }
    write_json(file, record)
    return record


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="amazon-toys-2014")
    parser.add_argument("--data_path", default="dataset/")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=2020)
    parser.add_argument("--levers", help="names of levers.yaml, with semicolons; all by default")
    arguments = parser.parse_args()
    levers = read_settings(HERE / "levers.yaml")
    names = ["defaults", *arguments.levers.split(";")] if arguments.levers else list(levers)
    given = (arguments.dataset, arguments.data_path)
    records = {}
    for name in names:
        records[name] = measured(*given, levers[name], arguments.epochs, arguments.seed)
        base = ndcg(np.array(records["defaults"]["ranks"]), 10)
        table = {}
        for label, record in records.items():
            values = ndcg(np.array(record["ranks"]), 10)
            row = table[label] = {"parameters": f"{record['parameters']:,}", "minutes": f"{record['minutes']:.1f}"}
            row["share of the dense score"] = "-" if record["share"] is None else f"{record['share']:.2f}"
            for protocol, ours, theirs in zip(PROTOCOLS, values, base, strict=True):
                row[f"valid ndcg@10, {protocol}"] = f"{ours.mean():.4f}"
                row[f"less the defaults, {protocol}"] = str(bootstrap(ours - theirs))
        details = {"table": table, "epochs": arguments.epochs, "seed": arguments.seed}
        bar = Bar("levers measured, of those in levers.yaml", len(table) - 1, "reported", True)
        write_results(f"levers-{arguments.dataset}", [bar], details)


if __name__ == "__main__":
    main()
