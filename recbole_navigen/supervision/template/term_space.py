"""One vector space for catalogue terms, the lexicon's kinds and any text.

Symbols: N items, M kinds, W words, D width of the latent part, S texts.

Each word has a profile over the kinds of the domain, as in explicit semantic analysis (Gabrilovich and Markovitch,
2007), from the items that hold it: how often they are of a kind, as lift over the whole catalogue ("toy" stands beside
"animated" and "children's"), times df / (df + 4), since one item proves little. Words of a kind's label are the kind's
own; what its phrases say counts half beside what the catalogue says, and in full for a word that the catalogue lacks.

A text is the idf-weighted sum of its words' profiles. Beside it stands a latent semantic analysis of the catalogue
(tf-idf, SVD), which tells apart what the kinds do not. With both parts of length 1, the cosine of two texts is

    cos = .75 cos(kinds) + .25 cos(latent)
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from recbole_navigen.errors import InputError
from recbole_navigen.supervision.facts import ItemFacts, catalogue_facts
from recbole_navigen.supervision.template.lexicons import SHOWN, content_words, lexicons

WIDTH = 64
KIND_SHARE = 0.75
SUPPORT = 4.0


class TermSpace:
    """Texts as vectors, fitted to a catalogue and the lexicon of its domain.

    Attributes:
        kinds: names of the kinds, M.
    """

    def __init__(
        self, item_terms: Sequence[Sequence[str]], facts: Sequence[ItemFacts] | None = None, domain: str = "generic"
    ):
        """
        Args:
            item_terms: the TIDs of the catalogue, N lists of terms. domain: of the lexicon.
            facts: of the same items; None: what their terms say.
        """
        if not item_terms:
            raise InputError("the template teacher needs the terms of a catalogue; there are no items.")
        facts = catalogue_facts({}, {}, domain, item_terms) if facts is None else facts
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.utils.extmath import randomized_svd

        kinds = lexicons().kinds[domain]
        self.kinds = tuple(kinds)
        labels = [content_words(kind.label) for kind in kinds.values()]
        phrases = [
            [word for aspect in SHOWN for phrase in kind.phrases[aspect] for word in content_words(phrase)]
            for kind in kinds.values()
        ]
        documents = [content_words(" ".join(terms)) for terms in item_terms]

        # 1. Which item holds which word, and how rare the word is.
        self._counter = CountVectorizer(analyzer=list, binary=True, dtype=np.float64)
        self._counter.fit([*documents, *labels, *phrases])
        incidence = self._counter.transform(documents)  # (N, W)
        df = np.asarray(incidence.sum(axis=0)).ravel()
        # The root keeps the order by rarity and halves its reach: a category weighs about half of a word of one item.
        self._weight = sp.diags(np.sqrt(1 + np.log((1 + len(documents)) / (1 + df))))

        # 2. Profiles over kinds: what the lexicon says, and what the items say that hold a word.
        named, shown = (self._counter.transform(lists).T.toarray() for lists in (labels, phrases))  # (W, M) each
        shown[named.any(axis=1)] = 0
        said = (named + shown) / np.maximum((named + shown).sum(axis=1, keepdims=True), 1)
        places = {name: place for place, name in enumerate(self.kinds)}
        borne = np.zeros((len(documents), len(kinds)))
        for item, own in enumerate(facts):
            borne[item, [places[name] for name in own.kinds]] = 1 / max(len(own.kinds), 1)
        usual = borne.mean(axis=0) + 1e-3
        lift = np.maximum((incidence.T @ borne) / np.maximum(df, 1)[:, None] / usual - 1, 0)
        lift *= (df / (df + SUPPORT))[:, None] / np.maximum(lift.sum(axis=1, keepdims=True), 1e-9)
        certain = np.where(named.any(axis=1), 1.0, np.where(df >= 2, 0.5, 1.0))[:, None]
        self._profiles = certain * said + np.where(named.any(axis=1), 0.0, 1.0)[:, None] * lift

        # 3. The latent part.
        weighted = incidence @ self._weight
        _, _, latent = randomized_svd(weighted, min(WIDTH, min(weighted.shape)), random_state=0)
        self._latent = latent.T

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts, of length 1 or less; of a text without a known word, 0. Shape (S, M + D), float64."""
        return self.encode_words([content_words(text) for text in texts])

    def encode_words(self, words: Sequence[Sequence[str]]) -> np.ndarray:
        """The same for texts that `content_words` has already taken apart."""
        if not words:
            return np.zeros((0, len(self.kinds) + self._latent.shape[1]))
        weighted = self._counter.transform(words) @ self._weight
        parts = [KIND_SHARE**0.5 * _unit(weighted @ self._profiles)]
        parts.append((1 - KIND_SHARE) ** 0.5 * _unit(weighted @ self._latent))
        return np.concatenate(parts, axis=1)

    def kind_mass(self, vectors: np.ndarray) -> np.ndarray:
        """How much of each kind is in encoded texts; rows add up to 1, or to 0. Shape (S, M)."""
        mass = np.maximum(vectors[:, : len(self.kinds)], 0)
        return mass / np.maximum(mass.sum(axis=1, keepdims=True), 1e-9)


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 1e-9, norms, 1)
