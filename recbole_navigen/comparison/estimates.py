"""From finished runs to the numbers of a comparison.

Symbols: M models, Q quantities (a metric under a protocol), S seeds, B users, R resamples.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.ranks import metric_values, places
from recbole_navigen.evaluation.statistics import (
    RESAMPLES,
    Interval,
    all_pairs_p,
    interval,
    resampled_means,
    thirds,
    two_sided_p,
)
from recbole_navigen.evaluation.user_ranks import ITEM_THIRDS, UserRanks
from recbole_navigen.runs.result import Run

# Column of ranks -> how tables call the protocol.
PROTOCOLS = {"rank": "all items", "rank_unseen": "unseen items"}
HISTORY_THIRDS = ("short", "medium", "long")


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that ended in an error."""

    seed: int
    error: str
    details: str = ""


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of a comparison: a model with its settings, over seeds."""

    label: str
    runs: tuple[Run, ...]
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean of a metric over the test users, and how far it is from that of the best model.

    Attributes:
        interval: mean and 95% interval over users, of values averaged over seeds.
        by_seed: mean of each seed.
        difference: this model minus the best, paired over users.
        p, p_family: of that difference, alone and corrected for all pairs of models; None for the best itself.
    """

    interval: Interval
    by_seed: tuple[float, ...]
    difference: Interval
    p: float | None
    p_family: float | None

    @property
    def best(self) -> bool:
        """Whether this is the best model."""
        return self.p is None


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A group of test users: those with popular targets, for example, or with short histories.

    Attributes:
        name: of the group. about: what it holds, in words.
        members: True for its users. Shape (B,), bool.
    """

    name: str
    about: str
    members: np.ndarray


@dataclass(frozen=True, slots=True)
class Comparison:
    """All numbers of a comparison of models on one data set.

    Attributes:
        dataset: its name. users: how many were tested.
        metrics: such as "ndcg@10", the first one used where only one is shown.
        contenders: the rows.
        groups: thirds of items, then thirds of histories.
        overall: (protocol, metric) -> label -> estimate. Labels without a finished run are missing.
        by_group: (protocol, group) -> label -> estimate of the first metric; empty where a group has not two users.
    """

    dataset: str
    users: int
    metrics: tuple[str, ...]
    contenders: tuple[Contender, ...]
    groups: tuple[Group, ...]
    overall: dict[tuple[str, str], dict[str, Estimate]]
    by_group: dict[tuple[str, str], dict[str, Estimate]]


def compare(contenders: Sequence[Contender], metrics: Sequence[str]) -> Comparison:
    """Compare models user by user.

    Args:
        contenders: at least one of them with a finished run.
        metrics: such as "ndcg@10"; the first one is the one that thirds are shown in.

    Raises:
        InputError: runs that cannot stand in one table, or a metric that looks at more places than there are items.
    """
    runs = [run for contender in contenders for run in contender.runs]
    refuse_different({str(run): aspects_of(run) for run in runs})
    n_items = sum(third["items"] for third in runs[0].ranks.catalogue.values())
    if places(deepest := max(metrics, key=places)) > n_items:
        raise InputError(
            f"{deepest} looks at {places(deepest)} places, and {runs[0]} ranks {n_items} items; lower topk."
        )

    # 1. A value a user: averaged over seeds, and the mean of each seed.
    ran = [contender for contender in contenders if contender.runs]
    quantities = [(protocol, metric) for protocol in PROTOCOLS for metric in metrics]
    values, by_seed = [], []
    for protocol in PROTOCOLS:
        for metric in metrics:
            each = [np.array([metric_values(metric, getattr(run.ranks, protocol)) for run in row.runs]) for row in ran]
            values.append([of_seeds.mean(axis=0) for of_seeds in each])
            by_seed.append(each)
    values = np.array(values)

    # 2. Estimates over all users, and over each group.
    labels = [contender.label for contender in ran]
    everybody = np.ones(values.shape[2], dtype=bool)
    overall = dict(zip(quantities, estimates(labels, values, by_seed, everybody), strict=True))
    groups = user_groups(runs[0].ranks)
    shown = [quantities.index((protocol, metrics[0])) for protocol in PROTOCOLS]
    by_group = {}
    for group in groups:
        rows: list[dict[str, Estimate]] = [{}, {}]
        if group.members.sum() >= 2:
            rows = estimates(labels, values[shown], [by_seed[q] for q in shown], group.members)
        by_group.update({(protocol, group.name): row for protocol, row in zip(PROTOCOLS, rows, strict=True)})
    dataset = runs[0].record["dataset"]
    return Comparison(dataset, len(everybody), tuple(metrics), tuple(contenders), groups, overall, by_group)


def estimates(
    labels: Sequence[str], values: np.ndarray, by_seed: Sequence[Sequence[np.ndarray]], members: np.ndarray
) -> list[dict[str, Estimate]]:
    """Estimate means over users, and test every model against the best one of each quantity.

    Args:
        labels: of the M models.
        values: averaged over seeds. Shape (Q, M, B).
        by_seed: Q rows of M arrays, (S, B) each.
        members: the users who count. Shape (B,), bool.

    Returns:
        Q dictionaries label -> estimate.
    """
    values = values[:, :, members]
    means = values.mean(axis=2)
    best = means.argmax(axis=1)
    # Differences are resampled as values of their own: two models that agree on every user then differ by exactly 0.
    differences = values - np.take_along_axis(values, best[:, None, None], axis=1)
    both = np.stack([values, differences])
    draws = resampled_means(both.reshape(-1, values.shape[2])).reshape(*both.shape[:3], RESAMPLES)
    result = []
    for quantity, winner in enumerate(best):
        others = [model for model in range(len(labels)) if model != winner]
        p = {model: two_sided_p(draws[1, quantity, model]) for model in others}
        family = all_pairs_p(values[quantity], draws[0, quantity])[winner]
        result.append(
            {
                label: Estimate(
                    interval=interval(means[quantity, model], draws[0, quantity, model]),
                    by_seed=tuple(by_seed[quantity][model][:, members].mean(axis=1).tolist()),
                    difference=interval(differences[quantity, model].mean(), draws[1, quantity, model]),
                    p=p.get(model),
                    p_family=max(p[model], float(family[model])) if model in p else None,
                )
                for model, label in enumerate(labels)
            }
        )
    return result


def user_groups(ranks: UserRanks) -> tuple[Group, ...]:
    """Thirds of items by popularity, head first, and thirds of users by the length of their history."""
    groups = []
    for number in reversed(range(3)):
        name, members = ITEM_THIRDS[number], ranks.item_third == number
        held = ranks.catalogue[name]
        about = f"{held['items']:,} items with {held['interactions']:,} training interactions"
        about += f" (at least {held['from']} each), targets of {members.sum():,} users"
        groups.append(Group(name, about, members))
    third = thirds(ranks.history_length, np.ones(len(ranks.user)))
    for number, name in enumerate(HISTORY_THIRDS):
        members = third == number
        lengths = ranks.history_length[members]
        ends = sorted({int(lengths.min()), int(lengths.max())}) if len(lengths) else ["no"]
        groups.append(
            Group(name, f"histories of {' to '.join(map(str, ends))} items, {members.sum():,} users", members)
        )
    return tuple(groups)


def aspects_of(run: Run) -> dict[str, str]:
    """What must be the same for all runs of a table, in words."""
    data = f"{run.record['dataset']} {run.record['dataset_hash'][:12]}"
    own = protocol_aspects(run.record["protocol"], run.record["config"]["MODEL_TYPE"])
    return {"data": data, "splits": run.record["split_hash"][:12], **own}


def protocol_aspects(protocol: Mapping[str, Any], model_type: str) -> dict[str, str]:
    """Those aspects of `aspects_of` that follow from the settings alone, without a run.

    Args:
        protocol: as `runs.protocol` gives it.
        model_type: RecBole's kind of the model. Sequential models always repeat items, which is RecBole's rule; for the
            others `repeatable` must be the same.
    """
    # Runs from before `select_on` were chosen among the items of their test.
    aspects = {key: json.dumps(value, sort_keys=True) for key, value in {"select_on": None, **protocol}.items()}
    if model_type == "SEQUENTIAL":
        del aspects["repeatable"]
    return aspects


def refuse_different(named: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse runs that differ in an aspect, saying which differ in what.

    Args:
        named: name of a run -> aspect -> its value in words; an aspect may be missing.
    """
    for aspect in dict.fromkeys(aspect for aspects in named.values() for aspect in aspects):
        holders: dict[str, list[str]] = {}
        for name, aspects in named.items():
            if aspect in aspects:
                holders.setdefault(aspects[aspect], []).append(name)
        if len(holders) > 1:
            parts = "; ".join(f"{value} in {', '.join(names)}" for value, names in holders.items())
            raise InputError(f"runs with different {aspect} cannot stand in one table: {parts}; compare like with like")


def costs(contender: Contender) -> dict[str, float]:
    """What a model took: parameters, minutes of training and users a second as means over seeds, the largest memory."""
    records = [run.record for run in contender.runs]
    if not records:
        return {}
    return {
        "parameters": max(record["parameters"]["total"] for record in records),
        "training_minutes": float(np.mean([record["training_seconds"] for record in records])) / 60,
        "users_per_second": float(np.mean([record["test_users_per_second"] for record in records])),
        "peak_memory_mb": max(record["peak_memory_mb"] for record in records),
    }
