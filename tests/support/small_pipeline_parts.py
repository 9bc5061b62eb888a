"""Tokenizers, text encoders, autoencoders and schedulers of the tiny pipelines."""

import functools
import tempfile
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import transformers
from small_media import tiny_models
from torch import nn

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{{ message['content'][0]['text'] }}{% endif %}<|im_end|>\n{% endfor %}"
)
ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
GRADUAL = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}


def tokenizers() -> dict[str, Any]:
    """The tiny world's tokenizer as CLIP's, as T5's (no limit of its own) and as a chat model's."""
    return {"clip": tiny_clip_tokenizer(), "plain": tiny_plain_tokenizer(None), "chat": tiny_plain_tokenizer(CHAT)}


@functools.cache
def tiny_clip_tokenizer() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return tiny_models.train_tokenizer(Path(folder), np.random.default_rng(0))


@functools.cache
def tiny_plain_tokenizer(chat_template: str | None) -> Any:
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tiny_clip_tokenizer().backend_tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        bos_token="<|startoftext|>",
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def tiny_clip_text(projection: bool = False, **changed: Any) -> nn.Module:
    config = transformers.CLIPTextConfig(
        **{**GRADUAL, **ENDS, "vocab_size": 1000, "projection_dim": 16, "max_position_embeddings": 77, **changed}
    )
    return (transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel)(config)


def tiny_t5(kind: str = "T5", width: int = 16) -> nn.Module:
    sizes = {"d_model": width, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 1000}
    config = getattr(transformers, f"{kind}Config")(**sizes)
    return getattr(transformers, f"{kind}EncoderModel")(config)


def tiny_decoder(kind: str, layers: int = 2, **changed: Any) -> nn.Module:
    sizes = {**GRADUAL, **ENDS, "num_hidden_layers": layers, "vocab_size": 1000, "num_key_value_heads": 2}
    config = getattr(transformers, f"{kind}Config")(**{**sizes, "head_dim": 8, **changed})
    return getattr(transformers, f"{kind}Model")(config)


def tiny_qwen_vl() -> nn.Module:
    text = {
        **GRADUAL,
        **ENDS,
        "vocab_size": 1000,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
        "rope_theta": 10000.0,
    }
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    config = transformers.Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, vision_start_token_id=5, vision_end_token_id=6, vision_token_id=7
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


def tiny_vae(latents: int = 4, **changed: Any) -> nn.Module:
    return diffusers.AutoencoderKL(
        block_out_channels=[8, 8],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=latents,
        norm_num_groups=2,
        **changed,
    )


def tiny_unet(**changed: Any) -> nn.Module:
    return diffusers.UNet2DConditionModel(
        **{
            "block_out_channels": (8, 16),
            "layers_per_block": 1,
            "sample_size": 16,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "cross_attention_dim": 16,
            "attention_head_dim": 2,
            "norm_num_groups": 2,
            **changed,
        }
    )


def tiny_ddim() -> Any:
    return diffusers.DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False)


def tiny_flow(**changed: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(**changed)


def tiny_without(pipe: Any, *names: str) -> dict[str, Any]:
    return {name: part for name, part in pipe.components.items() if name not in names}
