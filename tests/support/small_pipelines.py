"""A zoo of tiny random pipelines: one function a family, which builds the real diffusers classes in a few milliseconds.

Weights are drawn, not trained, and are larger than usual so that texts, seeds and settings show in the pixels.
"""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
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
    return {"clip": _clip_tokenizer(), "plain": _plain_tokenizer(None), "chat": _plain_tokenizer(CHAT)}


@functools.cache
def _clip_tokenizer() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return tiny_models.train_tokenizer(Path(folder), np.random.default_rng(0))


@functools.cache
def _plain_tokenizer(chat_template: str | None) -> Any:
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=_clip_tokenizer().backend_tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        bos_token="<|startoftext|>",
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def _clip_text(projection: bool = False, **changed: Any) -> nn.Module:
    config = transformers.CLIPTextConfig(
        **{**GRADUAL, **ENDS, "vocab_size": 1000, "projection_dim": 16, "max_position_embeddings": 77, **changed}
    )
    return (transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel)(config)


def _t5(kind: str = "T5", width: int = 16) -> nn.Module:
    sizes = {"d_model": width, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 1000}
    config = getattr(transformers, f"{kind}Config")(**sizes)
    return getattr(transformers, f"{kind}EncoderModel")(config)


def _decoder(kind: str, layers: int = 2, **changed: Any) -> nn.Module:
    sizes = {**GRADUAL, **ENDS, "num_hidden_layers": layers, "vocab_size": 1000, "num_key_value_heads": 2}
    config = getattr(transformers, f"{kind}Config")(**{**sizes, "head_dim": 8, **changed})
    return getattr(transformers, f"{kind}Model")(config)


def _qwen_vl() -> nn.Module:
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


def _vae(latents: int = 4, **changed: Any) -> nn.Module:
    return diffusers.AutoencoderKL(
        block_out_channels=[8, 8],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=latents,
        norm_num_groups=2,
        **changed,
    )


def _unet(**changed: Any) -> nn.Module:
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


def _ddim() -> Any:
    return diffusers.DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False)


def _flow(**changed: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(**changed)


def stable_diffusion(**unet: Any) -> Any:
    return diffusers.StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=_clip_text(),
        tokenizer=tokenizers()["clip"],
        unet=_unet(**unet),
        scheduler=_ddim(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl() -> Any:
    unet = _unet(
        transformer_layers_per_block=(1, 1),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
        cross_attention_dim=32,
        use_linear_projection=True,
    )
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_clip_text(),
        text_encoder_2=_clip_text(projection=True),
        tokenizer=tokenizers()["clip"],
        tokenizer_2=tokenizers()["clip"],
        unet=unet,
        scheduler=_ddim(),
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
        scheduler=_flow(),
        vae=_vae(shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=_clip_text(projection=True),
        tokenizer=tokenizers()["clip"],
        text_encoder_2=_clip_text(projection=True),
        tokenizer_2=tokenizers()["clip"],
        text_encoder_3=_t5(width=32),
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
        text_encoder=_t5(),
        vae=_vae(),
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
        "text_encoder": _decoder("Gemma2"),
        "vae": autoencoder,
        "transformer": transformer,
    }


def sana() -> Any:
    return diffusers.SanaPipeline(**_sana_parts(), scheduler=_flow(shift=3.0))


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
        scheduler=_flow(),
        vae=_vae(shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=_clip_text(),
        tokenizer=tokenizers()["clip"],
        text_encoder_2=_t5(),
        tokenizer_2=tokenizers()["plain"],
        transformer=transformer,
    )


def flux_schnell() -> Any:
    return flux(guided=False)


def flux_kontext() -> Any:
    return diffusers.FluxKontextPipeline(**_without(flux(), "image_encoder", "feature_extractor"))


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
        scheduler=_flow(),
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
        scheduler=_flow(),
        vae=_vae(shift_factor=0.06),
        text_encoder=_decoder("Qwen3"),
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
        scheduler=_flow(),
        vae=vae,
        text_encoder=_qwen_vl(),
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
        prior_text_encoder=_clip_text(projection=True),
        prior_tokenizer=tokenizers()["clip"],
        prior_scheduler=diffusers.UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="sample"),
        prior_image_processor=transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}),
    )


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
        text_encoder=_t5("UMT5"),
        vae=_wan_vae(),
        scheduler=_wan_scheduler(),
        transformer=_wan_transformer(),
    )


def wan_2_2() -> Any:
    return diffusers.WanPipeline(
        tokenizer=tokenizers()["plain"],
        text_encoder=_t5("UMT5"),
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
        text_encoder=_t5("UMT5"),
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
        scheduler=_flow(),
        vae=vae,
        text_encoder=_t5(),
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
        text_encoder=_t5(),
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
        text_encoder=_decoder("Llama", layers=4),
        tokenizer=tokenizers()["plain"],
        transformer=transformer,
        vae=vae,
        scheduler=_flow(shift=7.0),
        text_encoder_2=_clip_text(),
        tokenizer_2=tokenizers()["clip"],
    )


def animatediff() -> Any:
    adapter = diffusers.MotionAdapter(
        block_out_channels=(8, 16), motion_layers_per_block=1, motion_norm_num_groups=2, motion_num_attention_heads=2
    )
    return diffusers.AnimateDiffPipeline(
        vae=_vae(),
        text_encoder=_clip_text(),
        tokenizer=tokenizers()["clip"],
        unet=_unet(),
        motion_adapter=adapter,
        scheduler=_ddim(),
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
        scheduler=_flow(),
        vae=vae,
        text_encoder=_t5(),
        tokenizer=tokenizers()["plain"],
        transformer=transformer,
    )


def _without(pipe: Any, *names: str) -> dict[str, Any]:
    return {name: part for name, part in pipe.components.items() if name not in names}


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
