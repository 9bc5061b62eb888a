"""One vector space for catalogue terms, the lexicons' themes and any text.

Symbols: N items, M themes, W words, D width of the latent part, S texts.

The template teacher may not write the target's terms, so their meaning has to travel another way: term -> theme ->
phrase. Each word has a profile over the themes, as in explicit semantic analysis (Gabrilovich and Markovitch, 2007):

- a cue of a theme, or else a word of its phrases: 1, divided by the number of themes that share the word;
- any word of the catalogue that is no cue: the themes of the items that hold it, as lift over the whole catalogue
  ("story" stands beside "animation" and "child"), times df / (df + 4), since one item proves little. What the phrases
  say of such a word counts half.

A text is the idf-weighted sum of its words' profiles. Beside it stands a latent semantic analysis of the catalogue
(tf-idf, SVD), which tells apart what the themes do not. With both parts of length 1, the cosine of two texts is

    cos = .75 cos(themes) + .25 cos(latent)
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.utils.extmath import randomized_svd

from recbole_navigen.errors import InputError
from recbole_navigen.supervision.template.lexicons import CONTENT_GENES, content_words, lexicons

WIDTH = 64
THEME_SHARE = 0.75
SUPPORT = 4.0


class TermSpace:
    """Texts as vectors, fitted to a catalogue and the lexicons.

    Attributes:
        themes: names of the themes, M.
    """

    def __init__(self, item_terms: Sequence[Sequence[str]]):
        """
        Args:
            item_terms: the TIDs of the catalogue, N lists of terms.
        """
        if not item_terms:
            raise InputError("the template teacher needs the terms of a catalogue; there are no items.")
        themes = lexicons().themes
        self.themes = tuple(themes)
        cues = [[word for cue in theme["cues"] for word in content_words(cue)] for theme in themes.values()]
        phrases = [
            [word for gene in CONTENT_GENES for phrase in theme[gene] for word in content_words(phrase)]
            for theme in themes.values()
        ]
        documents = [content_words(" ".join(terms)) for terms in item_terms]

        # 1. Which item holds which word, and how rare the word is.
        self._counter = CountVectorizer(analyzer=list, binary=True, dtype=np.float64)
        self._counter.fit([*documents, *cues, *phrases])
        held = self._counter.transform(documents)  # (N, W)
        df = np.asarray(held.sum(axis=0)).ravel()
        # The root keeps the order by rarity and halves its reach: a category weighs about half of a word of one item.
        self._weight = sp.diags(np.sqrt(1 + np.log((1 + len(documents)) / (1 + df))))

        # 2. Profiles over themes: what the lexicons say, and for all other words what stands beside them.
        cued, shown = (self._counter.transform(lists).T.toarray() for lists in (cues, phrases))  # (W, M) each
        shown[cued.any(axis=1)] = 0
        told = (cued + shown) / np.maximum((cued + shown).sum(axis=1, keepdims=True), 1)
        beside = held @ (self._weight @ told)
        beside /= np.maximum(beside.sum(axis=1, keepdims=True), 1e-9)
        usual = beside.mean(axis=0) + 1e-3
        lift = np.maximum((held.T @ beside) / np.maximum(df, 1)[:, None] / usual - 1, 0)
        lift *= (df / (df + SUPPORT))[:, None] / np.maximum(lift.sum(axis=1, keepdims=True), 1e-9)
        certain = np.where(cued.any(axis=1), 1.0, np.where(df >= 2, 0.5, 1.0))[:, None]
        self._profiles = certain * told + np.where(cued.any(axis=1), 0.0, 1.0)[:, None] * lift

        # 3. The latent part.
        weighted = held @ self._weight
        _, _, latent = randomized_svd(weighted, min(WIDTH, min(weighted.shape)), random_state=0)
        self._latent = latent.T

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts, of length 1 or less; of a text without a known word, 0. Shape (S, M + D), float64."""
        return self.encode_words([content_words(text) for text in texts])

    def encode_words(self, words: Sequence[Sequence[str]]) -> np.ndarray:
        """The same for texts that `content_words` has already taken apart."""
        if not words:
            return np.zeros((0, len(self.themes) + self._latent.shape[1]))
        weighted = self._counter.transform(words) @ self._weight
        parts = [THEME_SHARE**0.5 * _unit(weighted @ self._profiles)]
        parts.append((1 - THEME_SHARE) ** 0.5 * _unit(weighted @ self._latent))
        return np.concatenate(parts, axis=1)

    def theme_mass(self, vectors: np.ndarray) -> np.ndarray:
        """How much of each theme is in encoded texts; rows add up to 1, or to 0. Shape (S, M)."""
        mass = np.maximum(vectors[:, : len(self.themes)], 0)
        return mass / np.maximum(mass.sum(axis=1, keepdims=True), 1e-9)


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 1e-9, norms, 1)
