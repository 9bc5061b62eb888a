"""How many codes: collisions and quality of identifiers against K, on the run's own collaborative embeddings.

    python benchmarks/codes.py [--dataset=ml-100k] [--codes=32,64,128,256] [--epochs=0] [--data_path=...]

With `--epochs` it also trains NaviGen that long for each K and reports validation NDCG@10. Only the identifiers differ
between rows: the collaborative embeddings come from the cache of `benchmarks/runs/codes`.
"""

import argparse
from pathlib import Path

from harness.common import Bar, write_results
from recbole_navigen.config import Config
from recbole_navigen.config.reading import parse_argv
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.pipeline.check import code_count
from recbole_navigen.pipeline.train import build_navigen
from recbole_navigen.runs.stages import Stages

RUNS = Path(__file__).resolve().parent / "runs" / "codes"


def measure(dataset: str, codes: int | None, epochs: int, settings: dict) -> dict:
    """Identifier report for one K, and the best validation score after some epochs."""
    own = {"codes": codes, "checkpoint_dir": str(RUNS), "show_progress": False, "epochs": max(epochs, 1), **settings}
    config = Config("NaviGen", dataset, config_dict=own)
    config["run_dir"] = str(RUNS / f"{dataset}-{codes}")
    data = create_dataset(config)
    train, valid, _ = data_preparation(config, data)
    model, trainer = build_navigen(config, train, valid, Stages())
    report, trie = model.table.report["codes"], model.table.trie
    row = {
        "codes": code_count(config, model.table.n_items),
        "colliding_items": report["colliding_items_before"],
        "items_moved": report["items_moved"],
        "variance_left": [round(level["reconstruction_error"], 3) for level in report["per_level"]],
        "prefixes": [trie.n_nodes(level + 1) for level in range(trie.levels)],
    }
    if epochs:
        row["valid_ndcg@10"] = round(trainer.fit(train, valid, saved=False, show_progress=False)[0], 4)
    return row


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data_path", default="dataset/")
    parser.add_argument("--codes", default="32,64,128,256")
    parser.add_argument("--epochs", type=int, default=0)
    arguments, others = parser.parse_known_args()
    settings = {"data_path": arguments.data_path, **parse_argv(others)}
    rows = []
    for codes in arguments.codes.split(","):
        rows.append(measure(arguments.dataset, int(codes), arguments.epochs, settings))
        print(rows[-1], flush=True)
    moved = min(row["items_moved"] for row in rows)
    write_results(
        f"codes-{arguments.dataset}",
        [Bar("fewest items moved by a collision", moved, "reported", True)],
        {"epochs": arguments.epochs, "rows": rows},
    )


if __name__ == "__main__":
    main()
