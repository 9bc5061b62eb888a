"""Whether the mixture is more than an ensemble: NaviGen's two scores alone and together, and two SASRecs fused.

    python benchmarks/fusion.py --dataset=ml-100k [--data_path=FOLDER] [--seeds=2020,2021,2022,2023,2024]

Takes the runs that `quality.py` finished (and makes those that are missing) of NaviGen and SASRec. At each seed NaviGen
stands beside the SASRec of that seed, and beside that one fused with the SASRec of the next seed (after the last, the
first); values are means over seeds. The two SASRecs are mixed in probability space with equal shares. Parts and
ensemble get the factor of repeats that NaviGen has, fitted on validation in the same way, so that nothing but the
scores differs; among unseen items it changes nothing. Test NDCG@10 in both protocols, differences paired over users.
"""

import argparse
import math
from typing import Any

import numpy as np
import torch
from common import Bar, write_results
from quality import RUNS, settings_of
from torch.nn import functional as F

from recbole_navigen.config import Config
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.evaluation.ranks import full_sort_ranks, ndcg
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.model.repeats import distinct, fit_log_factor, seen_items
from recbole_navigen.quick_start import run_compare
from recbole_navigen.quick_start.comparison import PROTOCOLS
from recbole_navigen.quick_start.pipeline import load_navigen
from recbole_navigen.quick_start.runs import Run
from recbole_navigen.training.checkpoint import load_checkpoint

DENSE, TWO = "NaviGen, its dense score alone", "two SASRecs fused"


class Scored:
    """What ranking needs of a RecBole model, around a function from a batch to log-probabilities (B, N + 1)."""

    def __init__(self, model: Any, log_probs):
        self.n_items, self.device = model.n_items, model.device
        self.full_sort_predict = log_probs

    def eval(self) -> None:
        """Nothing to switch: the models inside are in evaluation mode already."""


def load(run: Run, models: dict[str, dict], label: str, data_path: str) -> tuple[Any, Any, Any]:
    """A run's model at its best epoch, and its validation and test loaders."""
    own = {**models[label], "data_path": data_path, "seed": run.record["seed"], "show_progress": False}
    config = Config(run.record["model"], run.record["dataset"], config_dict=own)
    train_data, valid_data, test_data = data_preparation(config, create_dataset(config))
    if label == "NaviGen":
        return load_navigen(config, train_data._dataset, run.folder), valid_data, test_data
    model = config.model_class(config, train_data._dataset)
    model.load_state_dict(load_checkpoint(run.folder / "checkpoint")["state_dict"])
    return model.eval(), valid_data, test_data


def softmax(model: Any):
    """Log-probabilities of a SASRec over items: (B, N + 1), the padding item at -inf."""

    def log_probs(interaction):
        scores = model.full_sort_predict(interaction).view(-1, model.n_items)
        scores[:, 0] = -torch.inf
        return scores.log_softmax(dim=1)

    return log_probs


def dense_alone(model: Any):
    """Log-probabilities of NaviGen's dense score."""

    def log_probs(interaction):
        state = model.lm.read(model.history(interaction)).state
        scores = model.lm.dense.log_probs(state, model.lm.catalogue_vectors())
        return F.pad(scores, (1, 0), value=-torch.inf)

    return log_probs


def generative_alone(model: Any):
    """Log-probabilities of NaviGen's codes."""

    def log_probs(interaction):
        scores = model.scorer.full_sort(model.history(interaction))
        return F.pad(scores, (1, 0), value=-torch.inf)

    return log_probs


def mean_probability(one, other):
    """Log of the mean of two models' probabilities."""
    return lambda interaction: torch.logaddexp(one(interaction), other(interaction)) - math.log(2)


@torch.no_grad()
def with_repeats(log_probs, loader):
    """The same, up to a constant of each user, with the factor of repeats that is most likely on a split."""
    masses, repeats = [], 0
    for interaction, *_ in loader:
        histories, target = interaction["item_id_list"], interaction["item_id"][:, None]
        masses.append(log_probs(interaction).gather(1, distinct(histories)).exp().sum(dim=1))
        repeats += int((histories == target).any(dim=1).sum())
    log_factor = fit_log_factor(torch.cat(masses), repeats)

    def shifted(interaction):
        scores = log_probs(interaction)
        seen = seen_items(interaction["item_id_list"], scores.shape[1] - 1)
        return scores + F.pad(log_factor * seen, (1, 0))

    return shifted


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data_path", default="dataset/")
    parser.add_argument("--seeds", default="2020,2021,2022,2023,2024")
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]

    # 1. The runs.
    models = {label: own for label, own in settings_of(arguments.dataset).items() if label in ("SASRec", "NaviGen")}
    given = {"checkpoint_dir": str(RUNS / "saved"), "data_path": arguments.data_path, "models": models}
    comparison = run_compare(list(models), arguments.dataset, seeds, config_dict=given)["comparison"]
    runs = {(row.label, run.record["seed"]): run for row in comparison.contenders for run in row.runs}

    # 2. Ranks of the parts, and of the ensemble: name -> protocols, seeds, users.
    ranks: dict[str, list] = {}
    fitted = []
    for seed, other in zip(seeds, [*seeds[1:], *seeds[:1]], strict=True):
        navigen, valid_data, test_data = load(runs["NaviGen", seed], models, "NaviGen", arguments.data_path)
        sasrecs = [load(runs["SASRec", one], models, "SASRec", arguments.data_path)[0] for one in (seed, other)]
        for label in ("NaviGen", "SASRec"):
            ranks.setdefault(label, []).append((runs[label, seed].ranks.rank, runs[label, seed].ranks.rank_unseen))
        ones = [softmax(model) for model in sasrecs]
        parts = {
            "NaviGen, its codes alone": generative_alone(navigen),
            DENSE: dense_alone(navigen),
            "SASRec, with the factor of repeats": ones[0],
            TWO: mean_probability(*ones),
        }
        for name, part in parts.items():
            found = full_sort_ranks(Scored(navigen, with_repeats(part, valid_data)), test_data)
            ranks.setdefault(name, []).append(found)
        fitted.append({name: round(float(getattr(navigen.lm.dense, name)), 3) for name in ("share", "temperature")})
        fitted[-1]["log of the factor of repeats"] = round(float(navigen.lm.repeats.log_factor), 3)

    # 3. The table, and what must hold.
    table, bars = {}, []
    for column, (_, ranked) in enumerate(PROTOCOLS.items()):
        values = {name: ndcg(np.asarray(each)[:, column], 10).mean(axis=0) for name, each in ranks.items()}
        for name, value in values.items():
            row = table.setdefault(name, {})
            row[f"test ndcg@10, {ranked}"] = str(bootstrap(value))
            row[f"NaviGen's lead, {ranked}"] = str(bootstrap(values["NaviGen"] - value))
        for name in (DENSE, TWO):
            lead = bootstrap(values["NaviGen"] - values[name])
            title = f"NaviGen - {name}, NDCG@10 among {ranked}, interval {lead.low:.4f} to {lead.high:.4f}"
            bars.append(Bar(title, lead.mean, "above 0", lead.mean > 0))
    write_results(
        f"fusion-{arguments.dataset}", bars, {"table": table, "fitted": dict(zip(seeds, fitted, strict=True))}
    )


if __name__ == "__main__":
    main()
