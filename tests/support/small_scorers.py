"""A zoo of tiny random scorers, in the layouts of published ones, saved as folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from small_media import TOWER, small_clip, small_siglip
from small_pipeline_parts import tokenizers
from torch import nn

ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
VISION = {**TOWER, "image_size": 32, "patch_size": 8}
SQUARE = {"height": 32, "width": 32}


def _saved(folder: Path, model: nn.Module, processor: Any, tokenizer: Any) -> str:
    with torch.no_grad():  # untrained weights are so small that all texts look alike
        for name, parameter in model.named_parameters():
            parameter.mul_(3 if parameter.dim() == 2 and "norm" not in name else 1)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def ended() -> Any:
    """The tiny world's tokenizer with the end token, and without the start token, of SigLIP 2 and BERT."""
    from tokenizers import processors

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=type(tokenizers()["plain"].backend_tokenizer).from_str(
            tokenizers()["plain"].backend_tokenizer.to_str()
        ),
        pad_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        bos_token="<|startoftext|>",
    )
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 1)]
    )
    return tokenizer


def metaclip_2(folder: Path) -> str:
    text = {**TOWER, **ENDS, "vocab_size": 1000, "max_position_embeddings": 77}
    model = transformers.MetaClip2Model(
        transformers.MetaClip2Config(text_config=text, vision_config=VISION, projection_dim=32)
    )
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE)
    return _saved(folder, model, processor, tokenizers()["clip"])


def siglip_2(folder: Path) -> str:
    """The fixed sizes of SigLIP 2 have SigLIP's classes, and Gemma's tokenizer, which keeps case."""
    tokenizer = ended()
    tokenizer.add_tokens(["<start_of_turn>"])
    text = {**TOWER, "vocab_size": 1001, "max_position_embeddings": 64, "projection_size": 32}
    model = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=VISION))
    return _saved(folder, model, transformers.SiglipImageProcessorPil(size=SQUARE), tokenizer)


def siglip_2_naflex(folder: Path) -> str:
    text = {**TOWER, "vocab_size": 1000, "max_position_embeddings": 64, "projection_size": 32}
    vision = {**TOWER, "num_patches": 16, "patch_size": 8}
    model = transformers.Siglip2Model(transformers.Siglip2Config(text_config=text, vision_config=vision))
    processor = transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    return _saved(folder, model, processor, _characters())


def _characters() -> Any:
    """SigLIP 2's own tokenizer over single characters."""
    from tokenizers import processors

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    characters = [chr(number) for number in range(33, 127)] + ["▁"]
    vocabulary = {piece: number for number, piece in enumerate([*special, *characters])}
    tokenizer = transformers.Siglip2Tokenizer(vocab=vocabulary, merges=[], padding_side="right")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    return tokenizer


def align(folder: Path) -> str:
    text = {**TOWER, "vocab_size": 1000, "max_position_embeddings": 512, "pad_token_id": 1}
    vision = {
        "image_size": 32,
        "in_channels": [32, 16],
        "out_channels": [16, 32],
        "hidden_dim": 32,
        "kernel_sizes": [3, 3],
        "strides": [1, 2],
        "num_block_repeats": [1, 1],
        "expand_ratios": [1, 2],
        "depthwise_padding": [],
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
    }
    config = transformers.AlignConfig(text_config=text, vision_config=vision, projection_dim=32)
    processor = transformers.EfficientNetImageProcessorPil(size=SQUARE, do_center_crop=False)
    return _saved(folder, transformers.AlignModel(config), processor, ended())


def chinese_clip(folder: Path) -> str:
    text = {**TOWER, "vocab_size": 1000, "max_position_embeddings": 512, "pad_token_id": 1}
    config = transformers.ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=32)
    processor = transformers.ChineseCLIPImageProcessorPil(size=SQUARE, crop_size=SQUARE, do_center_crop=False)
    return _saved(folder, transformers.ChineseCLIPModel(config), processor, ended())


def pick_score(folder: Path) -> str:
    """A CLIP-H whose tokenizer and preprocessing are those of another repository."""
    small_clip(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        (folder / name).unlink(missing_ok=True)
    return str(folder)


def hps_v2(folder: Path) -> str:
    """A CLIP-H with other activations, as converted from open_clip."""
    text = {**TOWER, **ENDS, "vocab_size": 1000, "hidden_act": "gelu", "projection_dim": 32}
    vision = {**VISION, "hidden_act": "gelu", "projection_dim": 32}
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=32))
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE)
    return _saved(folder, model, processor, tokenizers()["clip"])


SCORERS: dict[str, Callable[[Path], str]] = {
    "clip": small_clip,
    "metaclip-2": metaclip_2,
    "siglip": small_siglip,
    "siglip-2": siglip_2,
    "siglip-2-naflex": siglip_2_naflex,
    "align": align,
    "chinese-clip": chinese_clip,
    "pick-score": pick_score,
    "hps-v2": hps_v2,
}


def build(name: str, folder: Path) -> str:
    """Save one scorer, with weights drawn from one seed."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    return SCORERS[name](folder)
