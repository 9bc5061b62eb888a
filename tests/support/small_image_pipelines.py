"""Tiny random pipelines that make pictures, a function each."""

from typing import Any

import diffusers
import torch
import transformers
from small_pipeline_parts import (
    ENDS,
    GRADUAL,
    tiny_clip_text,
    tiny_ddim,
    tiny_decoder,
    tiny_flow,
    tiny_qwen_vl,
    tiny_t5,
    tiny_unet,
    tiny_vae,
    tiny_without,
    tokenizers,
)
from torch import nn


def stable_diffusion(**unet: Any) -> Any:
    return diffusers.StableDiffusionPipeline(
        vae=tiny_vae(),
        text_encoder=tiny_clip_text(),
        tokenizer=tokenizers()["clip"],
        unet=tiny_unet(**unet),
        scheduler=tiny_ddim(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl() -> Any:
    unet = tiny_unet(
        transformer_layers_per_block=(1, 1),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
        cross_attention_dim=32,
        use_linear_projection=True,
    )
    return diffusers.StableDiffusionXLPipeline(
        vae=tiny_vae(),
        text_encoder=tiny_clip_text(),
        text_encoder_2=tiny_clip_text(projection=True),
        tokenizer=tokenizers()["clip"],
        tokenizer_2=tokenizers()["clip"],
        unet=unet,
        scheduler=tiny_ddim(),
    )


def stable_diffusion_3() -> Any:
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_projection_dim=16,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        pos_embed_max_size=32,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=tiny_flow(),
        vae=tiny_vae(shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=tiny_clip_text(projection=True),
        tokenizer=tokenizers()["clip"],
        text_encoder_2=tiny_clip_text(projection=True),
        tokenizer_2=tokenizers()["clip"],
        text_encoder_3=tiny_t5(width=32),
        tokenizer_3=tokenizers()["plain"],
    )


def pixart_sigma() -> Any:
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=16,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=16,
        in_channels=4,
        out_channels=8,
        cross_attention_dim=16,
        attention_bias=True,
    )
    return diffusers.PixArtSigmaPipeline(
        tokenizer=tokenizers()["plain"],
        text_encoder=tiny_t5(),
        vae=tiny_vae(),
        transformer=transformer,
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    )


def _sana_parts(**changed: Any) -> dict[str, Any]:
    autoencoder = diffusers.AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    )
    transformer = diffusers.SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=8,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=16,
        sample_size=8,
        **changed,
    )
    return {
        "tokenizer": tokenizers()["plain"],
        "text_encoder": tiny_decoder("Gemma2"),
        "vae": autoencoder,
        "transformer": transformer,
    }


def sana() -> Any:
    return diffusers.SanaPipeline(**_sana_parts(), scheduler=tiny_flow(shift=3.0))


def sana_sprint() -> Any:
    parts = _sana_parts(guidance_embeds=True, guidance_embeds_scale=0.1, qk_norm="rms_norm_across_heads")
    return diffusers.SanaSprintPipeline(**parts, scheduler=diffusers.SCMScheduler())


def flux(guided: bool = True) -> Any:
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        guidance_embeds=guided,
        axes_dims_rope=[4, 4, 8],
    )
    return diffusers.FluxPipeline(
        scheduler=tiny_flow(),
        vae=tiny_vae(shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=tiny_clip_text(),
        tokenizer=tokenizers()["clip"],
        text_encoder_2=tiny_t5(),
        tokenizer_2=tokenizers()["plain"],
        transformer=transformer,
    )


def flux_schnell() -> Any:
    return flux(guided=False)


def flux_kontext() -> Any:
    return diffusers.FluxKontextPipeline(**tiny_without(flux(), "image_encoder", "feature_extractor"))


def flux_2_klein(distilled: bool = False) -> Any:
    transformer = diffusers.Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,
        timestep_guidance_channels=32,
        axes_dims_rope=[4, 4, 4, 4],
        guidance_embeds=False,
    )
    vae = diffusers.AutoencoderKLFlux2(
        sample_size=32,
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        block_out_channels=(8,),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    return diffusers.Flux2KleinPipeline(
        scheduler=tiny_flow(),
        vae=vae,
        # klein reads the hidden states of layers 9, 18 and 27
        text_encoder=_qwen3_lm(27),
        tokenizer=tokenizers()["chat"],
        transformer=transformer,
        is_distilled=distilled,
    )


def flux_2_klein_distilled() -> Any:
    return flux_2_klein(distilled=True)


def _qwen3_lm(layers: int) -> nn.Module:
    sizes = {**GRADUAL, **ENDS, "num_hidden_layers": layers, "vocab_size": 1000, "num_key_value_heads": 2}
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**sizes, head_dim=8))


def z_image() -> Any:
    transformer = diffusers.ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[1024, 32, 32],
    )
    return diffusers.ZImagePipeline(
        scheduler=tiny_flow(),
        vae=tiny_vae(shift_factor=0.06),
        text_encoder=tiny_decoder("Qwen3"),
        tokenizer=tokenizers()["chat"],
        transformer=transformer,
    )


def qwen_image() -> Any:
    transformer = diffusers.QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )
    vae = diffusers.AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    return diffusers.QwenImagePipeline(
        scheduler=tiny_flow(),
        vae=vae,
        text_encoder=tiny_qwen_vl(),
        tokenizer=tokenizers()["chat"],
        transformer=transformer,
    )


def kandinsky() -> Any:
    prior = diffusers.PriorTransformer(
        num_attention_heads=2, attention_head_dim=8, embedding_dim=16, num_layers=1, num_embeddings=77
    )
    prior.clip_std = nn.Parameter(torch.ones_like(prior.clip_std))
    unet = diffusers.UNet2DConditionModel(
        in_channels=4,
        out_channels=8,
        addition_embed_type="image",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        block_out_channels=(8, 16),
        layers_per_block=1,
        encoder_hid_dim=16,
        encoder_hid_dim_type="image_proj",
        cross_attention_dim=16,
        attention_head_dim=4,
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=4,
    )
    movq = diffusers.VQModel(
        block_out_channels=[32, 32],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["AttnUpDecoderBlock2D"] * 2,
        latent_channels=4,
        num_vq_embeddings=12,
        vq_embed_dim=4,
        norm_type="spatial",
        norm_num_groups=2,
    )
    vision = transformers.CLIPVisionConfig(**GRADUAL, projection_dim=16, image_size=32, patch_size=8)
    return diffusers.KandinskyV22CombinedPipeline(
        unet=unet,
        scheduler=diffusers.DDIMScheduler(
            beta_schedule="linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, set_alpha_to_one=False
        ),
        movq=movq,
        prior_prior=prior,
        prior_image_encoder=transformers.CLIPVisionModelWithProjection(vision),
        prior_text_encoder=tiny_clip_text(projection=True),
        prior_tokenizer=tokenizers()["clip"],
        prior_scheduler=diffusers.UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="sample"),
        prior_image_processor=transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}),
    )
