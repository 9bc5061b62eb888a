"""Tiny random pipelines that make clips, a function each."""

from typing import Any

import diffusers
import transformers
from small_pipeline_parts import (
    GRADUAL,
    tiny_clip_text,
    tiny_ddim,
    tiny_decoder,
    tiny_flow,
    tiny_t5,
    tiny_unet,
    tiny_vae,
    tokenizers,
)
from torch import nn


def _wan_vae() -> nn.Module:
    return diffusers.AutoencoderKLWan(
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
    )


def _wan_transformer(**changed: Any) -> nn.Module:
    return diffusers.WanTransformer3DModel(
        **{
            "patch_size": (1, 2, 2),
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "in_channels": 16,
            "out_channels": 16,
            "text_dim": 16,
            "freq_dim": 16,
            "ffn_dim": 32,
            "num_layers": 1,
            "rope_max_seq_len": 32,
            **changed,
        }
    )


def _wan_scheduler() -> Any:
    return diffusers.UniPCMultistepScheduler(flow_shift=3.0, use_flow_sigmas=True, prediction_type="flow_prediction")


def wan_2_1() -> Any:
    return diffusers.WanPipeline(
        tokenizer=tokenizers()["plain"],
        text_encoder=tiny_t5("UMT5"),
        vae=_wan_vae(),
        scheduler=_wan_scheduler(),
        transformer=_wan_transformer(),
    )


def wan_2_2() -> Any:
    return diffusers.WanPipeline(
        tokenizer=tokenizers()["plain"],
        text_encoder=tiny_t5("UMT5"),
        vae=_wan_vae(),
        scheduler=_wan_scheduler(),
        transformer=_wan_transformer(),
        transformer_2=_wan_transformer(),
        boundary_ratio=0.875,
    )


def wan_image_to_video() -> Any:
    vision = transformers.CLIPVisionConfig(**GRADUAL, projection_dim=16, image_size=32, patch_size=8)
    return diffusers.WanImageToVideoPipeline(
        tokenizer=tokenizers()["plain"],
        text_encoder=tiny_t5("UMT5"),
        vae=_wan_vae(),
        scheduler=_wan_scheduler(),
        image_processor=transformers.CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
        image_encoder=transformers.CLIPVisionModelWithProjection(vision),
        transformer=_wan_transformer(in_channels=36, image_dim=16, added_kv_proj_dim=24, pos_embed_seq_len=None),
    )


def ltx(kind: str = "LTXPipeline") -> Any:
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=1,
        caption_channels=16,
    )
    vae = diffusers.AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        spatio_temporal_scaling=(True, True, False, False),
        patch_size=1,
        patch_size_t=1,
        encoder_causal=True,
        decoder_causal=False,
    )
    vae.use_framewise_encoding = vae.use_framewise_decoding = False
    return getattr(diffusers, kind)(
        scheduler=tiny_flow(),
        vae=vae,
        text_encoder=tiny_t5(),
        tokenizer=tokenizers()["plain"],
        transformer=transformer,
    )


def ltx_image_to_video() -> Any:
    return ltx("LTXImageToVideoPipeline")


def cogvideox() -> Any:
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=4,
        text_embed_dim=16,
        num_layers=1,
        sample_width=4,
        sample_height=4,
        sample_frames=9,
        temporal_compression_ratio=4,
        max_text_seq_length=226,
    )
    vae = diffusers.AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    return diffusers.CogVideoXPipeline(
        tokenizer=tokenizers()["plain"],
        text_encoder=tiny_t5(),
        vae=vae,
        transformer=transformer,
        scheduler=diffusers.CogVideoXDDIMScheduler(),
    )


def hunyuan_video() -> Any:
    transformer = diffusers.HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        patch_size=1,
        patch_size_t=1,
        guidance_embeds=True,
        text_embed_dim=16,
        pooled_projection_dim=16,
        rope_axes_dim=(2, 4, 4),
    )
    vae = diffusers.AutoencoderKLHunyuanVideo(
        latent_channels=4,
        down_block_types=("HunyuanVideoDownBlock3D",) * 4,
        up_block_types=("HunyuanVideoUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        mid_block_add_attention=True,
    )
    return diffusers.HunyuanVideoPipeline(
        text_encoder=tiny_decoder("Llama", layers=4),
        tokenizer=tokenizers()["plain"],
        transformer=transformer,
        vae=vae,
        scheduler=tiny_flow(shift=7.0),
        text_encoder_2=tiny_clip_text(),
        tokenizer_2=tokenizers()["clip"],
    )


def animatediff() -> Any:
    adapter = diffusers.MotionAdapter(
        block_out_channels=(8, 16), motion_layers_per_block=1, motion_norm_num_groups=2, motion_num_attention_heads=2
    )
    return diffusers.AnimateDiffPipeline(
        vae=tiny_vae(),
        text_encoder=tiny_clip_text(),
        tokenizer=tokenizers()["clip"],
        unet=tiny_unet(),
        motion_adapter=adapter,
        scheduler=tiny_ddim(),
    )


def mochi() -> Any:
    transformer = diffusers.MochiTransformer3DModel(
        patch_size=2,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        pooled_projection_dim=16,
        in_channels=12,
        out_channels=None,
        qk_norm="rms_norm",
        text_embed_dim=16,
        time_embed_dim=4,
        activation_fn="swiglu",
        max_sequence_length=256,
    )
    vae = diffusers.AutoencoderKLMochi(
        latent_channels=12,
        out_channels=3,
        encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
    )
    return diffusers.MochiPipeline(
        scheduler=tiny_flow(),
        vae=vae,
        text_encoder=tiny_t5(),
        tokenizer=tokenizers()["plain"],
        transformer=transformer,
    )
