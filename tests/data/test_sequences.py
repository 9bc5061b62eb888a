"""Windows over users' training sequences, against cutting by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_navigen.data import UserSequences, windows
from recbole_navigen.errors import InputError

lengths_of_users = st.lists(st.integers(0, 30), max_size=6)


def sequences_of(lengths: list[int]) -> UserSequences:
    """Users whose items are numbered through, so that each item says where it stands."""
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return UserSequences(np.arange(1, len(lengths) + 1), np.arange(1, offsets[-1] + 1), offsets)


def rows_by_user(sequences: UserSequences, cut) -> dict[int, list[list[int]]]:
    """Windows without padding, by user."""
    rows: dict[int, list[list[int]]] = {user: [] for user in range(len(sequences.users))}
    for row in cut.tolist():
        items = [item for item in row if item]
        assert row == items + [0] * (len(row) - len(items)), "padding stands on the right only"
        assert items == list(range(items[0], items[0] + len(items))), "a window is a piece of the sequence"
        rows[int(np.searchsorted(sequences.offsets, items[0], side="left") - 1)].append(items)
    return rows


@given(lengths_of_users, st.integers(1, 9), st.data())
def test_windows(lengths: list[int], length: int, data: st.DataObject) -> None:
    stride = data.draw(st.none() | st.integers(1, length))
    seed = data.draw(st.none() | st.integers(0, 5))
    sequences = sequences_of(lengths)
    cut = windows(sequences, length, stride, None if seed is None else np.random.default_rng(seed))
    assert cut.shape[1] == length + 1
    step = length if stride is None else stride
    for user, rows in rows_by_user(sequences, cut).items():
        items = list(range(sequences.offsets[user] + 1, sequences.offsets[user + 1] + 1))
        if len(items) < 2:
            assert rows == []
            continue
        assert rows[0][0] == items[0] and rows[-1][-1] == items[-1]
        if len(items) <= length + 1:
            assert rows == [items]
        targets = [item for row in rows for item in row[1:]]
        assert set(targets) == set(items[1:])
        if step == length:
            assert targets == items[1:], "every item but the first is a target exactly once, in order"
        for left, right in pairwise(rows):
            assert left[-1] - right[0] + 1 == length + 1 - step, "neighbours overlap by length + 1 - stride items"
        # Without an offset all windows but the first are full; with one, the last may be shorter too.
        for row in rows[1:] if seed is None else rows[1:-1]:
            assert len(row) == length + 1


def test_offsets_change_the_cuts_and_only_a_seed_fixes_them() -> None:
    sequences = sequences_of([50] * 20)
    cuts = [windows(sequences, 5, offset_rng=np.random.default_rng(seed)).tolist() for seed in (0, 0, 1)]
    assert cuts[0] == cuts[1] != cuts[2]
    contexts = {}
    for seed in range(40):
        for rows in rows_by_user(sequences, windows(sequences, 5, offset_rng=np.random.default_rng(seed))).values():
            for row in rows:
                for place, item in enumerate(row[1:]):
                    contexts.setdefault(item, set()).add(place)
    assert contexts[500] == set(range(5)), "over the epochs an item is predicted from every length of context"


def test_no_users_and_no_windows() -> None:
    for lengths in ([], [0], [1, 1]):
        assert windows(sequences_of(lengths), 4).shape == (0, 5)


@pytest.mark.parametrize(("length", "stride"), [(0, None), (4, 0), (4, 5), (-1, None)])
def test_sizes_are_checked(length: int, stride: int | None) -> None:
    with pytest.raises(InputError, match="windows need length >= 1 and 1 <= stride <= length"):
        windows(sequences_of([5]), length, stride)


def test_sequences_are_checked_and_hashed() -> None:
    with pytest.raises(ValueError, match="offsets must start at 0"):
        UserSequences(np.arange(2), np.arange(3), np.array([0, 1]))
    with pytest.raises(ValueError, match="must not decrease"):
        UserSequences(np.arange(2), np.arange(3), np.array([0, 4, 3]))
    one, two = sequences_of([3, 2]), sequences_of([2, 3])
    assert one.content_hash() == sequences_of([3, 2]).content_hash() != two.content_hash()
    assert one.lengths.tolist() == [3, 2]
