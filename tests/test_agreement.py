"""Expected agreement of terms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_navigen.identifiers.agreement import expected_f1

CANDIDATES = st.lists(
    st.tuples(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True), st.floats(1e-6, 1.0)), min_size=1
)


def test_the_item_that_shares_terms_with_the_rest_is_expected_to_agree_best() -> None:
    # By hand: 2/3 between `crime` and either of the pairs, 1/2 between the pairs.
    found = expected_f1([("war",), ("crime", "noir"), ("crime", "heist"), ("crime",)], [0.4, 0.2, 0.2, 0.2])
    assert found == pytest.approx(
        [0.4, 0.2 * (1 + 1 / 2 + 2 / 3), 0.2 * (1 / 2 + 1 + 2 / 3), 0.2 * (2 / 3 + 2 / 3 + 1)]
    )
    assert found.argmax() == 3


@given(CANDIDATES)
def test_it_is_the_mean_of_f1_by_probability(candidates) -> None:
    terms, probabilities = zip(*candidates, strict=True)
    found = expected_f1(terms, probabilities)
    share = np.array(probabilities) / sum(probabilities)
    for own, value in zip(terms, found, strict=True):
        f1 = [2 * len(set(own) & set(other)) / (len(own) + len(other)) for other in terms]
        assert value == pytest.approx(float(share @ f1))
