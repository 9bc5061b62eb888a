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
from recbole_navigen.data import NaviGenDataset, read_item_text
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.neighbours import behind, nearest, transitions

FLOOR = 1e-6


def title_vectors(titles: Sequence[str]) -> sparse.csr_matrix:
    """TF-IDF vectors of unit length of titles by internal item id, "" where there is none. (N + 1, V); empty where no
    title has a word.
    """
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english", token_pattern=r"(?u)\b\w+\b")
    try:
        return words.fit_transform(titles).tocsr()
    except ValueError:  # what scikit-learn says of no words
        return sparse.csr_matrix((len(titles), 1))


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
        rows, smoothing = dataset.sequences, config["popularity_smoothing"]
        self._follows = transitions(rows.items, rows.offsets, self.n_items, config["transition_steps"], smoothing)
        if (weight := config["title_weight"]) and config["item_text_fields"]:
            titles = read_item_text(config, dataset).title
            self._follows = self._follows + weight * nearest(title_vectors(titles), config["title_neighbours"])

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Logarithm of each item's share of the scores, which orders items as the scores do and lets an `Ensemble` mix
        them with probabilities, by internal id. Items without a score share FLOOR. Shape (B, N + 1), float32.
        """
        histories = interaction[self.ITEM_SEQ].cpu().numpy()
        scores = behind(histories, self._follows, self._history, self._decay).toarray()
        scores = torch.from_numpy(scores.astype(np.float32)).to(self.device)
        shares = scores / scores.sum(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        return ((1 - FLOOR) * shares + FLOOR / (self.n_items - 1)).log()
