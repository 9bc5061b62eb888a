"""The GPU's benchmark, small and on a processor: every part runs, and a part that fails is reported."""

import json
import sys
from pathlib import Path

import pytest
import small_media  # noqa: F401 (puts benchmarks on the path)
import torch
import yaml
from synthetic import write_atomic
from tiny_settings import NAVIGEN


def test_every_part_runs_small_on_a_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu
    from harness import common

    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    places = [f"--data_path={write_atomic(tmp_path / 'dataset', 'tiny', users=20, items=30)}", "--dataset=tiny"]
    (tmp_path / "small.yaml").write_text(yaml.safe_dump({**NAVIGEN, "epochs": 1, "MAX_ITEM_LIST_LENGTH": 8}))
    places.append(f"--config_files={tmp_path / 'small.yaml'}")
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--small", "--device=cpu", *places])
    gpu.main()
    result = json.loads((tmp_path / "results" / "gpu-small.json").read_text())
    assert not [bar["name"] for bar in result["bars"] if "failed" in bar["name"]]
    assert set(gpu.Bench.__dict__) >= {"job", "ranking", "writer", "lora", "media", "evaluator"} <= set(result)
    for medium in ("image", "video"):
        row = result["media"][f"{medium}, offload none"]
        assert row["done"] == row["asked"] == 2 and row["seconds each"] > 0
    agreement = result["ranking"]["agreement with the processor"]
    assert agreement == {"float32, largest difference": 0.0, "bfloat16, equal places": 1.0}
    assert result["writer"]["tokens"] > 20 and result["job"]["peak_device_memory_mb"] is None

    # A part that cannot be done does not stop the next one, and is no success.
    monkeypatch.setattr(gpu.Bench, "writer", lambda self: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--small", "--device=cpu", "--parts=writer,evaluator"])
    gpu.main()
    bars = json.loads((tmp_path / "results" / "gpu-small.json").read_text())["bars"]
    held = {bar["name"]: bar["holds"] for bar in bars}
    assert held["writer failed"] is False and held["evaluator, pictures a second"]


def test_layouts_are_those_that_are_published() -> None:
    import transformers
    from diffusers import WanTransformer3DModel, ZImageTransformer2DModel

    from worlds import published_layouts

    with torch.device("meta"):
        sizes = {
            6.0: ZImageTransformer2DModel(),
            1.4: WanTransformer3DModel(num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, num_layers=30),
            0.135: published_layouts.language_model("135M", "meta"),
            1.7: published_layouts.language_model("1.7B", "meta"),
        }
    for billions, model in sizes.items():
        assert sum(weight.numel() for weight in model.parameters()) / 1e9 == pytest.approx(billions, rel=0.05)
    assert isinstance(sizes[1.7], transformers.LlamaForCausalLM)
