"""The grid behind the SASRec of `tuned.yaml`: every point of `grid.yaml` for a data set, by its validation NDCG@10.

    python benchmarks/tune.py --dataset=ml-100k [--data_path=FOLDER] [--seed=2020] [--part=0/2]

SASRec is RecBole's module on user rows, with a softmax over items. Test metrics stand beside and take no part in the
choice. Finished points are kept in benchmarks/runs/tune and not run again; `--part` lets processes share a grid.
"""

import argparse
import json
from pathlib import Path

from common import Bar, write_results

from recbole_navigen.artefacts import content_hash, write_json
from recbole_navigen.config.reading import read_settings
from recbole_navigen.quick_start import run_navigen

HERE = Path(__file__).resolve().parent
RUNS = HERE / "runs" / "tune"
MODEL = "SASRec"


def record_of(dataset: str, settings: dict, seed: int) -> Path:
    """Where the record of one point lies."""
    return RUNS / dataset / f"{content_hash([MODEL, settings, seed])[:16]}.json"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data_path", default="dataset/")
    parser.add_argument("--seed", type=int, default=2020)
    parser.add_argument("--part", default="0/1")
    arguments = parser.parse_args()
    grids = read_settings(HERE / "grid.yaml")
    if arguments.dataset not in grids:
        parser.error(f"grid.yaml has no points for {arguments.dataset}; it has {', '.join(grids)}.")
    grid = grids[arguments.dataset]
    points = [{**grid["base"], **point} for point in grid["points"]]
    part, parts = map(int, arguments.part.split("/"))
    for settings in points[part::parts]:
        file = record_of(arguments.dataset, settings, arguments.seed)
        if not file.is_file():
            own = {"seed": arguments.seed, "data_path": arguments.data_path, "checkpoint_dir": str(RUNS / "saved")}
            run = run_navigen(MODEL, arguments.dataset, config_dict={**own, "show_progress": False, **settings})
            write_json(file, json.loads((Path(run["run_dir"]) / "result.json").read_text()))
    files = {index: record_of(arguments.dataset, settings, arguments.seed) for index, settings in enumerate(points)}
    done = {index: json.loads(file.read_text()) for index, file in files.items() if file.is_file()}
    table = {
        ", ".join(f"{key}={value}" for key, value in grid["points"][index].items()): {
            "valid ndcg@10": round(record["best_valid_score"], 4),
            "test ndcg@10": round(record["test_result"]["ndcg@10"], 4),
            "minutes": round(sum(stage["seconds"] for stage in record["stages"]) / 60, 1),
        }
        for index, record in done.items()
    }
    write_results(
        f"tune-{arguments.dataset}",
        [Bar("points of the grid that were run", len(done), str(len(points)), len(done) == len(points))],
        {"table": table, "base": grid["base"], "best": points[max(done, key=lambda i: done[i]["best_valid_score"])]},
    )


if __name__ == "__main__":
    main()
