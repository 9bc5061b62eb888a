"""A zoo of tiny random pipelines: one function a family, which builds the real diffusers classes in a few milliseconds.

Weights are drawn, not trained, and are larger than usual so that texts, seeds and settings show in the pixels.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from small_image_pipelines import (
    flux,
    flux_2_klein,
    flux_2_klein_distilled,
    flux_kontext,
    flux_schnell,
    kandinsky,
    pixart_sigma,
    qwen_image,
    sana,
    sana_sprint,
    stable_diffusion,
    stable_diffusion_3,
    stable_diffusion_xl,
    z_image,
)
from small_video_pipelines import (
    animatediff,
    cogvideox,
    hunyuan_video,
    ltx,
    ltx_image_to_video,
    mochi,
    wan_2_1,
    wan_2_2,
    wan_image_to_video,
)

IMAGES: dict[str, Callable[[], Any]] = {
    "sd": stable_diffusion,
    "sdxl": stable_diffusion_xl,
    "sd3": stable_diffusion_3,
    "pixart-sigma": pixart_sigma,
    "sana": sana,
    "sana-sprint": sana_sprint,
    "flux": flux,
    "flux-schnell": flux_schnell,
    "flux2-klein": flux_2_klein,
    "flux2-klein-distilled": flux_2_klein_distilled,
    "z-image": z_image,
    "qwen-image": qwen_image,
    "kandinsky": kandinsky,
}
VIDEOS: dict[str, Callable[[], Any]] = {
    "wan-2.1": wan_2_1,
    "wan-2.2": wan_2_2,
    "ltx": ltx,
    "cogvideox": cogvideox,
    "hunyuan-video": hunyuan_video,
    "animatediff": animatediff,
    "mochi": mochi,
}
STARTED: dict[str, Callable[[], Any]] = {
    "flux-kontext": flux_kontext,
    "flux2-klein-edit": flux_2_klein,
    "wan-i2v": wan_image_to_video,
    "ltx-i2v": ltx_image_to_video,
}


# Weights that are made larger, so that texts show: part of the name of a pipeline -> part of it -> factor.
FACTORS = {"wan": {"transformer": 4, "vae": 2}, "qwen": {"transformer": 4, "vae": 2}, "flux2": {"transformer": 2}}


def build(name: str, folder: Path) -> str:
    """Save one pipeline as a user's folder, with weights drawn from one seed."""
    torch.manual_seed(0)
    pipe = {**IMAGES, **VIDEOS, **STARTED}[name]()
    with torch.no_grad():
        for part, factor in FACTORS.get(name.partition("-")[0], {}).items():
            for weight in getattr(pipe, part).parameters():
                weight.mul_(factor if weight.dim() > 1 else 1)
    pipe.save_pretrained(folder)
    return str(folder)
