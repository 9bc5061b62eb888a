"""NaviGen against a full-softmax SASRec on ml-100k: the same rows, the same protocol, paired over users.

    python benchmarks/ml100k.py [--seeds=2020,2021,2022]

Leave-one-out by exact time, the whole catalogue ranked, seen items stay in the ranking (RecBole's rule for sequential
models). Both models choose their epoch by validation NDCG@10. SASRec is RecBole's module trained on user rows (all
positions, full softmax); its settings are the best by validation of the eight points of GRID (`--tune`, first seed),
whose scores stand beside the result. NaviGen stands as it is by default. Runs are kept in benchmarks/runs/ml100k and
reused: a killed benchmark goes on where it stopped. The run of `main_job.py` is the first seed if it is there.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from common import Bar, write_results

from recbole_navigen.artefacts import write_json
from recbole_navigen.config import Config
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.evaluation.ranks import ndcg, recall, target_ranks
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.quick_start import run_navigen
from recbole_navigen.training.checkpoint import load_checkpoint

RUNS = Path(__file__).resolve().parent / "runs" / "ml100k"
MAIN_JOB = RUNS.parent / "main_job"
SASREC = {
    "train_rows": "user",
    "epochs": 60,
    "window_stride": 50,
    "stopping_step": 50,
    "train_batch_size": 64,
    "learning_rate": 1e-3,
    "hidden_size": 64,
    "inner_size": 256,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dropout_prob": 0.2,
    "attn_dropout_prob": 0.2,
}
GRID = [
    {"hidden_dropout_prob": p, "attn_dropout_prob": p, "epochs": epochs, "window_stride": stride, **rate}
    for p in (0.2, 0.5)
    for epochs, stride in ((60, 50), (40, 25))
    for rate in ({"learning_rate": 1e-3}, {"learning_rate": 3e-3, "lr_schedule": "cosine", "warmup_steps": 100})
]


def run(model: str, name: str, seed: int, **settings) -> dict:
    """One run's metrics and test ranks, from disk if it is there."""
    file = RUNS / f"{name}-{seed}.json"
    if file.is_file():
        return json.loads(file.read_text())
    own = {"seed": seed, "checkpoint_dir": str(RUNS / "saved"), "show_progress": False, **settings}
    run_dir = finished(model, seed, settings) or run_navigen(model, "ml-100k", config_dict=own)["run_dir"]
    record = json.loads((Path(run_dir) / "result.json").read_text())
    users, ranks = ranks_of(model, own, run_dir, "test")
    record["test_ranks"] = ranks[np.argsort(users)].tolist()
    write_json(file, record)
    return record


def finished(model: str, seed: int, settings: dict) -> str | None:
    """The folder of a finished run of the same model, seed and settings, here or of the main job."""
    for folder in (RUNS, MAIN_JOB):
        for file in sorted(folder.glob("saved/*/result.json")):
            record = json.loads(file.read_text())
            same = all(record["config"].get(key) == value for key, value in settings.items())
            if record["model"] == model and record["seed"] == seed and same:
                return str(file.parent)
    return None


def grid_scores(seed: int) -> list[dict]:
    """Points of the grid that were run, with their validation score."""
    files = [(point, RUNS / f"grid{number}-{seed}.json") for number, point in enumerate(GRID)]
    return [
        {**point, "valid_ndcg@10": json.loads(f.read_text())["best_valid_score"]} for point, f in files if f.is_file()
    ]


def ranks_of(name: str, settings: dict, run_dir: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of the targets under a run's best checkpoint, by its exact full ranking."""
    config = Config(name, "ml-100k", config_dict=settings)
    train, valid, test = data_preparation(config, create_dataset(config))
    if name == "NaviGen":
        from recbole_navigen.quick_start.pipeline import load_navigen

        model = load_navigen(config, train._dataset, run_dir)
    else:
        model = config.model_class(config, train._dataset)
        model.load_state_dict(load_checkpoint(Path(run_dir) / "checkpoint")["state_dict"])
    return target_ranks(model, {"valid": valid, "test": test}[split])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", default="2020,2021,2022")
    parser.add_argument("--tune", metavar="PART/PARTS", nargs="?", const="0/1", help="run the grid, or one part of it")
    parser.add_argument("--only", choices=["NaviGen", "SASRec"], help="run this model's seeds and stop")
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    if arguments.tune:
        part, parts = map(int, arguments.tune.split("/"))
        for number, point in list(enumerate(GRID))[part::parts]:
            record = run("SASRec", f"grid{number}", seeds[0], **{**SASREC, **point})
            print(point, f"valid ndcg@10 {record['best_valid_score']:.4f}", flush=True)
        return
    if arguments.only:
        for seed in seeds:
            run(arguments.only, arguments.only, seed, **(SASREC if arguments.only == "SASRec" else {}))
        return
    ranks = {"NaviGen": [], "SASRec": []}
    minutes = {"NaviGen": [], "SASRec": []}
    for seed in seeds:
        for model, settings in (("NaviGen", {}), ("SASRec", SASREC)):
            record = run(model, model, seed, **settings)
            ranks[model].append(record["test_ranks"])
            minutes[model].append(sum(stage["seconds"] for stage in record["stages"]) / 60)
    arrays = {model: np.array(rows) for model, rows in ranks.items()}
    table = {
        model: {
            "ndcg@10": str(bootstrap(ndcg(rows, 10).mean(axis=0))),
            "recall@10": str(bootstrap(recall(rows, 10).mean(axis=0))),
            "ndcg@10 by seed": ndcg(rows, 10).mean(axis=1).round(4).tolist(),
            "minutes by seed": np.round(minutes[model], 2).tolist(),
        }
        for model, rows in arrays.items()
    }
    difference = bootstrap((ndcg(arrays["NaviGen"], 10) - ndcg(arrays["SASRec"], 10)).mean(axis=0))
    table["NaviGen - SASRec"] = {"ndcg@10": str(difference)}
    for name, row in table.items():
        print(name, row)
    write_results(
        "ml100k",
        [
            Bar(
                "NaviGen - SASRec, test NDCG@10",
                difference.mean,
                "at least 0 over 3 seeds",
                difference.mean >= 0 and len(seeds) >= 3,
            )
        ],
        {"seeds": seeds, "table": table, "sasrec": SASREC, "sasrec_grid": grid_scores(seeds[0])},
    )


if __name__ == "__main__":
    main()
