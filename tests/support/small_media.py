"""Small models of texts and pictures for tests: untrained ones in a second, and the tiny world's in a few steps."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from recbole_navigen.generation.image import png
from recbole_navigen.generation.video import mp4
from worlds import (
    tiny_models,
    tiny_world,  # noqa: F401 (for tests)
)

TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
FEW_STEPS = tiny_models.Sizes(
    width=32,
    layers=1,
    latent_width=8,
    channels=16,
    pairs=16,
    frames=16,
    pictures=4,
    clips=1,
    clip_steps=3,
    autoencoder_steps=3,
    image_steps=2,
    video_steps=2,
)


class Painter:
    """Noise, as an image or as a clip."""

    batch_size = 4

    def __init__(self, media: str):
        self.media = media
        self.identity = {"model": f"painter of {media}s", "revision": None, "arguments": {}}

    def lengths(self, instruction: str) -> dict[str, tuple[int, int]]:
        return {}

    def __call__(self, instructions: list[str], seeds: list[int]) -> list[bytes | None]:
        noise = [np.random.default_rng(seed).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8) for seed in seeds]
        return [png(Image.fromarray(one[0])) if self.media == "image" else mp4(one, 8) for one in noise]


def small_clip(folder: Path, positions: int = 77, seed: int = 0) -> str:
    """An untrained CLIP of 32-pixel pictures, saved."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    tokenizer = tiny_models.train_tokenizer(folder, np.random.default_rng(0))
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    text = {**TOWER, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": positions}
    vision = {**TOWER, "image_size": 32, "patch_size": 8}
    torch.manual_seed(seed)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=32))
    # Untrained weights are so small that all texts look alike; larger ones tell them apart.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4 if parameter.dim() > 1 else 1)
    model.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


def small_siglip(folder: Path) -> str:
    """An untrained SigLIP of 32-pixel pictures, saved."""
    from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessorPil, SiglipModel

    tokenizer = tiny_models.train_tokenizer(folder, np.random.default_rng(0))
    saved = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, pad_token="<|endoftext|>", eos_token="<|endoftext|>"
    )
    saved.save_pretrained(folder)
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "projection_size": 32}
    torch.manual_seed(0)
    config = SiglipConfig(text_config=text, vision_config={**TOWER, "image_size": 32, "patch_size": 8})
    SiglipModel(config).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)
