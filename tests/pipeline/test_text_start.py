"""Codes of texts in place of a collaborative model, and items without text in their vectors."""

from pathlib import Path

import pytest
import torch
from small_navigen import build

from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.embeddings import text_embeddings


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


def test_texts_that_say_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="no item text has a word in it"):
        text_embeddings(["", "-"], 0)
    with pytest.raises(InputError, match="too few or too alike"):
        text_embeddings(["word"], 0)
    vectors = text_embeddings(["a red ball", "a red house", ""], 0)
    assert vectors[0] @ vectors[1] > 0.1 and (vectors[2] == 0).all()
