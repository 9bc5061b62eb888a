"""Scores of other packages: their absence is said in one sentence, and what they are given is right."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.extras import SIDE, extra_scores
from recbole_navigen.evaluation.media import MediaCase
from recbole_navigen.generation.video import mp4


@pytest.fixture
def cases(tmp_path: Path) -> list[MediaCase]:
    colours = ((200, 30, 30), (30, 30, 200))
    for name, colour in zip(("red", "blue"), colours, strict=True):
        Image.new("RGB", (40, 20), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "red.mp4").write_bytes(mp4(np.full((4, 32, 32, 3), colours[0], np.uint8), 8))
    red, blue = tmp_path / "red.png", tmp_path / "blue.png"
    pairs = [(red, red), (red, blue), (None, red), (red, None), (tmp_path / "red.mp4", red)]
    return [MediaCase(f"u{row}", "red", made, "red", target) for row, (made, target) in enumerate(pairs)]


def test_absent_packages_and_unknown_names_are_said(cases: list[MediaCase], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"'fid'; use some of ssim, lpips, aesthetic"):
        extra_scores(["fid"], cases)
    for name, module in (("ssim", "skimage.metrics"), ("lpips", "lpips"), ("aesthetic", "aesthetic_predictor_v2_5")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(InputError, match=rf"extra metric {name} needs .*install it or leave {name} out"):
            extra_scores([name], cases)


def test_each_measure_gets_both_pictures(cases: list[MediaCase], monkeypatch: pytest.MonkeyPatch) -> None:
    def structural_similarity(made: np.ndarray, target: np.ndarray, channel_axis: int) -> float:
        assert made.shape == target.shape == (SIDE, SIDE, 3) and made.dtype == np.uint8 and channel_axis == 2
        return 1 - np.abs(made.astype(float) - target).mean() / 255

    monkeypatch.setitem(sys.modules, "skimage.metrics", SimpleNamespace(structural_similarity=structural_similarity))
    found = extra_scores(["ssim"], cases, frames=2)["ssim"]
    assert found[0] == 1 and found[1] == pytest.approx(1 - 340 / 3 / 255) and np.isnan(found[2:4]).all()
    assert found[4] == pytest.approx(1, abs=0.03)
