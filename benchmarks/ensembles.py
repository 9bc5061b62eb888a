"""Finished runs together: two SASRecs of different seeds, SASRec or HSTU beside a memory, and TIGER's layout with a
SASRec that reranks it.

    python benchmarks/ensembles.py --dataset=ml-100k [--data_path=FOLDER] [--seed=2020] [--rows=NAME;NAME]

What any gain of a single model has to be told from: two SASRecs together, a SASRec or HSTU beside a memory such as that
of NaviGen, half and half, and LIGER's way (arXiv:2411.18814). Members have the settings of `tuned.yaml` and
`ablations.yaml`, and are found in runs/quality/saved or trained now. All are ranked among unseen items beside their
members and NaviGen. With --rows only the named ones are made, of the members they need.
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
MEMORY, OTHER = "SASRec and Transitions", "HSTU and Transitions"


# Row -> how its members are joined, and which they are.
ROWS = {
    TWO: ("mean", ("SASRec", "SASRec")),
    MEMORY: ("mean", ("SASRec", "Transitions")),
    OTHER: ("mean", ("HSTU", "Transitions")),
    FUSED: ("rerank", (GENERATOR, RANKER)),
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data_path", default="dataset/")
    parser.add_argument("--seed", type=int, default=2020)
    parser.add_argument("--rows", default=";".join(ROWS), help="names of ensembles, with semicolons; all by default")
    arguments, more = parser.parse_known_args(argv)
    known = {**settings_of(arguments.dataset), **read_settings(HERE / "ablations.yaml")}
    words, seed = [f"--data_path={arguments.data_path}", *more], arguments.seed
    wanted = {row: ROWS[row] for row in arguments.rows.split(";")}

    # 1. The members, and NaviGen; a model that is twice in an ensemble is trained from two seeds.
    seeds = {"NaviGen": [seed]}
    for _, members in wanted.values():
        seeds |= {label: [seed + n for n in range(members.count(label))] for label in members if label not in seeds}
    trained: dict[str, list[Run]] = {}
    for label, own in seeds.items():
        comparison, failed = compared([label], arguments.dataset, own, known, words)
        if failed or comparison is None:
            return 1
        trained[label] = list(comparison.contenders[0].runs)

    # 2. Together.
    def together(fusion: str, members: tuple[str, ...]) -> Run:
        runs = [trained[label][members[:place].count(label)] for place, label in enumerate(members)]
        own = {"members": [str(run.folder) for run in runs], "fusion": fusion, "seed": seed, "select_on": SELECT_ON}
        own |= {"checkpoint_dir": str(RUNS / "saved"), "show_progress": False, "validation_users": 5000}
        result = run_navigen("Ensemble", arguments.dataset, config_dict=own, argv=words)
        return Run.load(result["run_dir"])

    found = {label: runs[:1] for label, runs in trained.items()}
    found |= {row: [together(fusion, members)] for row, (fusion, members) in wanted.items()}
    contenders = [Contender(label, tuple(runs)) for label, runs in found.items()]
    comparison = report(contenders, ["ndcg@10", "recall@10"], RUNS / "saved")["comparison"]
    table = rows(comparison)
    bars = []
    for label in wanted:
        over = ratio(found["NaviGen"], found[label], "rank_unseen")
        bars.append(Bar(f"NaviGen / {label}, NDCG@10 among unseen items", over.mean, "above 1", over.low > 1))
    write_results(f"ensembles-{arguments.dataset}", bars, {"table": table, "metric": METRIC})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
