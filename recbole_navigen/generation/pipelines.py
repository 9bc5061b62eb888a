"""What families of diffusers pipelines need and do with a setting, read from their source (diffusers 0.42.1), and
presets of published weights.

Pipelines take arguments that change nothing: a negative prompt beside weights whose guidance is distilled, a number of
frames that is rounded. So a family says here what acts, and `generation.arguments` refuses the rest by the setting's
name before anything is made. Classes that are not in the table run by their signature.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

Parts = Callable[[Any], int]  # of a loaded pipeline


def _two_latents(pipe: "DiffusionPipeline") -> int:
    """Latents are packed two by two."""
    return 2 * pipe.vae_scale_factor


def _patches(pipe: "DiffusionPipeline") -> int:
    return pipe.vae_scale_factor * pipe.transformer.config.patch_size


def _movq(pipe: "DiffusionPipeline") -> int:
    """Kandinsky rounds up to the square of what its decoder enlarges by."""
    own = getattr(pipe, "decoder_pipe", pipe)
    return own.movq_scale_factor**2


@dataclass(frozen=True, slots=True)
class Family:
    """The way in which a family of pipelines takes settings.

    Attributes:
        guidance: the argument that `image_guidance` or `video_guidance` sets; `guider` where it is that of a component
            of this name.
        off: guidance up to this value is none.
        embedded: whether the weights read guidance as a number (distilled guidance), so that there is no negative
            prompt; None: where their config says `guidance_embeds`, and `true_cfg_scale` is the guidance of the others.
        unguided: whether these weights have no guidance at all, of a loaded pipeline.
        no_negative: what stands in the place of a negative prompt that nobody set, where guidance acts beside one only.
        sides: what both sides must be a multiple of, or a function of the loaded pipeline.
        frames: whether frames must be one more than a multiple of what the autoencoder makes one frame of; 2: of twice
            as many, as CogVideoX decodes its latents by pairs.
        fps: frames a second the weights were trained at; None: the signature's own, or 8.
        tokens: what the pipeline reads whatever its tokenizer's limit; None: as the tokenizer or signature says.
        chat: arguments of the tokenizer's chat template that the instruction is wrapped in, which takes tokens, too.
        whole_vae: whether the autoencoder stays in float32, as its authors ask for.
        picture: `each` (one a prompt), `shared` (a list is several references of one prompt) or `needed` (there is no
            picture without one).
        alone: whether prompts are run one by one, as batches fail: always, or with a negative prompt.
        binned: sample sizes of the weights for which the pipeline knows resolutions of its own.
    """

    guidance: str = "guidance_scale"
    off: float = 1.0
    embedded: bool | None = False
    unguided: Callable[[Any], bool] = lambda pipe: False
    no_negative: str | None = None
    sides: int | Parts = 1
    frames: int = 0
    fps: int | None = None
    tokens: int | None = None
    chat: Mapping[str, Any] | None = None
    whole_vae: bool = False
    picture: str = "each"
    alone: str = ""
    binned: tuple[int, ...] = ()


_SD = Family(sides=8, embedded=False)
_FLUX = Family(embedded=None, no_negative="", sides=_two_latents)
_PACKED = Family(sides=_two_latents)
_QWEN = Family("true_cfg_scale", no_negative=" ", sides=_two_latents)
_KANDINSKY = Family(sides=_movq, alone="negative_prompt")
_WAN = Family(sides=16, frames=1, fps=16, whole_vae=True)
_LTX = Family(sides=32, frames=1, fps=25)
_COGVIDEO = Family(sides=16, frames=2, fps=8)
_HUNYUAN = Family(embedded=None, no_negative="", sides=16, frames=1, fps=24)
_SKYREELS = Family(sides=16, frames=1, fps=24, whole_vae=True)
_SANA = Family(sides=32, binned=(16, 32, 64, 128))
_QWEN3 = {"tokenize": False, "add_generation_prompt": True}

# Class of the loaded pipeline -> its family.
FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": _SD,
    "StableDiffusionImg2ImgPipeline": _SD,
    "StableDiffusionXLPipeline": _SD,
    "StableDiffusionXLImg2ImgPipeline": _SD,
    "LatentConsistencyModelPipeline": replace(_SD, embedded=True),
    "LatentConsistencyModelImg2ImgPipeline": replace(_SD, embedded=True),
    "StableDiffusion3Pipeline": Family(sides=_patches),
    "StableDiffusion3Img2ImgPipeline": Family(sides=_patches),
    "PixArtAlphaPipeline": Family(sides=8, binned=(32, 64, 128)),
    "PixArtSigmaPipeline": Family(sides=8, binned=(32, 64, 128, 256)),
    "SanaPipeline": _SANA,
    "SanaSprintPipeline": Family(sides=32, embedded=True, binned=(32,)),
    "FluxPipeline": _FLUX,
    "FluxImg2ImgPipeline": _FLUX,
    "FluxKontextPipeline": replace(_FLUX, picture="shared"),
    "Flux2Pipeline": Family(embedded=True, sides=_two_latents, picture="shared"),
    "Flux2KleinPipeline": Family(
        unguided=lambda pipe: bool(pipe.config.is_distilled),
        sides=_two_latents,
        picture="shared",
        chat={**_QWEN3, "enable_thinking": False},
    ),
    "ZImagePipeline": Family(off=0.0, sides=_two_latents, chat={**_QWEN3, "enable_thinking": True}),
    "ZImageImg2ImgPipeline": Family(off=0.0, sides=_two_latents, chat={**_QWEN3, "enable_thinking": True}),
    "QwenImagePipeline": _QWEN,
    "QwenImageImg2ImgPipeline": _QWEN,
    "QwenImageEditPipeline": replace(_QWEN, picture="needed"),
    "QwenImageEditPlusPipeline": replace(_QWEN, picture="needed", alone="always"),
    "KandinskyCombinedPipeline": replace(_KANDINSKY, tokens=77),
    "KandinskyImg2ImgCombinedPipeline": replace(_KANDINSKY, tokens=77),
    "KandinskyV22CombinedPipeline": _KANDINSKY,
    "KandinskyV22Img2ImgCombinedPipeline": _KANDINSKY,
    "Kandinsky3Pipeline": Family(tokens=128),
    "Kandinsky3Img2ImgPipeline": Family(tokens=128),
    "HunyuanDiTPipeline": Family(tokens=256),
    "IFPipeline": Family(tokens=77),
    "IFImg2ImgPipeline": Family(tokens=77),
    "HunyuanImagePipeline": Family("guider", embedded=None, sides=_two_latents),
    "DreamLiteMobilePipeline": Family(unguided=lambda pipe: True),
    "ErnieImagePipeline": Family(sides=lambda pipe: pipe.vae_scale_factor),
    "LongCatImagePipeline": _PACKED,
    "ChromaPipeline": _PACKED,
    "AuraFlowPipeline": _PACKED,
    "Lumina2Pipeline": _PACKED,
    "OvisImagePipeline": _PACKED,
    "CogView4Pipeline": Family(sides=16),
    "Krea2Pipeline": Family(off=0.0),
    "WanPipeline": _WAN,
    "WanImageToVideoPipeline": replace(_WAN, picture="needed"),
    "LTXPipeline": _LTX,
    "LTXImageToVideoPipeline": replace(_LTX, picture="needed"),
    "LTXConditionPipeline": _LTX,
    "LTX2Pipeline": replace(_LTX, fps=24),
    "LTX2ImageToVideoPipeline": replace(_LTX, fps=24, picture="needed"),
    "CogVideoXPipeline": _COGVIDEO,
    "CogVideoXImageToVideoPipeline": replace(_COGVIDEO, picture="needed"),
    "HunyuanVideoPipeline": _HUNYUAN,
    "HunyuanVideoImageToVideoPipeline": replace(_HUNYUAN, picture="needed"),
    "HunyuanVideo15Pipeline": Family("guider", frames=1, fps=24),
    "HunyuanVideo15ImageToVideoPipeline": Family("guider", frames=1, fps=24, picture="needed"),
    "MotifVideoPipeline": Family("guider", fps=24),
    "MotifVideoImage2VideoPipeline": Family("guider", fps=24, picture="needed"),
    "AnimateDiffPipeline": replace(_SD, fps=8),
    "AnimateDiffSDXLPipeline": replace(_SD, fps=8),
    "MochiPipeline": Family(sides=16, frames=1, fps=30),
    "AllegroPipeline": Family(sides=8, fps=15, whole_vae=True),
    "LattePipeline": Family(sides=8, fps=8, tokens=120),
    "SanaVideoPipeline": Family(sides=32, fps=16, whole_vae=True, binned=(22, 30)),
    "SanaImageToVideoPipeline": Family(sides=32, fps=16, whole_vae=True, binned=(22, 30), picture="needed"),
    "SkyReelsV2Pipeline": _SKYREELS,
    "SkyReelsV2ImageToVideoPipeline": replace(_SKYREELS, picture="needed"),
    "Kandinsky5T2VPipeline": Family(frames=1, fps=24),
    "Kandinsky5I2VPipeline": Family(frames=1, fps=24, picture="needed"),
    "AnyFlowPipeline": Family(fps=16),
    "HeliosPipeline": Family(fps=24),
    "EasyAnimatePipeline": Family(fps=8),
}
UNKNOWN = Family()


@dataclass(frozen=True, slots=True)
class Preset:
    """Published weights and how their authors run them.

    Attributes:
        media: `image` or `video`. model: hub id. settings: after `image_` or `video_`, steps, guidance, size (height,
            width), frames.
    """

    media: str
    model: str
    settings: Mapping[str, Any]


PRESETS: dict[str, Preset] = {
    "z-image-turbo": Preset("image", "Tongyi-MAI/Z-Image-Turbo", {"steps": 8, "guidance": 0.0, "size": [1024, 1024]}),
    "flux2-klein-4b": Preset(
        "image", "black-forest-labs/FLUX.2-klein-4B", {"steps": 4, "guidance": 1.0, "size": [1024, 1024]}
    ),
    "flux-schnell": Preset("image", "black-forest-labs/FLUX.1-schnell", {"steps": 4, "size": [1024, 1024]}),
    "qwen-image": Preset("image", "Qwen/Qwen-Image", {"steps": 50, "guidance": 4.0, "size": [1328, 1328]}),
    "sd-turbo": Preset("image", "stabilityai/sd-turbo", {"steps": 1, "guidance": 0.0, "size": [512, 512]}),
    "sdxl-turbo": Preset("image", "stabilityai/sdxl-turbo", {"steps": 1, "guidance": 0.0, "size": [512, 512]}),
    "sana-sprint": Preset(
        "image",
        "Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers",
        {"steps": 2, "guidance": 4.5, "size": [1024, 1024]},
    ),
    "pixart-sigma": Preset(
        "image", "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", {"steps": 20, "guidance": 4.5, "size": [1024, 1024]}
    ),
    "wan-2.1": Preset(
        "video", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", {"steps": 50, "guidance": 5.0, "size": [480, 832], "frames": 81}
    ),
    "ltx-video": Preset(
        "video", "Lightricks/LTX-Video", {"steps": 50, "guidance": 3.0, "size": [480, 704], "frames": 161}
    ),
    "cogvideox-2b": Preset(
        "video", "THUDM/CogVideoX-2b", {"steps": 50, "guidance": 6.0, "size": [480, 720], "frames": 49}
    ),
}


def preset_of(model: str) -> str | None:
    """The preset of some published weights, by their hub id; None: there is none."""
    return next((name for name, preset in PRESETS.items() if preset.model.lower() == model.lower()), None)


def family_of(pipe: "DiffusionPipeline") -> Family:
    """The family of a loaded pipeline, by its class."""
    return FAMILIES.get(type(pipe).__name__, UNKNOWN)


def loader_of(class_name: str, starts: bool) -> Any:
    """What loads a pipeline: an `AutoPipeline` where it knows the class, so that parts in other repositories and
    image-to-image forms are found, and `DiffusionPipeline` otherwise.

    Args:
        class_name: `_class_name` of model_index.json. starts: whether images start from a picture.
    """
    import diffusers
    from diffusers.pipelines import auto_pipeline

    kind, mapping = diffusers.AutoPipelineForText2Image, auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING
    if starts:
        kind, mapping = diffusers.AutoPipelineForImage2Image, auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING
    names = {
        name
        for task in auto_pipeline.SUPPORTED_TASKS_MAPPINGS
        for name, known in task.items()
        if known.__name__ == class_name
    }
    return kind if names & mapping.keys() else diffusers.DiffusionPipeline


def whole_parts(class_name: str) -> tuple[str, ...]:
    """Parts of a pipeline that stay in float32 whatever precision is set."""
    return ("vae",) if FAMILIES.get(class_name, UNKNOWN).whole_vae else ()
