"""Codes of texts in place of a collaborative model, and items without text in their vectors."""

from pathlib import Path

import pytest
import torch
from small_navigen import build
from tiny_settings import NAVIGEN

from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.embeddings import text_embeddings
from recbole_navigen.quick_start import Recommender, run_generate, run_navigen


def test_codes_of_texts_train_no_collaborative_model(tiny: Path) -> None:
    *_, model, _ = build(tiny, collaborative_model="text")
    assert not list(tiny.rglob("embeddings.safetensors")) and model.table.levels == 3
    build(tiny, "other")
    assert list(tiny.rglob("embeddings.safetensors"))


def test_without_text_an_item_is_its_codes_and_its_row(tiny: Path) -> None:
    *_, model, _ = build(tiny, text_vectors="none")
    items = torch.arange(1, 20)
    expected = model.lm.code_vectors(items) + model.lm.item_rows[items]
    assert torch.allclose(model.lm.item_vectors(items), expected, atol=1e-6)
    *_, read, _ = build(tiny, "other")
    assert not torch.allclose(read.lm.item_vectors(items), read.lm.code_vectors(items) + read.lm.item_rows[items])


def test_data_without_any_text_are_recommended_from_and_not_written_about(tiny: Path) -> None:
    (tiny / "tiny" / "tiny.item").unlink()
    own = {**NAVIGEN, "item_text_fields": None, "epochs": 2, "state": "ERROR", "show_progress": False}
    with pytest.raises(InputError, match=r"item_text_fields is empty; add .*tiny\.item .* or do without text"):
        run_navigen("NaviGen", "tiny", config_dict=own)
    own["text_vectors"] = "none"
    result = run_navigen("NaviGen", "tiny", config_dict=own)
    assert 0 <= result["test_result"]["ndcg@10"] <= 1
    recommender = Recommender.load(result["run_dir"])
    assert set(recommender.table.terms) == {("item",)} and len(recommender.recommend(["i1"], k=5)) == 5
    for settings in ({"run": result["run_dir"]}, {"dataset": "tiny", "config_dict": own}):
        with pytest.raises(InputError, match="the items of tiny have no text"):
            run_generate(**settings)
    with pytest.raises(InputError, match="the items of tiny have no text"):
        run_navigen("NaviGen", "tiny", config_dict={**own, "task_weights": {"cid2ins": 0.5}})


def test_texts_that_say_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="no item text has a word in it"):
        text_embeddings(["", "-"], 0)
    with pytest.raises(InputError, match="too few or too alike"):
        text_embeddings(["word"], 0)
    vectors = text_embeddings(["a red ball", "a red house", ""], 0)
    assert vectors[0] @ vectors[1] > 0.1 and (vectors[2] == 0).all()
