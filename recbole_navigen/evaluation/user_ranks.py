"""The ranks of one run, one row a test user, as its folder keeps them: `ranks/ranks.parquet` and a manifest.

Everything but the ranks is a function of the data set alone, so that runs of different models can be compared user by
user. `UserRanks.split_hash` names that part.
"""

import logging
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from recbole.config import Config
from recbole.data.dataloader import AbstractDataLoader
from recbole.model.abstract_recommender import AbstractRecommender

from recbole_navigen.artefacts import atomic_directory, content_hash, verify_manifest
from recbole_navigen.data.timeline import Timeline
from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.evaluation.ranks import full_sort_ranks
from recbole_navigen.evaluation.statistics import thirds

FOLDER, FILE = "ranks", "ranks.parquet"
ITEM_THIRDS = ("tail", "mid", "head")
_HELD_OUT = {"valid_and_test": 2, "test_only": 1}  # interactions a user keeps out of training, by leave-one-out split

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class UserRanks:
    """One row a test user, in the order of internal user ids.

    Attributes:
        user: raw user ids. Shape (B,), str.
        target: raw ids of the test targets. Shape (B,), str.
        history_length: interactions before the target. Shape (B,), int64.
        popularity: training interactions of the target. Shape (B,), int64.
        item_third: the target's place in `ITEM_THIRDS`. Shape (B,), int64.
        rank: of the target among all items, from 0. Shape (B,), int64.
        rank_unseen: of the target among the items that the user has not consumed before. Shape (B,), int64.
        catalogue: what each third of items holds: name -> `items`, `interactions` and `from`, its least popularity.
    """

    user: np.ndarray
    target: np.ndarray
    history_length: np.ndarray
    popularity: np.ndarray
    item_third: np.ndarray
    rank: np.ndarray
    rank_unseen: np.ndarray
    catalogue: dict[str, dict[str, int]]

    @property
    def split_hash(self) -> str:
        """Names the test part: its users, targets and how much stands before each target."""
        return content_hash(self.user.tolist(), self.target.tolist(), self.history_length)

    def save(self, run_dir: str | Path) -> None:
        """Write them into the folder of a run."""
        inputs = {"catalogue": self.catalogue, "split_hash": self.split_hash}
        with atomic_directory(Path(run_dir) / FOLDER, inputs) as folder:
            pq.write_table(pa.table({name: getattr(self, name) for name in _COLUMNS}), folder / FILE)

    @classmethod
    def load(cls, run_dir: str | Path) -> "UserRanks":
        """Read what `save` wrote."""
        folder = Path(run_dir) / FOLDER
        inputs = verify_manifest(folder)["inputs"]
        table = pq.read_table(folder / FILE)
        if table.column_names != list(_COLUMNS):
            raise DamagedArtefact(f"{folder / FILE} has other columns than {', '.join(_COLUMNS)}; run the model again")
        columns = {name: np.asarray(table[name].to_pylist()) for name in _COLUMNS}
        return cls(**columns, catalogue=inputs["catalogue"])


_COLUMNS = tuple(field.name for field in fields(UserRanks))[:-1]


def rank_users(config: Config, test_data: AbstractDataLoader, model: AbstractRecommender) -> UserRanks | None:
    """Rank every test user's target in both protocols.

    Args:
        config: settings of the run. test_data: its test loader.
        model: at the weights to be tested.

    Returns:
        None, with a line in the log, if the evaluation is not leave-one-out by time over the full ranking.
    """
    reason = why_no_ranks(config)
    if reason:
        logger.info("no ranks are kept for comparisons: %s", reason)
        return None
    data = test_data._dataset
    timeline, last = data.timeline, data.timeline.last()

    # 1. Popularity in the training split, the same for all kinds of models, and the thirds of the catalogue.
    popularity, third = popularity_thirds(timeline, data.item_num, _HELD_OUT[config["eval_args"]["split"]["LS"]])
    catalogue = {
        name: {
            "items": int((third == number).sum()),
            "interactions": int(popularity[third == number].sum()),
            "from": int(popularity[third == number].min(initial=popularity.max() + 1)),
        }
        for number, name in enumerate(ITEM_THIRDS)
    }

    # 2. Ranks, from all scores.
    rank, rank_unseen = full_sort_ranks(model, test_data)
    if min(rank.min(), rank_unseen.min()) < 0:
        raise InputError(
            f"the test part of {data.dataset_name} leaves out the last item of some users; check its filters"
        )
    targets = timeline.items[last]
    return UserRanks(
        user=data.id2token(data.uid_field, timeline.users[last]).astype(str),
        target=data.id2token(data.iid_field, targets).astype(str),
        history_length=last - timeline.starts[last],
        popularity=popularity[targets - 1],
        item_third=third[targets - 1],
        rank=rank,
        rank_unseen=rank_unseen,
        catalogue=catalogue,
    )


def popularity_thirds(timeline: Timeline, item_num: int, held_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Interactions of each item and its place in `ITEM_THIRDS`, without the last interactions of each user.

    Args:
        timeline: of a part of the data set. item_num: N + 1. held_out: how many of each user's last are left out.

    Returns:
        Two arrays by item index, int64. Shapes (N,), (N,).
    """
    trained = np.ones(len(timeline.items), dtype=bool)
    for back in range(held_out):
        trained[timeline.last() - back] = False
    popularity = np.bincount(timeline.items[trained], minlength=item_num)[1:]
    return popularity, thirds(popularity, popularity)


def why_no_ranks(config: Config) -> str | None:
    """What in the settings of a run stands against ranks of single targets, in words; None if nothing does."""
    arguments = config["eval_args"]
    split = arguments["split"] if isinstance(arguments["split"], dict) else {}
    if split.get("LS") not in _HELD_OUT or config["benchmark_filename"]:
        return f"the split {arguments['split']} does not leave one item of each user out"
    if arguments["order"] != "TO":
        return f"the order {arguments['order']} is not that of time (TO)"
    if arguments["mode"]["test"] != "full":
        return f"the test mode {arguments['mode']['test']} does not rank the whole catalogue (full)"
    if getattr(config.model_class, "full_sort_predict", None) in (None, AbstractRecommender.full_sort_predict):
        return f"{config['model']} does not score all items at once"
    return None
