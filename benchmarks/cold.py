"""New items: a tenth of the catalogue is withheld from training, added by text alone, and asked for among all items.

    python benchmarks/cold.py --dataset=ml-100k
    python benchmarks/cold.py --dataset=amazon-toys-2014 --data_path=FOLDER [--key=value]

The items that are withheld are drawn by a seed. NaviGen is trained on what is left of every user (leave-one-out: the
last two events are not trained on either), and the withheld items are added to it by `Recommender.add_items`. Each
event of a withheld item behind the last event of its user that was trained on is a target, so nothing of the user's
future is known to any model. Its history is what the user did before, without withheld items.

Baselines rank the same catalogue for the same histories: popularity in training; text nearest neighbours (mean cosine of
tf-idf to the last items); and a content-only model (ridge regression from the mean text of a history to that of the next
item, fitted to the training events).
"""

import shutil
from pathlib import Path

import numpy as np

from recbole_navigen.config.locate import dataset_folder
from recbole_navigen.config.reading import parse_value
from recbole_navigen.quick_start.run import finished_run

RUNS = Path(__file__).resolve().parent / "runs" / "cold"
SHARE = 0.1  # of the items, withheld
LEAST = 3  # events that a user must have left


def withhold(source: Path, folder: Path, share: float, seed: int) -> set[str]:
    """Write a data set without some of its items.

    Args:
        source: folder of NAME.inter and NAME.item. folder: where the smaller one is written, under the same name.
        share: of the items that have events. seed: of the draw.

    Returns:
        Raw ids of the items that were withheld.
    """
    name = source.name
    header, *lines = (source / f"{name}.inter").read_text("utf-8").rstrip("\n").split("\n")
    columns = [column.partition(":")[0] for column in header.split("\t")]
    user, item = columns.index("user_id"), columns.index("item_id")
    cells = [line.split("\t") for line in lines]
    items = sorted({row[item] for row in cells})
    drawn = np.random.default_rng(seed).permutation(len(items))[: max(1, round(share * len(items)))]
    cold = {items[place] for place in drawn}
    counts: dict[str, int] = {}
    for row in cells:
        counts[row[user]] = counts.get(row[user], 0) + (row[item] not in cold)
    kept = [
        line for line, row in zip(lines, cells, strict=True) if row[item] not in cold and counts[row[user]] >= LEAST
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.inter").write_text("".join(f"{line}\n" for line in [header, *kept]), "utf-8")
    shutil.copyfile(source / f"{name}.item", folder / f"{name}.item")
    return cold


def trained(name: str, data_path: str, seed: int, settings: list[str]) -> tuple[Path, Path, set[str]]:
    """The whole data set's folder, the run on what is left of it, and the withheld items."""
    source = dataset_folder(data_path, name)
    smaller = RUNS / f"data-{seed}" / name
    cold = withhold(source, smaller, SHARE, seed)
    given = {"data_path": str(smaller.parent), "checkpoint_dir": str(RUNS / "saved"), "seed": seed}
    for setting in settings:
        key, _, value = setting.removeprefix("--").partition("=")
        given[key] = parse_value(key, value)
    return source, finished_run(name, config_dict=given), cold
