"""Codes made anew of the model's own vectors: no item moves, and a kill at any time changes nothing."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_model import small_model
from tiny_settings import NAVIGEN

from recbole_navigen.artefacts import read_json
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.pipeline import recoding
from recbole_navigen.pipeline import train as pipeline
from recbole_navigen.quick_start import Recommender, run_navigen
from recbole_navigen.runs.layout import IDENTIFIERS, RECODING


@given(st.integers(1, 40), st.integers(1, 4), st.integers(2, 9), st.integers(0, 99))
def test_new_rows_add_up_to_the_vectors(n_items, levels, size, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n_items, 5)).astype(np.float32)
    codes = rng.integers(0, size, (n_items, levels))
    rows = recoding.split_rows(vectors, codes, size)
    sums = rows["code_rows"].reshape(levels, size, 5)[np.arange(levels), codes].sum(axis=1) + rows["item_rows"][1:]
    assert np.allclose(sums, vectors, atol=1e-5)
    assert not rows["item_rows"][0].any()
    for code in np.unique(codes[:, 0]):
        assert np.allclose(rows["code_rows"][code], vectors[codes[:, 0] == code].mean(axis=0), atol=1e-5)


def test_sums_of_rows_are_what_a_code_and_an_item_own():
    model, _ = small_model(item_rows=True)
    items = torch.arange(1, 31)
    expected = model.item_vectors(items) - model.tid_vectors(items)
    assert np.allclose(recoding.row_sums(model), expected.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("decoder", ["tree", "tokens"])
def test_a_run_with_new_codes_starts_where_the_first_model_stood(tiny: Path, decoder, monkeypatch):
    """No item has moved when training begins; what is loaded afterwards has the new codes."""
    seen = {}
    begin, split = recoding.start_from, recoding.split_rows

    def splitting(vectors, codes, size):
        seen["before"], seen["codes"] = vectors, codes
        return split(vectors, codes, size)

    def starting(model, run_dir):
        begin(model, run_dir)
        seen["after"] = recoding.row_sums(model.lm)

    monkeypatch.setattr(recoding, "split_rows", splitting)
    monkeypatch.setattr("recbole_navigen.pipeline.train.start_from", starting)
    settings = {**NAVIGEN, "epochs": 1, "show_progress": False, "use_gpu": False, "train_batch_size": 16}
    settings |= {"decoder": decoder, "recode_epochs": 1}
    run = Path(run_navigen("NaviGen", "tiny", config_dict=settings)["run_dir"])
    assert np.allclose(seen["before"], seen["after"], atol=1e-5)
    table = DualIdentifierTable.load(run / IDENTIFIERS)
    assert (table.codes == seen["codes"]).all()
    assert "recode" in [stage["name"] for stage in read_json(run / "result.json")["stages"]]
    assert not list(run.glob("*-in-training")) and not (run / RECODING).exists()
    assert len(Recommender.load(run).recommend(["i1", "i2"], k=3)) == 3


def test_a_kill_behind_the_new_codes_changes_nothing(tiny: Path, monkeypatch):
    """Killed when the first model is trained, and again when the second one begins: the numbers stay the same."""
    settings = {**NAVIGEN, "epochs": 1, "show_progress": False, "use_gpu": False, "train_batch_size": 16}
    settings |= {"recode_epochs": 1}
    whole = run_navigen("NaviGen", "tiny", config_dict={**settings, "checkpoint_dir": "whole"})
    for place in ("recoded", "start_from"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            where = recoding if place == "recoded" else pipeline
            patch.setattr(where, place, Mock(side_effect=KeyboardInterrupt))
            run_navigen("NaviGen", "tiny", config_dict={**settings, "checkpoint_dir": "killed"})
    again = run_navigen("NaviGen", "tiny", config_dict={**settings, "checkpoint_dir": "killed"})
    assert len(list(Path("killed").glob("NaviGen-*"))) == 1
    assert again["test_result"] == whole["test_result"] and again["best_valid_score"] == whole["best_valid_score"]
