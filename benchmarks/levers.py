"""What each lever is worth, one at a time: validation NDCG@10 of NaviGen with one setting changed, beside its defaults.

    python benchmarks/levers.py [--dataset=amazon-toys-2014] [--data_path=FOLDER] [--epochs=5] [--levers=NAME;NAME]
                                [--part=NAME]
                                [--targets=1]

All validation users, one seed, few epochs (so that a lever costs minutes); intervals are paired over users and leave
out what another seed would change, which the lever `another seed` shows. The levers stand in `levers.yaml`. Finished
ones are kept in runs/levers. Rows measured before, with the same epochs and seed, stay in the results as long as the
defaults come out the same. Where users are few and histories long, --targets=5 validates on the validation item and the
4 items before it, each behind what the user did before, and trains on what stands before all of them: five times the
targets, for a twentieth of the data of ml-100k.
"""

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from recbole.data.dataset import SequentialDataset
from recbole.data.interaction import Interaction

from baselines.corrections import corrected, without_code_rows
from baselines.published import ADDED, averaged_over_views
from harness.common import RESULTS, Bar, commit, write_results
from recbole_navigen.artefacts import content_hash, read_json, write_json
from recbole_navigen.config import Config
from recbole_navigen.config.reading import read_yaml
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.data.dataset import TARGET_POSITION
from recbole_navigen.evaluation.ranks import full_sort_ranks, ndcg, ranks_at
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.evaluation.user_ranks import popularity_thirds
from recbole_navigen.language.rendering import Rendered, Renderer
from recbole_navigen.network.legal_codes import LegalCodes
from recbole_navigen.quick_start import run_navigen
from recbole_navigen.runs.load import load_navigen

HERE = Path(__file__).resolve().parent
RUNS = HERE / "runs" / "levers"
PROTOCOLS = ("all items", "unseen items")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="amazon-toys-2014")
    parser.add_argument("--data_path", default="dataset/")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=2020)
    parser.add_argument("--levers", help="names of levers.yaml, with semicolons; all by default")
    parser.add_argument("--targets", type=int, default=1, help="items of each user that are validated on")
    parser.add_argument("--part", help="name of these levers' results, for another machine, whose defaults differ")
    arguments = parser.parse_args()
    levers = read_yaml(HERE / "levers.yaml")
    names = ["defaults", *arguments.levers.split(";")] if arguments.levers else list(levers)
    owners, tail = in_tail(arguments)
    records = {}
    for name in names:
        records[name] = measured(arguments, levers[name])
        report(arguments, records, owners, tail)


def measured(arguments: argparse.Namespace, lever: dict) -> dict:
    """What one lever gives, kept: ranks of all validation users (2, B), and costs."""
    several = [arguments.targets] * (arguments.targets > 1)
    file = RUNS / arguments.dataset / f"{content_hash([lever, arguments.epochs, arguments.seed, *several])[:16]}.json"
    if file.is_file():
        return read_json(file)
    if "views" in lever:
        return seen_anew(arguments, lever)
    own = {**shared_settings(arguments), **{key: value for key, value in lever.items() if key not in CHANGES}}
    changed = changes(lever)
    if changed or several:  # no setting tells these apart, so that one would go on where another was killed
        own["checkpoint_dir"] = apart(RUNS / f"saved-{content_hash([lever, *several])[:8]}")
    with changed or contextlib.nullcontext(), held_back(arguments.targets - 1):
        run = Path(run_navigen("NaviGen", arguments.dataset, config_dict=own)["run_dir"])
        model, valid_data = load(own, arguments.dataset, run)
        ranks = {"ranks": target_ranks(model, valid_data, arguments.targets)}
        if "correction" in lever:
            model.lm.decoder.off = True
            ranks["ranks, correction off"] = target_ranks(model, valid_data, arguments.targets)
    result = read_json(run / "result.json")
    record = {
        "settings": lever,
        "commit": commit(),
        "run": str(run.relative_to(RUNS)),
        **{name: [part.tolist() for part in both] for name, both in ranks.items()},
        "parameters": result["parameters"]["total"],
        "minutes": result["training_seconds"] / 60,
    }
    write_json(file, record)
    return record


def seen_anew(arguments: argparse.Namespace, lever: dict) -> dict:
    """The record of a run without `views`, with the ranks that it gives where its histories are read in that way."""
    base = {key: value for key, value in lever.items() if key != "views"}
    record = measured(arguments, base)
    model, valid_data = load({**shared_settings(arguments), **base}, arguments.dataset, RUNS / record["run"])
    with averaged_over_views(**lever["views"]):
        return {**record, "settings": lever, "ranks": target_ranks(model, valid_data, arguments.targets).tolist()}


def apart(folder: Path) -> str:
    """A folder for runs that shares the stages kept by all others."""
    folder.mkdir(parents=True, exist_ok=True)
    shared = RUNS / "saved" / "cache"
    shared.mkdir(parents=True, exist_ok=True)
    if not (folder / "cache").is_symlink():
        (folder / "cache").symlink_to(shared.resolve())
    return str(folder)


def in_tail(arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """User of each validation target, and whether its item is of the tail third, in the order of the ranks. (R,) each.

    The validation split shares the timeline of the whole data set, whose last interactions are those of the test.
    """
    data = validation(shared_settings(arguments), arguments.dataset)[2]._dataset
    _, thirds = popularity_thirds(data.timeline, data.item_num, 1 + arguments.targets)
    positions = target_positions(data, arguments.targets)
    return data.timeline.users[positions], thirds[data.timeline.items[positions] - 1] == 0


def target_positions(data, targets: int) -> np.ndarray:
    """Places in the timeline of each user's last `targets` items up to that of validation, user by user, (R,); fewer
    where a user has not two items before them.
    """
    last = np.sort(data.inter_feat[TARGET_POSITION].numpy())
    positions = (last[:, None] - np.arange(targets)).flatten()
    before = positions - np.repeat(data.timeline.starts[last], targets)
    return positions[(before >= 2) | np.isin(positions, last)]


def target_ranks(model, valid_data, targets: int) -> np.ndarray:
    """Ranks of those items among all and among unseen ones. (2, R)."""
    if targets == 1:
        return np.array(full_sort_ranks(model, valid_data))
    data, parts = valid_data._dataset, []
    positions = target_positions(data, targets)
    model.eval()
    for part in np.array_split(positions, -(-len(positions) // valid_data.step)):
        rows = Interaction({TARGET_POSITION: torch.from_numpy(part)})
        data._add_histories(rows)
        parts.append(ranks_at(model, rows, data.timeline))
    return np.concatenate(parts, axis=1)


@contextlib.contextmanager
def held_back(items: int) -> Iterator[None]:
    """In here, training ends so many items of each user earlier."""
    build = SequentialDataset.build

    def shorter(self) -> list:
        parts, last = build(self), self.timeline.last()
        positions = parts[0].inter_feat[TARGET_POSITION].numpy()
        own = last[np.searchsorted(self.timeline.users[last], self.timeline.users[positions])]
        parts[0].inter_feat = parts[0].inter_feat[torch.from_numpy(positions < own - 1 - items)]
        return parts

    with patch.object(SequentialDataset, "build", shorter) if items else contextlib.nullcontext():
        yield


def shared_settings(arguments: argparse.Namespace) -> dict:
    """Settings of all levers."""
    fixed = {"checkpoint_dir": str(RUNS / "saved"), "show_progress": False, "state": "WARNING"}
    fixed |= {"metrics": ["NDCG"], "topk": [10], "epochs": arguments.epochs, "eval_step": arguments.epochs}
    return {**fixed, "data_path": arguments.data_path, "seed": arguments.seed}


def validation(settings: dict, dataset: str, users: int | None = None):
    """Config, training split, and validation split with at most so many users (None: all)."""
    config = Config("NaviGen", dataset, config_dict=settings)
    config["validation_users"] = users
    return config, *data_preparation(config, create_dataset(config))[:2]


def load(settings: dict, dataset: str, run: Path, users: int | None = None):
    """The model of a run, and its validation split."""
    config, train_data, valid_data = validation(settings, dataset, users)
    return load_navigen(config, train_data._dataset, run), valid_data


# ---- What no setting takes away -------------------------------------------------------------------------------------


def without_legal_softmax() -> contextlib.AbstractContextManager:
    """With decoder: tokens, training normalises over all K codes of a level; ranking over legal ones, as ever."""
    legal = LegalCodes.log_prob

    def log_prob(self, level, logits, nodes, child, smoothing=0.0):
        if not self.training:
            return legal(self, level, logits, nodes, child, smoothing)
        code = getattr(self, f"token{level + 1}")[child]
        return logits.float().log_softmax(dim=-1).gather(-1, code[:, None])[:, 0]

    return patch.object(LegalCodes, "log_prob", log_prob)


def without_all_positions() -> contextlib.AbstractContextManager:
    """Only the last item of each window is a target."""
    render = Renderer.cid2cid

    def cid2cid(self, histories, lengths, targets=False) -> Rendered:
        rendered = render(self, histories, lengths, targets)
        if not targets:
            return rendered
        last = torch.arange(rendered.targets.shape[1]) == lengths[:, None] - 2
        return replace(rendered, targets=rendered.targets * last)

    return patch.object(Renderer, "cid2cid", cid2cid)


WITHOUT = {
    "legal softmax": without_legal_softmax,
    "all positions": without_all_positions,
    "code rows": without_code_rows,
}
CHANGES = ("without", "correction", "adds")


def changes(lever: dict) -> contextlib.AbstractContextManager | None:
    """What a lever changes that no setting of the product does, None for nothing."""
    if "without" in lever:
        return WITHOUT[lever["without"]]()
    if "adds" in lever:
        return ADDED[lever["adds"]]()
    return corrected(**lever["correction"]) if "correction" in lever else None


def report(arguments: argparse.Namespace, records: dict, owners: np.ndarray, tail: np.ndarray) -> None:
    """Write what there is so far; intervals are over users.

    owners: user of each target, (R,). tail: whether its item is of the tail third, (R,).
    """

    def over_users(values: np.ndarray, some: np.ndarray | slice = slice(None)) -> str:
        counts, sums = np.bincount(owners[some]), np.bincount(owners[some], weights=values[some])
        return str(bootstrap(sums[counts > 0] / counts[counts > 0]))

    base, table = ndcg(np.array(records["defaults"]["ranks"]), 10), {}
    for label, record in records.items():
        values = ndcg(np.array(record["ranks"]), 10)
        row = table[label] = {"parameters": f"{record['parameters']:,}", "minutes": f"{record['minutes']:.1f}"}
        for protocol, ours, theirs in zip(PROTOCOLS, values, base, strict=True):
            row[f"valid ndcg@10, {protocol}"] = f"{ours.mean():.4f}"
            row[f"less the defaults, {protocol}"] = over_users(ours - theirs)
        row["less the defaults, unseen items, tail"] = over_users(values[1] - base[1], tail)
        if (off := record.get("ranks, correction off")) is not None:
            lost = values[1] - ndcg(np.array(off[1]), 10)
            row["less itself with the correction off, unseen items"] = over_users(lost)
        row["commit"] = record["commit"]
    name = "-".join(filter(None, ("levers", arguments.dataset, arguments.part)))
    details = {"table": table, "epochs": arguments.epochs, "seed": arguments.seed, "targets": arguments.targets}
    file = RESULTS / f"{name}.json"
    before = read_json(file) if file.is_file() else {}
    figures = [f"valid ndcg@10, {protocol}" for protocol in PROTOCOLS]
    if all(before.get(key) == details[key] for key in ("epochs", "seed", "targets")) and all(
        before["table"]["defaults"][figure] == table["defaults"][figure] for figure in figures
    ):
        details["table"] = {**before["table"], **table}
    bar = Bar("levers measured, of those in levers.yaml", len(details["table"]) - 1, "reported", True)
    write_results(name, [bar], details)


if __name__ == "__main__":
    main()
