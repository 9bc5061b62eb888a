"""Scores of other packages: their absence is said in one sentence, and what they are given is right."""

import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.extras import SIDE, extra_scores, load_extras
from recbole_navigen.evaluation.media_pairs import MediaCase
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


def test_absent_packages_and_unknown_names_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"'fid'; use some of ssim, lpips, aesthetic"):
        load_extras(["fid"])
    for name, module in (("ssim", "skimage.metrics"), ("lpips", "lpips"), ("aesthetic", "aesthetic_predictor_v2_5")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(InputError, match=rf"extra metric {name} needs .*install it or leave {name} out"):
            load_extras([name])


def test_each_measure_gets_both_pictures(cases: list[MediaCase], monkeypatch: pytest.MonkeyPatch) -> None:
    def structural_similarity(made: np.ndarray, target: np.ndarray, channel_axis: int) -> float:
        assert made.shape == target.shape == (SIDE, SIDE, 3) and made.dtype == np.uint8 and channel_axis == 2
        return 1 - np.abs(made.astype(float) - target).mean() / 255

    monkeypatch.setitem(sys.modules, "skimage.metrics", SimpleNamespace(structural_similarity=structural_similarity))
    found = extra_scores(load_extras(["ssim"]), cases, frames=2)["ssim"]
    assert found[0] == 1 and found[1] == pytest.approx(1 - 340 / 3 / 255) and np.isnan(found[2:4]).all()
    assert found[4] == pytest.approx(1, abs=0.03)


def test_ssim_by_scikit_image(cases: list[MediaCase]) -> None:
    pytest.importorskip("skimage")
    rng = np.random.default_rng(0)
    noise, faint = rng.integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    folder = Path(cases[0].media).parent
    for name, pixels in (("noise", noise), ("near", noise // 8 * 8), ("far", faint)):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    files = [folder / f"{name}.png" for name in ("noise", "near", "far")]
    noisy = [MediaCase(file.stem, "", file, "", files[0]) for file in files]
    found = extra_scores(load_extras(["ssim"]), [*noisy, *cases], frames=2)["ssim"]
    assert found[0] == pytest.approx(1) and 1 > found[1] > 0.9 > 0.4 > found[2]
    assert found[3] == pytest.approx(1) and np.isnan(found[5:7]).all() and found[7] > 0.95


def test_lpips_by_its_own_package(cases: list[MediaCase], monkeypatch: pytest.MonkeyPatch) -> None:
    """The real package and its linear layers, on an untrained AlexNet that stands for torchvision's."""
    from torch import nn

    def alexnet(pretrained: bool) -> SimpleNamespace:
        def block(*sizes: int) -> list[nn.Module]:
            return [nn.Conv2d(*sizes), nn.ReLU()]

        pool = nn.MaxPool2d(3, 2)
        layers = [*block(3, 64, 11, 4, 2), pool, *block(64, 192, 5, 1, 2), pool, *block(192, 384, 3, 1, 1)]
        return SimpleNamespace(features=[*layers, *block(384, 256, 3, 1, 1), *block(256, 256, 3, 1, 1), pool])

    models = SimpleNamespace(alexnet=alexnet)
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(models=models))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    lpips = pytest.importorskip("lpips")
    monkeypatch.setattr(lpips, "LPIPS", partial(lpips.LPIPS, pnet_rand=True))
    found = extra_scores(load_extras(["lpips"]), cases, frames=2)["lpips"]
    assert found[0] == 0 and found[1] > 10 * found[4] > 0 and np.isnan(found[2:4]).all()
