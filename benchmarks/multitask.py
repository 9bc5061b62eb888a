"""What learning to write costs next-item quality: NaviGen with cid2ins among its tasks, beside NaviGen without.

    python benchmarks/multitask.py [--dataset=ml-100k] [--data_path=FOLDER] [--weight=0.1] [--key=value]

The product's default pays nothing: a writer is trained beside the finished ranking model and changes no file of it
(`instructions.py` checks that). This is the other way, one model for all four tasks (`task_weights`, cid2ins above 0),
one seed, test NDCG@10 paired over users. The model without cid2ins is that of `quality.py`, if it has run.
"""

import argparse

from harness.common import Bar, write_results
from harness.ranking_runs import ranking_run, ratio
from recbole_navigen.comparison.estimates import PROTOCOLS
from recbole_navigen.config import Config
from recbole_navigen.config.reading import parse_argv
from recbole_navigen.evaluation.ranks import ndcg
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.runs.result import Run

LEAST = 0.99


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--weight", type=float, default=0.1, help="of the loss of cid2ins; cid2cid has 1")
    arguments, argv = parser.parse_known_args()
    settings = parse_argv(argv)
    weights = Config("NaviGen", arguments.dataset, config_dict=settings)["task_weights"]
    tasks = {"without cid2ins": weights, "with cid2ins": {**weights, "cid2ins": arguments.weight}}
    runs = {
        label: Run.load(ranking_run(arguments.dataset, {**settings, "task_weights": own})[0])
        for label, own in tasks.items()
    }
    table: dict[str, dict[str, str]] = {}
    bars = []
    for label, run in runs.items():
        table[label] = {"training minutes": f"{run.record['training_seconds'] / 60:.1f}"}
        for column, ranked in PROTOCOLS.items():
            table[label][f"NDCG@10 among {ranked}"] = str(bootstrap(ndcg(getattr(run.ranks, column), 10)))
    for column, ranked in PROTOCOLS.items():
        found = ratio([runs["with cid2ins"]], [runs["without cid2ins"]], column)
        title = f"with / without cid2ins, test NDCG@10 among {ranked}, interval {found.low:.3f} to {found.high:.3f}"
        bars.append(Bar(title, found.mean, f"at least {LEAST}", found.mean >= LEAST))
    write_results(f"multitask-{arguments.dataset}", bars, {"weight": arguments.weight, "table": table})


if __name__ == "__main__":
    main()
