"""Items that no training saw: ranked at once, beside what they are like; and gone again without a trace."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_recommender import GENRES, NOUNS, small_recommender

from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.free_codes import free_codes
from recbole_navigen.identifiers.terms import terms_of_new
from recbole_navigen.serving import new_items
from recbole_navigen.serving.recommender import Recommender
from recbole_navigen.serving.text_regression import TextRegression

HISTORIES = [["i1", "i2", "i3"], ["i7"], ["i30"] * 3]
NEW = {"item": "n0", "title": "A Robot Tale", "genre": "space opera"}


def scores(recommender: Recommender) -> torch.Tensor:
    """Log-probability of every item after each of HISTORIES, in the order of the catalogue. (B, N)."""
    found = recommender.recommend_all(HISTORIES, k=len(recommender.item_tokens))
    place = {item: index for index, item in enumerate(recommender.item_tokens)}
    result = torch.full((len(HISTORIES), len(place)), torch.nan, dtype=torch.float64)
    for row, items in enumerate(found):
        for each in items:
            result[row, place[each.item]] = each.score
    return result


@pytest.mark.parametrize("decoder", ["tree", "tokens"])
@pytest.mark.parametrize("history", ["pooled", "dual"])
def test_adding_and_removing_restores_every_bit(decoder: str, history: str) -> None:
    recommender = small_recommender(decoder=decoder, history=history)
    before, vectors = scores(recommender), recommender.lm.catalogue_vectors().clone()
    added = recommender.add_items([NEW, {"item": 99, "text": "a western with a doctor"}])
    assert recommender.new_items == ["n0", "99"] == list(added.items) and -1 < added.explained <= 1
    assert torch.equal(recommender.lm.catalogue_vectors()[:40], vectors)
    wider = scores(recommender)
    assert wider.shape == (3, 42) and torch.allclose(
        wider.exp().sum(dim=1), torch.ones(3, dtype=torch.float64), atol=1e-4
    )
    assert len(recommender.recommend(["i1", "n0", 99], k=3)) == 3  # they are read, too
    recommender.remove_items([99])
    recommender.remove_items(["n0"])
    assert torch.equal(scores(recommender), before) and not recommender.new_items
    assert torch.equal(recommender.lm.catalogue_vectors(), vectors)


@settings(max_examples=10)
@given(kept=st.sets(st.integers(0, 39), min_size=3, max_size=37).map(sorted))
def test_items_that_stay_keep_their_odds(kept: list[int]) -> None:
    recommender = small_recommender()
    before = {item: recommender.item_vector(item) for item in recommender.item_tokens}
    recommender.remove_items([f"i{item}" for item in range(40) if item not in kept])
    assert recommender.item_tokens == tuple(f"i{item}" for item in kept)
    assert all(recommender.item_vector(item) == before[item] for item in recommender.item_tokens)
    with pytest.raises(InputError, match="keep at least one"):
        recommender.remove_items(recommender.item_tokens)


@settings(max_examples=15)
@given(item=st.integers(0, 39))
def test_a_copy_ranks_beside_its_original(item: int) -> None:
    recommender = small_recommender()
    own = recommender.table.terms[item]
    vector = recommender.item_vector(f"i{item}")
    recommender.add_items([{"item": "copy", "terms": list(own), "vector": vector}])
    assert np.allclose(recommender.item_vector("copy"), vector, atol=1e-6)
    found = scores(recommender)
    between = np.sort(found.numpy(), axis=1)
    for row, values in enumerate(found.numpy()):
        if f"i{item}" in HISTORIES[row]:  # who has the original is likelier to take what is called the same
            assert values[40] > values[item]
            continue
        assert values[40] == pytest.approx(values[item], abs=1e-4)
        places = np.searchsorted(between[row], sorted((values[item], values[40])))
        assert places[1] - places[0] <= 1


def test_text_puts_an_item_beside_its_like() -> None:
    """The vectors of the small catalogue are made of genre and noun, so text knows them."""
    recommender = small_recommender()
    added = recommender.add_items(
        pd.DataFrame([{"item_id": "n", "title": "Doctor of Horrors", "genre": "horror", "year": 1990.0, "text": None}])
    )
    assert added.terms == (("horror", "doctor"),) and added.explained > 0.2
    vector = np.array(recommender.item_vector("n"))
    rows = recommender.lm.catalogue_vectors()[:40].numpy()
    cosines = rows @ vector / np.linalg.norm(rows, axis=1)
    assert set(recommender.table.terms[int(cosines.argmax())]) & {"horror", "doctor"}
    assert recommender.table.trie.find(np.array(added.codes)).tolist() == [40]


def test_a_saved_catalogue_comes_back(tmp_path) -> None:
    recommender = small_recommender()
    recommender.add_items([NEW])
    recommender.remove_items(["i5"])
    before = scores(recommender)
    again = Recommender.load(recommender.save(tmp_path / "model"), device="cpu")
    assert again.item_tokens == recommender.item_tokens and again.new_items == ["n0"]
    assert torch.equal(scores(again), before)
    again.remove_items(["n0"])
    assert not again.new_items


def test_text_embeddings_of_new_items_are_of_the_same_space(tmp_path, monkeypatch) -> None:
    recommender = small_recommender(sentences=6, text_vectors="sentences")
    table = recommender.table
    monkeypatch.setattr(new_items, "SentenceSpace", lambda source: lambda texts: table.sentences[[4] * len(texts)])
    components = recommender.lm.sentences.clone()
    recommender.add_items([NEW])
    assert torch.allclose(recommender.lm.sentences[-1], components[5], atol=1e-5)
    again = Recommender.load(recommender.save(tmp_path / "model"), device="cpu")
    assert torch.equal(again.lm.sentences, recommender.lm.sentences)
    assert torch.equal(scores(again), scores(recommender))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("n1", "must be a table or a list"),
        ([], "items is empty"),
        ([["n1"]], "item 0 must be a dictionary"),
        ([{"title": "x"}], "item 0 has no raw id; give it as `item` or `item_id`"),
        ([{**NEW, "item": "i3"}], "'i3' is in the catalogue already"),
        ([NEW, NEW], "'n0' is in the catalogue already"),
        ([{"item": "n1", "title": " "}], "has no text; fill one of the columns `title`, `genre`, `text`"),
        ([{"item": "n1", "title": "the 12"}], "has no word that could be a term"),
        ([{**NEW, "vector": [1.0]}], "must be 16 finite numbers"),
        ([{**NEW, "vector": "long"}], "vector of item 'n0' must be"),
        ([{**NEW, "terms": [str(n) + "x" for n in range(11)]}], "has 11 terms"),
    ],
)
def test_what_cannot_be_added_is_one_sentence_and_changes_nothing(items, message) -> None:
    recommender = small_recommender()
    before = scores(recommender)
    with pytest.raises(InputError, match=message):
        recommender.add_items(items)
    with pytest.raises(InputError, match="unknown item 'n7'"):
        recommender.remove_items(["n7"])
    assert torch.equal(scores(recommender), before)


@settings(max_examples=20)
@given(data=st.data(), levels=st.integers(1, 3), size=st.integers(2, 4))
def test_free_codes_are_free_and_near(data: st.DataObject, levels: int, size: int) -> None:
    every = np.stack(np.meshgrid(*[np.arange(size)] * levels, indexing="ij"), axis=-1).reshape(-1, levels)
    seed = data.draw(st.integers(0, 999))
    rng = np.random.default_rng(seed)
    taken = every[rng.permutation(len(every))[: data.draw(st.integers(0, len(every) - 1))]]
    rows = rng.standard_normal((levels, size, 3))
    target = rng.standard_normal((1, 3))
    found = free_codes(target, rows, taken)
    free = [code for code in map(tuple, every.tolist()) if code not in set(map(tuple, taken.tolist()))]
    distances = {
        code: np.square(target[0] - sum(rows[level, own] for level, own in enumerate(code))).sum() for code in free
    }
    assert distances[tuple(found[0].tolist())] == pytest.approx(min(distances.values()))  # the beam holds all here
    with pytest.raises(InputError, match="no room"):
        free_codes(np.zeros((len(free) + 1, 3)), rows, taken)


def test_the_ridge_is_stronger_where_text_says_nothing() -> None:
    rng = np.random.default_rng(0)
    terms = [(GENRES[item % 6], NOUNS[item % 8]) for item in range(240)]
    told = {term: rng.standard_normal(5) for pair in terms for term in pair}
    known = np.array([told[genre] + told[noun] for genre, noun in terms])
    noise = rng.standard_normal((240, 5))
    clear, blind = (TextRegression(terms, vectors, None, 0) for vectors in (known + noise / 10, noise))
    assert clear.explained > 0.9 and blind.explained < 0.1 and blind.strength > clear.strength
    assert np.allclose(clear([("horror", "river")], None)[0], told["horror"] + told["river"], atol=0.4)


def test_new_texts_are_spelled_as_the_catalogue_spells() -> None:
    known = [("wolves", "space opera"), ("wolves", "robot"), ("robot",)]
    wolf, both, unknown = terms_of_new(["The Wolf. Robots", "a space opera, and spaces", "zebras of 1999"], known)
    assert set(wolf) == {"wolves", "robot"} and wolf[0] == "wolves"
    assert both == ("space opera", "space") or both[0] == "space opera"
    assert unknown == ("zebras",) and terms_of_new(["", "the of"], known) == [(), ()]


@settings(max_examples=8)
@given(exposures=st.lists(st.floats(0.001, 2), min_size=2, max_size=2, unique=True).map(sorted))
def test_more_exposure_is_more_boost_and_lifts_all_new_items(exposures: list[float]) -> None:
    items = [{"item": f"n{number}", "text": f"a {GENRES[number]} {NOUNS[number]}"} for number in range(4)]
    found = []
    for exposure in (0, *exposures):
        recommender = small_recommender()
        found.append((recommender.add_items(items, exposure).boost, scores(recommender)[:, 40:].exp().sum(dim=1)))
    assert found[0][0] == 0 and found[1][0] <= found[2][0]
    assert found[1][0] >= -1.5
    for (less, before), (more, after) in pairwise(found[1:]):
        assert more <= 3 and (less == more or (after > before - 1e-9).all())
    with pytest.raises(InputError, match="exposure must be"):
        small_recommender().add_items(items, -1)
