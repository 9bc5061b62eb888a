"""Equal chances: SASRec and NaviGen with as many trials and as many seconds, by the product's own sweep.

    python benchmarks/tune.py --dataset=ml-100k [--data_path=FOLDER] [--trials=20] [--seconds=7200] [--seed=2020]

Both are searched by `run_hyper` (TPE, the spaces of properties/sweep/) with the settings of `tune.yaml`: the same
windows, targets in a batch, averaging of weights and validation users. Epochs and trials are chosen by validation
NDCG@10 among unseen items, which is what the table reports; test numbers take no part. Each row's interval is of users,
and of a tuned row also of the trials: `resampled_choice` draws trials and validation users anew and takes what would
then have been chosen. NaviGen's default, trial 0 of its sweep, stands beside its tuned row. A study is kept in
runs/tune: the same command goes on where it stopped, and one with more trials or seconds from those that are there.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from harness.common import Bar, part, write_results
from recbole_navigen.config.reading import read_settings
from recbole_navigen.evaluation.ranks import full_sort_ranks, ndcg
from recbole_navigen.evaluation.statistics import interval, resampled_choice, resampled_means
from recbole_navigen.quick_start.hyper import run_hyper
from recbole_navigen.runs.loaded import load_run
from recbole_navigen.runs.result import Run
from recbole_navigen.tuning.study import ended

HERE = Path(__file__).resolve().parent
RUNS = HERE / "runs" / "tune"
MODELS = ("SASRec", "NaviGen")
DEFAULT, TUNED = "NaviGen, its one default", "{}, tuned"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data_path", default="dataset/")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=7200)
    parser.add_argument("--seed", type=int, default=2020)
    arguments = parser.parse_args()
    settings = read_settings(HERE / "tune.yaml")
    begun, trials = {}, {}
    for model in MODELS:
        begun[model] = searched(model, settings, arguments)
        trials[model] = [trial for trial in begun[model] if "valid" in trial]
    rows = estimates(trials)
    for model, every in begun.items():
        rows[TUNED.format(model)] |= {"begun": len(every), "seconds": sum(trial["seconds"] for trial in every)}
    ratio = rows.pop("ratio")
    table = {
        label: {
            "valid NDCG@10, unseen items": f"{row['valid']:.4f}",
            "NDCG@10, unseen items": str(row["test"]),
            "trials": str(row["begun"]),
            "of these run to the end": str(row["trials"]),
            "minutes of all trials": f"{row['seconds'] / 60:.1f}",
            "settings": ", ".join(f"{key}={value}" for key, value in row["settings"].items()) or "the defaults",
        }
        for label, row in rows.items()
    }
    counts = {model: len(every) for model, every in begun.items()}
    equal = len(set(counts.values())) == 1
    bars = [
        Bar("trials of each contender", min(counts.values()), f"equal, {arguments.trials} if time allows", equal),
        Bar(
            f"{DEFAULT} / {TUNED.format('SASRec')}, interval over users and trials {ratio.low:.3f} to {ratio.high:.3f}",
            ratio.mean,
            "above 1, and its interval",
            ratio.low > 1,
        ),
    ]
    budget = {"trials": arguments.trials, "seconds": arguments.seconds}
    write_results(f"tune-{arguments.dataset}", bars, {"table": table, "budget": budget, "given": settings})


def searched(model: str, settings: dict[str, Any], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The trials of a model, the default first: settings and seconds, and values of users where one ran to its end.

    Trials that the sweep stopped early, below the median of those before them, are among them.
    """
    RUNS.mkdir(parents=True, exist_ok=True)
    storage, study = f"sqlite:///{RUNS / arguments.dataset}.db", f"{model}-{arguments.seed}"
    own = {"seed": arguments.seed, "data_path": arguments.data_path, "checkpoint_dir": str(RUNS / "saved")}
    run_hyper(
        model,
        arguments.dataset,
        n_trials=arguments.trials,
        max_seconds=arguments.seconds,
        config_dict={**own, **settings["shared"], **settings[model]},
        storage=storage,
        study=study,
        output=RUNS / f"{study}-{arguments.dataset}",
    )
    found = []
    for trial in ended(optuna.load_study(study_name=study, storage=storage)):
        own = {"number": trial.number, "settings": trial.params, "seconds": trial.user_attrs["seconds"]}
        if trial.state == TrialState.COMPLETE:
            folder = Path(trial.user_attrs["folder"])
            ranks = part(folder / "valid_ranks.json", lambda at=folder: {"unseen": validation_ranks(at)})["unseen"]
            test = Run.load(folder).ranks.rank_unseen
            own |= {"valid": ndcg(np.array(ranks), 10), "test": ndcg(test, 10)}
        found.append(own)
    return sorted(found, key=lambda trial: trial["number"])


def validation_ranks(folder: Path) -> list[int]:
    """Ranks of the validation targets of a finished run among unseen items, of the users who validated it."""
    loaded = load_run(folder)
    ranks = full_sort_ranks(loaded.model, loaded.valid_data)[1]
    return [int(rank) for rank in ranks if rank >= 0]


def estimates(trials: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Label -> its row, and `ratio`: NaviGen's default over the tuned SASRec."""
    rows, draws = {}, {}

    def add(label: str, of: list[dict[str, Any]]) -> None:
        valid, test = (np.array([trial[name] for trial in of]) for name in ("valid", "test"))
        best = int(valid.mean(axis=1).argmax())
        draws[label] = resampled_choice(valid, test) if len(of) > 1 else resampled_means(test)[0]
        rows[label] = {
            "valid": valid[best].mean(),
            "test": interval(test[best].mean(), draws[label]),
            "begun": len(of),
            "trials": len(of),
            "seconds": sum(trial["seconds"] for trial in of),
            "settings": of[best]["settings"] if len(of) > 1 else {},
        }

    for model in MODELS:
        add(TUNED.format(model), trials[model])
    add(DEFAULT, trials["NaviGen"][:1])
    ours, theirs = DEFAULT, TUNED.format("SASRec")
    mean = rows[ours]["test"].mean / rows[theirs]["test"].mean
    rows["ratio"] = interval(mean, draws[ours] / draws[theirs])
    return rows


if __name__ == "__main__":
    main()
