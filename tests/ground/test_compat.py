"""RecBole on today's NumPy, SciPy and torch."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import recbole
import scipy.sparse
import torch

from recbole_navigen import compat

# What stock RecBole does on current packages, then the same after compat; prints what failed each time.
PROBE = """
import json
import scipy.sparse
import torch

def config():
    from recbole.config import Config
    Config("BPR", "ml-100k")

def dok():
    scipy.sparse.dok_matrix((2, 2))._update({(0, 1): 1.0})

def collector():
    from recbole.evaluator.collector import Collector, DataStruct
    held = Collector.__new__(Collector)
    held.data_struct = DataStruct()
    held.data_struct.set("data.num_items", 3)
    held.get_data_struct()

def pop():
    from recbole.model.general_recommender.pop import InputType, Pop
    model = Pop.__new__(Pop)
    torch.nn.Module.__init__(model)
    model.ITEM_ID, model.device = "item", torch.device("cpu")
    model.item_cnt = torch.zeros(3, 1, dtype=torch.long)
    model.calculate_loss({"item": torch.tensor([1, 2, 2])})
    assert model.item_cnt.flatten().tolist() == [0, 1, 2] and model.max_cnt == 2
    assert Pop.input_type == InputType.PAIRWISE

def folder():
    import os
    from recbole.utils import logger
    exists, os.path.exists = os.path.exists, lambda path: False  # another process makes it right after the look
    try:
        logger.ensure_dir(".")
    finally:
        os.path.exists = exists

def failing():
    names = []
    for probe in (config, dok, collector, pop, folder):
        try:
            probe()
        except (AttributeError, KeyError, AssertionError, FileExistsError):
            names.append(probe.__name__)
    return names

stock = failing()
import recbole_navigen.compat
recbole_navigen.compat.apply_to_models()
mended = failing()
assert not torch.is_anomaly_enabled()
del __import__("sys").modules["recbole.model.sequential_recommender.sine"]
import recbole.model.sequential_recommender.sine
print(json.dumps([stock, mended, torch.is_anomaly_enabled()]))
"""


def test_each_entry_mends_something(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, cwd=tmp_path, check=True)
    stock, mended, sine_detects_anomalies = json.loads(run.stdout.splitlines()[-1])
    every = ["config", "dok", "collector", "pop", "folder"]
    assert stock == every, "RecBole or a package mended this itself: delete the entry"
    assert mended == []
    assert sine_detects_anomalies, "RecBole mended SINE: delete the entry"


def test_what_recbole_needs_in_training_alone_is_imported_by_a_training(tmp_path: Path) -> None:
    probe = """
import logging, sys
import recbole_navigen.compat
assert not {"tensorboard", "sklearn"} & sys.modules.keys()
from recbole.utils import get_tensorboard
get_tensorboard(logging.getLogger()).add_scalar("loss", 1.0, 0)
assert "tensorboard" in sys.modules
"""
    subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, check=True)
    assert [*tmp_path.glob("log_tensorboard/*/events.*")]


def test_applying_twice_changes_nothing() -> None:
    from recbole.evaluator.collector import Collector

    before = (np.float, np.str, scipy.sparse.dok_matrix._update, Collector.get_data_struct)
    compat.apply()
    assert before == (np.float, np.str, scipy.sparse.dok_matrix._update, Collector.get_data_struct)
    assert not torch.is_anomaly_enabled()


def test_anomaly_detection_of_the_user_stays_on() -> None:
    with torch.autograd.set_detect_anomaly(True):
        compat.apply()
        assert torch.is_anomaly_enabled()


def test_other_versions_of_recbole_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recbole, "__version__", "1.3.0")
    with pytest.raises(ImportError, match=r"works with recbole==1\.2\.1 and found recbole 1\.3\.0"):
        compat.apply()


def test_collector_keeps_training_counts_and_drops_one_evaluation() -> None:
    from recbole.evaluator.collector import Collector, DataStruct

    collector = Collector.__new__(Collector)
    collector.data_struct = DataStruct()
    collector.data_struct.set("data.num_items", 3)
    collector.data_struct.set("rec.topk", torch.ones(2))
    first = collector.get_data_struct()
    assert first.get("data.num_items") == 3 and first.get("rec.topk").tolist() == [1, 1]
    second = collector.get_data_struct()
    assert "rec.topk" not in second and second.get("data.num_items") == 3


def test_only_known_noise_is_silenced() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compat.apply()
        warnings.warn("`torch.cuda.amp.GradScaler(args...)` is deprecated.", FutureWarning, stacklevel=1)
        warnings.warn("something else", FutureWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["something else"]
