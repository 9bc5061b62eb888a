"""The dual-identifier table: its refusals, its files, its texts."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_navigen.artefacts import verify_manifest
from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.identifiers.table import DualIdentifierTable

GOOD = {
    "item_tokens": ("x7", "x8", "x9"),
    "codes": np.array([[0, 1], [1, 0], [0, 0]]),
    "codebook_size": 2,
    "codebooks": np.arange(12, dtype=np.float32).reshape(2, 2, 3),
    "terms": (("space", "opera"), ("heist",), ("quiet drama",)),
    "report": {
        "codes": {
            "colliding_items_before": 2,
            "colliding_items_after": 0,
            "largest_group_before": 2,
            "items_moved": 1,
            "per_level": [
                {"reseeded_codes": 1, "reconstruction_error": 0.5},
                {"reseeded_codes": 0, "reconstruction_error": 0.25},
            ],
        },
        "terms": {"items_without_text": 1, "items_without_terms": 0, "items_borrowed": 1},
    },
}


def table(**changes) -> DualIdentifierTable:
    return DualIdentifierTable(**(GOOD | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": np.array([[0, 1], [1, 0], [0, 1]])}, r"items 'x7' and 'x9' share the code \(0, 1\)"),
        ({"codes": np.array([[0, 1], [1, 2], [0, 0]])}, r"item 'x8' has code 2 at level 1, outside 0\.\.1"),
        ({"codes": np.array([[0, 1], [-1, 0], [0, 0]])}, "item 'x8' has code -1 at level 0"),
        ({"codes": np.array([[0, 1], [1, 0]])}, "item 'x9' is missing from the codes"),
        ({"terms": GOOD["terms"][:1]}, "item 'x8' is missing from the terms"),
        ({"item_tokens": ("x7", "x8")}, "item index 2 has no raw id"),
        ({"item_tokens": ("x7", "", "x9")}, "item index 1 has no raw id"),
        ({"item_tokens": ("x7", "x8", "x7")}, "item 'x7' appears twice, at item indices 0 and 2"),
        ({"terms": (("a",), (), ("b",))}, "item 'x8' has an empty TID"),
        ({"terms": (("a",), ("b",), tuple("abcdefghijk"))}, "item 'x9' has 11 terms"),
        ({"terms": (("a",), ("b", " "), ("c",))}, "item 'x8' has the term ' '"),
        ({"terms": (("a",), ("b", "b"), ("c",))}, "item 'x8' repeats a term"),
        ({"codebooks": np.zeros((2, 3, 4))}, r"codebooks must have shape \(2, 2, D\)"),
        ({"codebooks": np.full((2, 2, 1), np.nan)}, "centroid of <s_a_0> is not finite"),
        ({"codes": np.array([[0.0, 1.0]] * 3)}, "integers"),
        ({"item_tokens": (), "codes": np.empty((0, 2), int), "terms": ()}, "at least one item"),
    ],
)
def test_each_refusal_names_the_item(changes, message):
    with pytest.raises(InputError, match=message):
        table(**changes)


def test_more_levels_than_letters_are_refused():
    with pytest.raises(InputError, match="27 levels"):
        table(codes=np.arange(3)[:, None].repeat(27, axis=1), codebook_size=3, codebooks=np.zeros((27, 3, 1)))


def test_ten_terms_are_welcome():
    assert len(table(terms=(tuple("abcdefghij"), ("b",), ("c",))).terms[0]) == 10


def test_the_trie_follows_the_codes():
    deep = table(codes=np.array([[0] * 5, [1, 0, 1, 0, 1], [1] * 5]), codebooks=np.zeros((5, 2, 1)))
    assert deep.trie is deep.trie
    assert deep.trie.find(deep.codes).tolist() == [0, 1, 2]


def test_a_table_cannot_change_under_its_readers():
    codes = GOOD["codes"].copy()
    built = table(codes=codes)
    codes[0] = 1
    assert built.codes[0].tolist() == [0, 1]
    for array in (built.codes, built.codebooks):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(AttributeError):
        built.terms = ()


def test_describe_tells_use_collisions_and_terms():
    text = table().describe()
    for words in (
        "3 items, 2 levels x 2 codes",
        "level a: 2 codes in use, entropy 0.92 of 1.00 bits, largest 2 items, 2 distinct prefixes",
        "2 items shared a code (largest group 2), 1 moved, 0 still share one",
        "codes re-seeded: 1; variance left: 0.500, 0.250",
        "4 distinct, 1.3 an item (1 to 2)",
        "items without text: 1, with text but without a word: 0; terms borrowed from neighbours: 1 items",
    ):
        assert words in text
    assert max(map(len, text.splitlines())) < 110
    assert "collisions" not in table(report={}).describe()


RAW_IDS = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=5)
TERMS = st.lists(st.text("abé 'ß-", min_size=1, max_size=6).map(str.split).map(" ".join).filter(bool), unique=True)


@given(st.lists(RAW_IDS, min_size=1, max_size=12, unique=True), st.data())
@settings(max_examples=25, deadline=None)
def test_what_is_saved_is_what_is_loaded(tmp_path_factory, item_tokens, data):
    n_items, rng = (len(item_tokens), np.random.default_rng(data.draw(st.integers(0, 1000))))
    terms = [data.draw(TERMS.map(lambda drawn: drawn[:10] or ["x"])) for _ in item_tokens]
    codes = np.stack(np.unravel_index(rng.permutation(64)[:n_items], (4, 4, 4)), axis=1)
    codebooks = rng.normal(size=(3, 4, 5)).astype(np.float32)
    report = {"codes": None, "note": [1, "é"]}
    residuals = data.draw(st.sampled_from([None, rng.normal(size=(n_items, 5)).astype(np.float32)]))
    built = DualIdentifierTable(item_tokens, codes, 4, codebooks, terms, report, residuals)
    folder = tmp_path_factory.mktemp("saved") / "table"
    built.save(folder, {"seed": 7})
    back = DualIdentifierTable.load(folder)
    assert (back.item_tokens, back.terms, back.report) == (built.item_tokens, built.terms, built.report)
    assert (back.codes == built.codes).all() and (back.codebooks == built.codebooks).all()
    assert (back.residuals == (0 if residuals is None else residuals)).all()
    assert (back.codebook_size, back.levels, back.n_items) == (4, 3, n_items)
    assert verify_manifest(folder)["inputs"] == {"seed": 7}


def test_one_changed_byte_in_any_file_is_noticed(tmp_path):
    table().save(tmp_path / "table", {})
    for path in sorted((tmp_path / "table").iterdir()):
        good = path.read_bytes()
        position = len(good) // 2
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(DamagedArtefact):
            DualIdentifierTable.load(tmp_path / "table")
        path.write_bytes(good)
    DualIdentifierTable.load(tmp_path / "table")


def test_saving_replaces_an_older_table_and_nothing_is_a_pickle(tmp_path):
    table().save(tmp_path / "table", {"seed": 1})
    table(terms=(("new",), ("b",), ("c",))).save(tmp_path / "table", {"seed": 2})
    assert DualIdentifierTable.load(tmp_path / "table").terms[0] == ("new",)
    names = {path.name for path in (tmp_path / "table").iterdir()}
    assert names == {"items.parquet", "vectors.safetensors", "table.json", "manifest.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["table"]
    json.loads((tmp_path / "table" / "table.json").read_text())
