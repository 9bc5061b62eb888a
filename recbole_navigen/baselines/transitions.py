"""What follows what, without training: a baseline of a few lines of counting.

    score(u, i) = sum over the last H items h of u of  decay^age(h) (T[h, i] + w cos(title of h, title of i))
    T[h, i] = c[h, i] / sqrt(n_i + s),    c[h, i] = sum over pairs of h and i at most K places apart of  1 / distance

c is counted in both directions over the training sequences, n_i are the training interactions of item i, and titles are
compared by TF-IDF, each with its nearest ones. On sparse data this stands beside a tuned SASRec, as "embarrassingly
simple" graph heuristics do (arXiv:2605.07125). The constants were set once, before any of the data sets of the results
was scored, and are the same for all.

Symbols: B users, N items, H items of a history, K steps, V words.
"""

from collections.abc import Sequence

import numpy as np
import torch
from recbole.config import Config
from recbole.data.interaction import Interaction
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from recbole_navigen.baselines.untrained import Untrained
from recbole_navigen.data import NaviGenDataset, UserSequences, read_item_text
from recbole_navigen.errors import InputError


def cooccurrences(sequences: UserSequences, n_items: int, steps: int) -> sparse.csr_matrix:
    """Pairs of items at most `steps` places apart, each counted one over its distance, in both directions.

    Args:
        sequences: of the training split. n_items: N + 1, with the padding item. steps: K.

    Returns:
        Symmetric, without a diagonal. Shape (N + 1, N + 1), float64.
    """
    users = np.repeat(np.arange(len(sequences.users)), sequences.lengths)
    counts = sparse.csr_matrix((n_items, n_items))
    for distance in range(1, steps + 1):
        together = (users[distance:] == users[:-distance]) & (sequences.items[distance:] != sequences.items[:-distance])
        one, other = sequences.items[:-distance][together], sequences.items[distance:][together]
        weights = np.full(len(one), 1 / distance)
        counts = counts + sparse.csr_matrix((weights, (one, other)), shape=counts.shape)
    return (counts + counts.T).tocsr()


def nearest_titles(titles: Sequence[str], count: int, chunk: int = 1024) -> sparse.csr_matrix:
    """Cosines of TF-IDF vectors between each title and its nearest others.

    Args:
        titles: by internal item id, "" where there is none. N + 1 strings. count: of the nearest.
        chunk: titles that are compared with all at once.

    Returns:
        Shape (N + 1, N + 1), float64; empty where no title has a word.
    """
    shape = (len(titles), len(titles))
    try:
        words = TfidfVectorizer(sublinear_tf=True, stop_words="english", token_pattern=r"(?u)\b\w+\b")
        vectors = words.fit_transform(titles).tocsr()
    except ValueError:  # what scikit-learn says of no words
        return sparse.csr_matrix(shape)
    parts = []
    for begin in range(0, len(titles), chunk):
        likeness = (vectors[begin : begin + chunk] @ vectors.T).toarray()
        place = np.arange(len(likeness))
        likeness[place, begin + place] = 0
        best = np.argpartition(-likeness, min(count, len(titles) - 1) - 1, axis=1)[:, :count]
        values = np.take_along_axis(likeness, best, axis=1)
        rows = np.repeat(place, best.shape[1])
        parts.append(sparse.csr_matrix((values.ravel(), (rows, best.ravel())), shape=(len(likeness), len(titles))))
    return sparse.vstack(parts, format="csr")


class Transitions(Untrained):
    """Ranks by transitions and titles as the module says; nothing is trained.

    Args:
        config: RecBole's config with the keys of properties/model/Transitions.yaml.
        dataset: the training part of a data set of user rows.
    """

    def __init__(self, config: Config, dataset: NaviGenDataset):
        super().__init__(config, dataset)
        if not hasattr(dataset, "sequences"):
            raise InputError("Transitions are counted over user rows; set train_rows: user.")
        self._history, self._decay = config["history_items"], config["history_decay"]
        popularity = np.bincount(dataset.sequences.items, minlength=self.n_items)
        counts = cooccurrences(dataset.sequences, self.n_items, config["transition_steps"])
        self._follows = counts @ sparse.diags(1 / np.sqrt(popularity + config["popularity_smoothing"]))
        if (weight := config["title_weight"]) and config["item_text_fields"]:
            titles = read_item_text(config, dataset).title
            self._follows = self._follows + weight * nearest_titles(titles, config["title_neighbours"])

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items by internal id, shape (B, N + 1), float32."""
        histories = interaction[self.ITEM_SEQ].cpu().numpy()
        ages = interaction[self.ITEM_SEQ_LEN].cpu().numpy()[:, None] - 1 - np.arange(histories.shape[1])
        rows, columns = np.nonzero((histories > 0) & (ages >= 0) & (ages < self._history))
        weights = self._decay ** ages[rows, columns]
        profile = sparse.csr_matrix((weights, (rows, histories[rows, columns])), shape=(len(histories), self.n_items))
        scores = (profile @ self._follows).toarray()
        return torch.from_numpy(scores.astype(np.float32)).to(self.device)
