"""Scores beside CLIP, where their packages are installed: SSIM and LPIPS to the held-out item's image, aesthetics.

None of them is personal, and LPIPS and SSIM ask for the same pixels rather than for the same taste; they are offered
because papers report them.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from types import ModuleType

import numpy as np
from PIL import Image

from recbole_navigen.encoders.clip import is_video
from recbole_navigen.encoders.frames import read_frames
from recbole_navigen.encoders.pictures import open_picture
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.media_pairs import MediaCase

Measure = Callable[..., float]  # of one picture, or of two of shape (SIDE, SIDE, 3), uint8
UNPAIRED = frozenset({"aesthetic"})  # scores of a picture alone
SIDE = 224  # pixels to which both pictures are brought, bicubic


def load_extras(names: Sequence[str], device: str = "cpu") -> dict[str, Measure]:
    """Load what some extra scores need: name -> measure. To be called before anything is generated.

    Args:
        names: among `EXTRAS`. device: of networks; SSIM is computed on the processor.
    """
    for name in names:
        if name not in EXTRAS:
            raise InputError(f"extra_metrics holds {name!r}; use some of {', '.join(EXTRAS)}.")
    measures = {}
    for name in names:
        package, pip, make = EXTRAS[name]
        try:
            with _weights_alone():
                measures[name] = make(import_module(package), device)
        # A torchvision that was built for another torch, weights that cannot be fetched, a file with more in it than
        # weights: each library has an error of its own.
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"extra metric {name} needs {pip} ({reason}); install it or leave {name} out.") from error
    return measures


@contextlib.contextmanager
def _weights_alone() -> Iterator[None]:
    """Have torch read nothing but tensors from the files of packages, which are in its own format."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def extra_scores(measures: Mapping[str, Measure], cases: Sequence[MediaCase], frames: int = 8) -> dict[str, np.ndarray]:
    """One value a user and score; nan where there is no medium, or no image to compare it with.

    Args:
        measures: from `load_extras`. cases: one a user, B. frames: sampled of a video, whose values are averaged.

    Returns:
        name -> (B,), float64. SSIM and aesthetics: more is better; LPIPS: less is better.
    """
    return {
        name: np.array([_of_user(measure, case, frames, name not in UNPAIRED) for case in cases])
        for name, measure in measures.items()
    }


def _of_user(measure: Measure, case: MediaCase, frames: int, paired: bool) -> float:
    if case.media is None or (paired and case.target_image is None):
        return np.nan
    made = read_frames(case.media, frames) if is_video(case.media) else [np.asarray(open_picture(case.media))]
    pictures = [Image.fromarray(frame) for frame in made]
    if not paired:
        return float(np.mean([measure(picture) for picture in pictures]))
    target = _pixels(open_picture(case.target_image))
    return float(np.mean([measure(_pixels(picture), target) for picture in pictures]))


def _pixels(image: Image.Image) -> np.ndarray:
    """(SIDE, SIDE, 3), uint8."""
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _ssim(package: ModuleType, device: str) -> Measure:
    return lambda made, target: package.structural_similarity(made, target, channel_axis=2)


def _lpips(package: ModuleType, device: str) -> Measure:
    import torch

    net = package.LPIPS(net="alex", verbose=False).to(device).eval()  # its authors' choice for scores

    def measure(medium: np.ndarray, target: np.ndarray) -> float:
        both = [torch.tensor(side).permute(2, 0, 1)[None].float() / 127.5 - 1 for side in (medium, target)]
        with torch.inference_mode():
            return net(*(side.to(device) for side in both)).item()

    return measure


def _aesthetic(package: ModuleType, device: str) -> Measure:
    import torch

    model, processor = package.convert_v2_5_from_siglip(low_cpu_mem_usage=True)
    model = model.to(device).eval()

    def measure(made: Image.Image) -> float:
        with torch.inference_mode():
            return model(processor(images=made, return_tensors="pt").pixel_values.to(device)).logits.item()

    return measure


# Name -> module, what to install, and how a measure is made of the module.
EXTRAS = {
    "ssim": ("skimage.metrics", "scikit-image", _ssim),
    "lpips": ("lpips", "lpips with torchvision", _lpips),
    "aesthetic": ("aesthetic_predictor_v2_5", "aesthetic-predictor-v2-5 with torchvision", _aesthetic),
}
