"""New items: what is withheld, what is asked, and what ranks; of `cold.py` and of `exposure.py`."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from harness.common import ROOT
from recbole_navigen.config import Config
from recbole_navigen.data.reader import AtomicFile
from recbole_navigen.quick_start import Recommender

RUNS = ROOT / "benchmarks" / "runs" / "cold"
SHARE = 0.1  # of the items, withheld
LEAST = 3  # events that a user must have left
HELD_OUT = 2  # of each user's last events that are not trained on
RECENT = 10  # items of a history that its text is of
CUT = 10
AT_ONCE = 256
Ranker = Callable[[Sequence[Sequence[str]]], np.ndarray]  # histories to scores of all items, (B, N)


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


def item_table(config: Config, source: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """The text columns of every item of a data set, and raw id -> all of its text. source: folder of the data set."""
    file = AtomicFile(source / f"{source.name}.item", config["field_separator"], config["encoding"])
    columns = [config["ITEM_ID_FIELD"], *config["item_text_fields"]]
    table = file.texts(columns)[columns].drop_duplicates(columns[0])
    return table, dict(zip(table[columns[0]], table[columns[1:]].agg(". ".join, axis=1), strict=True))


def cases(whole: dict[str, list[str]], cold: set[str]) -> list[tuple[str, list[str], str]]:
    """User, history and target of every event of a withheld item behind what was trained on, and of the warm ones.

    whole: what each user did, withheld items included.
    """
    found = []
    for user, events in whole.items():
        warm = [place for place, item in enumerate(events) if item not in cold]
        if len(warm) < LEAST:
            continue
        first = warm[-HELD_OUT]
        for place in range(first, len(events)):
            history = [item for item in events[:place] if item not in cold]
            found.append((user, history, events[place]))
    return found


def ndcg_of(
    rank: Ranker, asked: Sequence[tuple[str, list[str], str]], items: Sequence[str], hidden: Iterable[str] = ()
) -> dict[str, float]:
    """NDCG@10 of each user, the mean over the user's targets. A tie counts for the worst place that it may mean.

    rank, items: what ranks, and raw ids in its order. hidden: items that are left out of the ranking.
    """
    index, values = {item: place for place, item in enumerate(items)}, {}
    for begin in range(0, len(asked), AT_ONCE):
        part = asked[begin : begin + AT_ONCE]
        scores = rank([history for _, history, _ in part])
        scores[:, [index[item] for item in hidden]] = -np.inf
        own = scores[np.arange(len(part)), [index[target] for _, _, target in part]]
        ranks = (scores >= own[:, None]).sum(axis=1)
        for (user, _, _), place in zip(part, ranks.tolist(), strict=True):
            values.setdefault(user, []).append(1 / np.log2(1 + place) if place <= CUT else 0.0)
    return {user: float(np.mean(own)) for user, own in values.items()}


def navigen(recommender: Recommender) -> Ranker:
    def rank(histories: Sequence[Sequence[str]]) -> np.ndarray:
        indices = recommender._all_indices(histories)
        read, lengths = recommender._padded(indices)
        return recommender.ranking.log_probs(recommender.renderer.cid2cid(read, lengths), read).numpy()

    return rank


def popularity(train: dict[str, list[str]], items: Sequence[str]) -> Ranker:
    index = {item: place for place, item in enumerate(items)}
    counts = np.bincount([index[item] for events in train.values() for item in events], minlength=len(items))
    return lambda histories: np.tile(counts.astype(float), (len(histories), 1))


def neighbours(texts: Sequence[str], items: Sequence[str]) -> tuple[Ranker, Ranker, np.ndarray]:
    """Ranks by text: the mean cosine to the last items."""
    index = {item: place for place, item in enumerate(items)}
    rows = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit_transform(texts)

    def rank(histories: Sequence[Sequence[str]]) -> np.ndarray:
        return (recent(histories, index) @ rows @ rows.T).toarray()

    return rank, rows, index


def recent(histories: Sequence[Sequence[str]], index: dict[str, int]) -> sp.csr_matrix:
    """The mean over the last items of each history, as a matrix over items. (B, N)."""
    last = [[index[item] for item in history[-RECENT:]] for history in histories]
    rows = np.repeat(np.arange(len(last)), [len(own) for own in last])
    values = np.concatenate([np.full(len(own), 1 / len(own)) for own in last])
    return sp.csr_matrix((values, (rows, np.concatenate(last))), (len(last), len(index)))


def content(train: dict[str, list[str]], rows: sp.csr_matrix, index: dict[str, int], seed: int) -> Ranker:
    """Learns which text follows which: ridge from the mean text of the last items to the next one's, on training
    events, in a latent space of the texts.
    """
    latent = TruncatedSVD(min(128, rows.shape[1] - 1), random_state=seed).fit_transform(rows)
    pairs = [
        (events[max(0, place - RECENT) : place], events[place])
        for events in train.values()
        for place in range(1, len(events))
    ]
    drawn = np.random.default_rng(seed).permutation(len(pairs))[:100_000]
    read = recent([pairs[place][0] for place in drawn], index) @ latent
    follows = latent[[index[pairs[place][1]] for place in drawn]]
    mean = follows.mean(axis=0)
    weights = np.linalg.solve(
        read.T @ read + 1e-2 * len(drawn) * np.eye(read.shape[1]) * read.var(), read.T @ (follows - mean)
    )
    unit = latent / np.maximum(np.linalg.norm(latent, axis=1, keepdims=True), 1e-9)
    return lambda histories: (recent(histories, index) @ latent @ weights + mean) @ unit.T
