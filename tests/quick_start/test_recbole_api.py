"""RecBole's own functions and loop: scripts that were written for RecBole run as they stand, and compute the same."""

import os
import queue
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from places import ROOT
from tiny_settings import BASELINES, NAVIGEN

from recbole_navigen.config import Config
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.errors import InputError
from recbole_navigen.quick_start import (
    get_model,
    get_trainer,
    load_data_and_model,
    objective_function,
    run_navigen,
    run_recbole,
)

QUIET = {"state": "ERROR", "show_progress": False, "epochs": 2, "use_gpu": False, "MAX_ITEM_LIST_LENGTH": 8}


def script(text: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run a user's script in the working directory of the test."""
    Path("old.py").write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, "old.py", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_an_old_script_runs_with_one_line_more(tiny: Path) -> None:
    """RecBole's own run_recbole.py, whose settings come from sys.argv, then its loop with RecBole's imports."""
    done = script(
        """
        from recbole_navigen import compat
        compat.install()

        import argparse, sys
        from recbole.quick_start import run, load_data_and_model
        from recbole.config import Config
        from recbole.data import create_dataset, data_preparation
        from recbole.trainer import Trainer
        from recbole.utils import init_seed, get_model

        parser = argparse.ArgumentParser()
        parser.add_argument("--model", "-m", type=str, default="BPR")
        parser.add_argument("--nproc", type=int, default=1)
        args, _ = parser.parse_known_args()
        result = run(args.model, "tiny", config_dict={"topk": [5], "valid_metric": "NDCG@5"}, nproc=args.nproc)
        config, model, dataset, train_data, valid_data, test_data = load_data_and_model(result["run_dir"])
        assert type(model).__name__ == "BPR" and config["embedding_size"] == 16 and config["epochs"] == 1

        config = Config(model=args.model, dataset="tiny", config_dict={"topk": [5], "valid_metric": "NDCG@5"})
        init_seed(config["seed"], config["reproducibility"])
        for key in ("epochs", "embedding_size", "use_gpu"):
            config[key] = {"epochs": 1, "embedding_size": 16, "use_gpu": False}[key]
        train_data, valid_data, test_data = data_preparation(config, create_dataset(config))
        init_seed(config["seed"], config["reproducibility"])
        model = get_model(config["model"])(config, train_data.dataset).to(config["device"])
        trainer = Trainer(config, model)
        trainer.fit(train_data, valid_data, show_progress=False)
        assert trainer.evaluate(test_data) == result["test_result"]
        assert "ray" not in sys.modules
        print("through")
        """,
        *("--epochs=1", "--embedding_size=16", "--use_gpu=False", "--show_progress=False", "--nproc=1"),
    )
    assert done.returncode == 0 and done.stdout.endswith("through\n"), done.stderr[-3000:]


@pytest.mark.parametrize("name", ["NaviGen", "SASRec", "BPR"])
def test_recboles_loop_computes_what_a_run_computes(name: str, tiny: Path) -> None:
    settings = {**QUIET, **(NAVIGEN if name == "NaviGen" else BASELINES[name])}
    run = run_navigen(name, "tiny", config_dict=settings)
    from recbole.utils import init_seed

    config = Config(model=name, dataset="tiny", config_dict=settings)
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train_data, valid_data, test_data = data_preparation(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    model = get_model(config["model"])(config, train_data.dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    score, _ = trainer.fit(train_data, valid_data, show_progress=False)
    assert score == run["best_valid_score"]
    assert trainer.evaluate(test_data) == run["test_result"]


def test_recboles_functions(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["script.py", "--embedding_size=8", "--nproc=1", "--config_files=no.yaml", "-q"])
    results: queue.Queue = queue.Queue()
    result = run_recbole("BPR", "tiny", config_dict=QUIET, queue=results)
    assert results.get() == result
    config = load_data_and_model(Path(result["run_dir"]) / "checkpoint").config
    assert config["embedding_size"] == 8
    kept = set(Path("saved").iterdir())
    found = objective_function({**QUIET, "model": "BPR", "dataset": "tiny"}, saved=False)
    assert set(Path("saved").iterdir()) == kept and found["model"] == "BPR"
    assert found["test_result"] == result["test_result"] and set(found) == {
        *("model", "best_valid_score", "valid_score_bigger", "best_valid_result", "test_result")
    }
    Path("BPR-Nov.pth").write_bytes(b"a pickle")
    with pytest.raises(InputError, match="pickles"):
        load_data_and_model("BPR-Nov.pth")
    from recbole_navigen.quick_start.recbole_api import run

    with pytest.raises(InputError, match="torchrun"):
        run("BPR", "tiny", nproc=2)
