"""What stands near an item, counted and compared by hand."""

import numpy as np
import pytest
from scipy import sparse

from recbole_navigen.baselines.transitions import title_vectors
from recbole_navigen.identifiers import neighbours
from recbole_navigen.identifiers.neighbours import extended, nearest, term_vectors, transitions


def test_transitions_by_hand() -> None:
    # Two users took 1 2 3 and 3 1; pairs of one user at most two places apart count 1 / distance.
    found = transitions(np.array([1, 2, 3, 3, 1]), np.array([0, 3, 5]), 4, steps=2, smoothing=5.0)
    counts = np.zeros((4, 4))
    counts[1, 2] = counts[2, 3] = 1
    counts[1, 3] = 1 / 2 + 1
    popularity = np.array([0, 2, 1, 2])
    assert found.toarray() == pytest.approx((counts + counts.T) / np.sqrt(popularity + 5))


def test_the_nearest_are_those_of_a_plain_comparison(monkeypatch) -> None:
    titles = ["", "red ball", "red house", "a blue ball of wool", "red ball", "sea", "wool"]
    every = nearest(title_vectors(titles), 7).toarray()
    assert (every == every.T).all() and (np.diag(every) == 0).all() and not every[0].any() and not every[5].any()
    assert every[1, 4] == pytest.approx(1) and 0 < every[1, 2] < every[1, 4] and every[2, 6] == 0
    monkeypatch.setattr(neighbours, "CHUNK", 3)
    two = nearest(title_vectors(titles), 2).toarray()
    for full, kept in zip(every, two, strict=True):
        assert sorted(kept)[-2:] == pytest.approx(sorted(full)[-2:]) and (kept > 0).sum() <= 2
    assert nearest(title_vectors(["", "-"]), 1).nnz == 0


def test_terms_are_compared_whole_and_new_ones_by_the_weights_of_the_old() -> None:
    terms = [("red ball", "toy"), ("red", "toy"), ("sea",), ("toy", "red ball")]
    vectors, new = term_vectors(terms, [("toy", "red ball"), ("unheard",), ("sea", "toy")])
    cosines = (vectors @ vectors.T).toarray()
    assert cosines[0, 3] == pytest.approx(1) and 0 < cosines[0, 1] < 1 and cosines[0, 2] == 0
    to_old = (new @ vectors.T).toarray()
    assert to_old[0] == pytest.approx(cosines[0]) and not to_old[1].any() and to_old[2].argmax() == 2
    none, no_new = term_vectors([(), ()], [("x",)])
    assert none.nnz == no_new.nnz == 0


def test_a_new_item_stands_where_its_nearest_stands() -> None:
    terms = [("a", "b"), ("c",), ("d", "e")]
    table = sparse.csr_matrix(np.array([[0, 0, 0, 0], [0, 0, 2, 3], [0, 4, 0, 5], [0, 6, 7, 0]], np.float32))
    vectors, new = term_vectors(terms, [("a", "b"), ("c", "x"), ("y",)])
    wider = extended(table, vectors, new, weight=0.5).toarray()
    assert (wider[:4, :4] == table.toarray()).all()
    # The first is called as item 1 is: it has its row and its column, and is beside it.
    assert wider[4, :4] == pytest.approx([0, 0.5, 2, 3]) and wider[:4, 4] == pytest.approx([0, 0.5, 4, 6])
    # What nothing is known of is nowhere, and nothing stands beside itself.
    assert not wider[6].any() and not wider[:, 6].any() and not np.diag(wider).any()
