"""Finished runs together: two SASRecs of different seeds, SASRec with what Transitions count, and TIGER's layout with a
SASRec that reranks it.

    python benchmarks/ensembles.py --dataset=ml-100k [--data_path=FOLDER] [--seed=2020]

What any gain of a single model has to be told from: two SASRecs together, a SASRec beside a memory such as that of
NaviGen, half and half, and LIGER's way (arXiv:2411.18814). Members have the settings of `tuned.yaml` and
`ablations.yaml`, and are found in runs/quality/saved or trained now. All are ranked among unseen items beside their
members and NaviGen.
"""

import argparse
from pathlib import Path

from ablations import METRIC, rows
from harness.common import Bar, write_results
from harness.ranking_runs import RUNS, SELECT_ON, compared, ratio, settings_of
from recbole_navigen.comparison.estimates import Contender
from recbole_navigen.comparison.page import report
from recbole_navigen.config.reading import read_settings
from recbole_navigen.quick_start import run_navigen
from recbole_navigen.runs.result import Run

HERE = Path(__file__).resolve().parent
GENERATOR, RANKER = "TIGER's layout", "SASRec + text"
TWO, FUSED = "two SASRecs", f"{GENERATOR} nominates 20, {RANKER} ranks"
MEMORY = "SASRec and Transitions"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data_path", default="dataset/")
    parser.add_argument("--seed", type=int, default=2020)
    arguments, more = parser.parse_known_args(argv)
    known = {**settings_of(arguments.dataset), **read_settings(HERE / "ablations.yaml")}
    words, seed = [f"--data_path={arguments.data_path}", *more], arguments.seed

    # 1. The members, and NaviGen.
    found: dict[str, list[Run]] = {}
    for labels, seeds in ((["NaviGen", "Transitions", GENERATOR, RANKER], [seed]), (["SASRec"], [seed, seed + 1])):
        comparison, failed = compared(labels, arguments.dataset, seeds, known, words)
        if failed or comparison is None:
            return 1
        found |= {row.label: list(row.runs) for row in comparison.contenders}

    # 2. Together.
    def together(fusion: str, *members: Run) -> Run:
        own = {"members": [str(run.folder) for run in members], "fusion": fusion, "seed": seed, "select_on": SELECT_ON}
        own |= {"checkpoint_dir": str(RUNS / "saved"), "show_progress": False, "validation_users": 5000}
        result = run_navigen("Ensemble", arguments.dataset, config_dict=own, argv=words)
        return Run.load(result["run_dir"])

    found["SASRec"], second = found["SASRec"][:1], found["SASRec"][1]
    found[TWO] = [together("mean", *found["SASRec"], second)]
    found[MEMORY] = [together("mean", *found["SASRec"], *found["Transitions"])]
    found[FUSED] = [together("rerank", *found[GENERATOR], *found[RANKER])]
    contenders = [Contender(label, tuple(runs)) for label, runs in found.items()]
    comparison = report(contenders, ["ndcg@10", "recall@10"], RUNS / "saved")["comparison"]
    table = rows(comparison)
    bars = []
    for label in (TWO, MEMORY):
        over = ratio(found["NaviGen"], found[label], "rank_unseen")
        bars.append(Bar(f"NaviGen / {label}, NDCG@10 among unseen items", over.mean, "above 1", over.low > 1))
    write_results(f"ensembles-{arguments.dataset}", bars, {"table": table, "metric": METRIC})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
