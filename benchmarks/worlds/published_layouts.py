"""Published layouts with random weights, built on the device: what is timed does not depend on the weights.

Nothing is downloaded or written. A text-to-image pipeline of Z-Image's size (6B and a text encoder of 4B), a video
pipeline of Wan 2.1's (1.3B and a text encoder of 5.7B), causal language models of SmolLM2's two sizes, a CLIP of
ViT-L/14; and each of them small, for a processor.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from recbole_navigen.language.attention import ATTENTION
from worlds import tiny_models

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
)


def drawn(build: Callable[[], nn.Module], device: str, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A module with normal weights of deviation 0.02, made on the device, as drawing billions elsewhere takes long.

    What its class keeps in float32 stays so, as if it were loaded.
    """
    with torch.device("meta"):
        module = build()
    whole = set(getattr(module, "_keep_in_fp32_modules", None) or ())
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if not whole & set(name.split(".")):
                parameter.data = parameter.data.to(dtype)
        module = module.to_empty(device=device).eval()
        for name, parameter in module.named_parameters():
            parameter.fill_(1.0) if "norm" in name and parameter.dim() == 1 else parameter.normal_(0, 0.02)
        _fill_buffers(module, build)
    return module


def _fill_buffers(module: nn.Module, build: Callable[[], nn.Module]) -> None:
    """Buffers that were computed at construction (rotary frequencies, positions): those of a layer are small."""
    for part in module.modules():
        for name, buffer in part._buffers.items():
            if buffer is None:
                continue
            if name in ("inv_freq", "original_inv_freq"):
                width, base = 2 * len(buffer), getattr(part.config, "rope_theta", None) or 10_000.0
                buffer.copy_(1.0 / base ** (torch.arange(0, width, 2, device=buffer.device).float() / width))
            elif buffer.dtype == torch.long:
                buffer.copy_(torch.arange(buffer.numel(), device=buffer.device).view(buffer.shape))
            elif "var" in name or "std" in name:
                buffer.fill_(1.0)
            else:
                buffer.zero_()


def tokenizers() -> tuple[Any, Any]:
    """The tiny world's tokenizer as CLIP's and as a chat model's, which stands for a large vocabulary's."""
    with tempfile.TemporaryDirectory() as folder:
        clip = tiny_models.train_tokenizer(Path(folder), np.random.default_rng(0))
    chat = transformers.PreTrainedTokenizerFast(
        tokenizer_object=clip.backend_tokenizer, pad_token="<|endoftext|>", eos_token="<|endoftext|>"
    )
    chat.chat_template = CHAT
    return clip, chat


def language_model(size: str, device: str) -> nn.Module:
    """A Llama of SmolLM2's layout, in float32: `135M`, `1.7B` or `tiny`."""
    width, inner, layers, heads, kv = {
        "tiny": (32, 64, 2, 2, 1),
        "135M": (576, 1536, 30, 9, 3),
        "1.7B": (2048, 8192, 24, 32, 32),
    }[size]
    config = transformers.LlamaConfig(
        vocab_size=1000 if size == "tiny" else 49_152,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv,
        tie_word_embeddings=True,
        attn_implementation=ATTENTION,
    )
    return drawn(lambda: transformers.LlamaForCausalLM(config), device)


def image_pipeline(small: bool, device: str, dtype: torch.dtype) -> Any:
    """A `ZImagePipeline`."""
    import diffusers

    text = {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32}
    text |= {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936}
    sizes: dict[str, Any] = {}  # of the transformer; its defaults are Z-Image's
    channels: list[int] = [128, 256, 512, 512]
    if small:
        text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        text |= {"num_key_value_heads": 2, "head_dim": 8, "vocab_size": 1000}
        sizes = {"dim": 32, "n_layers": 1, "n_refiner_layers": 1, "n_heads": 2, "n_kv_heads": 2, "cap_feat_dim": 16}
        sizes |= {"axes_dims": [8, 4, 4], "axes_lens": [1024, 32, 32]}
        channels = [32, 32, 32, 32]
    kinds = ["DownEncoderBlock2D"] * 4, ["UpDecoderBlock2D"] * 4
    vae = {"block_out_channels": channels, "down_block_types": kinds[0], "up_block_types": kinds[1]}
    vae |= {"latent_channels": 16, "layers_per_block": 1 if small else 2, "shift_factor": 0.1159, "norm_num_groups": 32}
    return diffusers.ZImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=drawn(lambda: diffusers.AutoencoderKL(**vae), device, dtype),
        text_encoder=drawn(lambda: transformers.Qwen3Model(transformers.Qwen3Config(**text)), device, dtype),
        tokenizer=tokenizers()[1],
        transformer=drawn(lambda: diffusers.ZImageTransformer2DModel(**sizes), device, dtype),
    )


def video_pipeline(small: bool, device: str, dtype: torch.dtype) -> Any:
    """A `WanPipeline`, its autoencoder in float32."""
    import diffusers

    text = {"d_model": 4096, "d_ff": 10_240, "num_layers": 24, "num_heads": 64, "d_kv": 64, "vocab_size": 256_384}
    sizes = {"num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 30}
    vae: dict[str, Any] = {}
    if small:
        text = {"d_model": 16, "d_ff": 32, "num_layers": 2, "num_heads": 2, "d_kv": 8, "vocab_size": 1000}
        sizes = {"num_attention_heads": 2, "attention_head_dim": 12, "ffn_dim": 32, "num_layers": 1, "text_dim": 16}
        vae = {"base_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
    return diffusers.WanPipeline(
        tokenizer=tokenizers()[1],
        text_encoder=drawn(lambda: transformers.UMT5EncoderModel(transformers.UMT5Config(**text)), device, dtype),
        vae=drawn(lambda: diffusers.AutoencoderKLWan(**vae), device),
        scheduler=diffusers.UniPCMultistepScheduler(
            flow_shift=3.0, use_flow_sigmas=True, prediction_type="flow_prediction"
        ),
        transformer=drawn(lambda: diffusers.WanTransformer3DModel(**sizes), device, dtype),
    )


def clip_folder(small: bool, folder: Path) -> str:
    """A CLIP of ViT-L/14's layout, saved, as the evaluator loads it."""
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    vision |= {"image_size": 224, "patch_size": 14}
    if small:
        text = vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        vision = {**vision, "image_size": 32, "patch_size": 8}
    tokenizer, side = tokenizers()[0], vision["image_size"]
    text |= {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    torch.manual_seed(0)
    transformers.CLIPModel(
        transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=768)
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformers.CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    ).save_pretrained(folder)
    return str(folder)
