"""Settings as arguments of a loaded pipeline; what it does not take, or what would change nothing, is refused."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recbole_navigen.errors import InputError
from recbole_navigen.generation.pipelines import UNKNOWN, Family, family_of
from recbole_navigen.generation.settings import GenerationSettings

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from PIL.Image import Image

DEFAULT_FPS = 8
# Diffusers' names of an argument: the first that a pipeline takes.
_FRAMES = ("num_frames", "video_length", "frames")
_RATES = ("frame_rate", "fps")
# How many frames become one in the latents, by the names that pipelines have for it.
_FRAME_STEPS = ("vae_scale_factor_temporal", "vae_temporal_compression_ratio", "vae_temporal_scale_factor")


def accepted_by(pipe: "DiffusionPipeline") -> Mapping[str, inspect.Parameter]:
    """Parameters of a pipeline's call by name."""
    return inspect.signature(pipe.__call__).parameters


def frame_rate(pipe: "DiffusionPipeline", fps: int | None) -> int:
    """Frames a second of the written file: what is set, else the family's or the signature's, else 8."""
    if fps is not None:
        return fps
    if (own := family_of(pipe).fps) is not None:
        # CogVideoX 1.5, which packs frames, was trained at twice the rate of the first version.
        return 2 * own if getattr(getattr(pipe, "transformer", None), "config", {}).get("patch_size_t") == 2 else own
    defaults = [accepted_by(pipe)[name].default for name in _RATES if name in accepted_by(pipe)]
    return next((round(rate) for rate in defaults if isinstance(rate, int | float)), DEFAULT_FPS)


def arguments_of(
    pipe: "DiffusionPipeline", media: str, settings: GenerationSettings, start: "Image | None" = None
) -> dict[str, Any]:
    """The arguments of a pipeline's calls beside prompts and generators; a setting that would not act is refused.

    Args:
        pipe: loaded. media: `image` or `video`.
        start: a PIL image to begin from; None: text alone.
    """
    family, accepted, name = family_of(pipe), accepted_by(pipe), type(pipe).__name__
    wanted: dict[str, Any] = {}

    # 1. What the pipeline cannot do without.
    if "prompt" not in accepted:
        raise InputError(f"{media}_model is a {name}, which does not take prompt; name one that starts from text.")
    needs = [
        key
        for key, parameter in accepted.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind is not inspect.Parameter.VAR_KEYWORD
        and key not in ("prompt", "image")
    ]
    if needs:
        raise InputError(
            f"{media}_model is a {name}, which needs {', '.join(needs)} beside text; name another pipeline."
        )
    if start is None and reads_picture(pipe):
        how = "--reference_image=FILE" + (" --image_to_image=True" if media == "image" else "")
        raise InputError(f"{media}_model is a {name}, which starts from a picture; set {how}.")

    # 2. Settings that are one argument each.
    frames = next((key for key in _FRAMES if key in accepted), _FRAMES[0])
    names = {"steps": "num_inference_steps", "frames": frames}
    wanted |= {argument: value for key, argument in names.items() if (value := settings.of(media, key)) is not None}
    if settings.of(media, "size"):
        wanted |= dict(zip(("height", "width"), settings.of(media, "size"), strict=True))
    keys = {argument: f"{media}_{key}" for key, argument in names.items()}
    keys |= dict.fromkeys(("height", "width"), f"{media}_size")
    if start is not None:
        wanted["image"], keys["image"] = start, "image_to_image" if media == "image" else "reference_image"
        if media == "image" and settings.strength is not None:
            wanted["strength"], keys["strength"] = settings.strength, "strength"
        # Most pipelines that start from a picture take its size and no other.
        wanted = {key: value for key, value in wanted.items() if key not in ("height", "width") or key in accepted}
    unknown = sorted({keys[argument] for argument in wanted if argument not in accepted})
    if unknown:
        raise InputError(f"{media}_model is a {name}, which does not take {', '.join(unknown)}; leave the setting out.")
    steps, strength = wanted.get("num_inference_steps"), wanted.get("strength")
    if steps and strength and int(steps * strength) < 1:
        raise InputError(
            f"strength={strength} leaves none of the {steps} image_steps; set strength to {1 / steps:g} or more."
        )

    # 3. Guidance and the negative prompt, which only some weights read.
    wanted |= _guidance(pipe, media, settings, family, accepted)

    # 4. Sizes and numbers of frames that would be rounded, or refused in the middle of a run.
    _refuse_rounded(pipe, media, settings, family)

    # 5. What a family needs so that the above acts.
    rate = next((key for key in _RATES if key in accepted), None)
    if media == "video" and rate is not None:
        wanted[rate] = frame_rate(pipe, settings.video_fps)
    if family.binned and pipe.transformer.config.sample_size not in family.binned:
        wanted["use_resolution_binning"] = False
    if "intermediate_timesteps" in accepted and steps not in (None, 2):
        wanted["intermediate_timesteps"] = None  # SanaSprint has them for two steps only
    if "max_area" in accepted and settings.of(media, "size"):
        # FLUX.1 Kontext makes pictures of a million pixels whatever it is asked for.
        wanted |= {"max_area": wanted["height"] * wanted["width"], "_auto_resize": False}
    return wanted


def reads_picture(pipe: "DiffusionPipeline") -> bool:
    """Whether a pipeline makes nothing without a picture to start from."""
    image = accepted_by(pipe).get("image")
    return image is not None and (family_of(pipe).picture == "needed" or image.default is inspect.Parameter.empty)


def _guidance(
    pipe: "DiffusionPipeline",
    media: str,
    settings: GenerationSettings,
    family: Family,
    accepted: Mapping[str, inspect.Parameter],
) -> dict[str, Any]:
    """Arguments of guidance and of the negative prompt."""
    name, key = type(pipe).__name__, f"{media}_guidance"
    value, negative = settings.of(media, "guidance"), settings.negative_prompt
    argument, embedded = family.guidance, family.embedded
    if embedded is None:
        embedded = bool(pipe.transformer.config.get("guidance_embeds"))
        if family.guidance == "guider":  # HunyuanImage
            argument = "distilled_guidance_scale" if embedded else "guider"
        elif not embedded:
            argument = "true_cfg_scale"
    elif getattr(getattr(pipe, "unet", None), "config", {}).get("time_cond_proj_dim") is not None:
        embedded = True  # consistency-distilled weights in the class of others
    elif family is UNKNOWN and argument not in accepted:
        argument = "true_cfg_scale"  # the other name that it goes by
    wanted: dict[str, Any] = {}

    # 1. The value, and what it is where none is set.
    guider = getattr(pipe, "guider", None) if argument == "guider" else None
    if value is not None:
        if family.unguided(pipe) and value > family.off:
            raise InputError(
                f"{key}={value:g} would change nothing: these weights of {name} are distilled and have no guidance; "
                "leave it out."
            )
        if guider is None and argument not in accepted:
            raise InputError(f"{media}_model is a {name}, which does not take {key}; leave the setting out.")
        if argument != "guider":
            wanted[argument] = value
    if argument == "guider":
        scale = guider.config.get("guidance_scale", 1.0) if guider is not None else 0.0
    else:
        scale = accepted[argument].default if argument in accepted else 0.0
    scale = scale if value is None else value
    guided = not embedded and not family.unguided(pipe) and scale is not None and scale > family.off

    # 2. The negative prompt acts where guidance does, and not beside a guidance that is a number to the weights.
    if negative is not None:
        if "negative_prompt" not in accepted or embedded or family.unguided(pipe):
            why = "does not take" if "negative_prompt" not in accepted else "has weights that do not read"
            raise InputError(f"{media}_model is a {name}, which {why} negative_prompt; leave the setting out.")
        if not guided:
            raise InputError(
                f"negative_prompt would change nothing: {name} reads it at a guidance above {family.off:g}, and it is "
                f"{scale:g}; set --{key} too, or leave negative_prompt out."
            )
        wanted["negative_prompt"] = negative
    elif family.no_negative is not None and value is not None and guided:
        wanted["negative_prompt"] = family.no_negative
    return wanted


def set_guider(pipe: "DiffusionPipeline", value: float | None) -> None:
    """Give guidance to pipelines where a component has it."""
    if value is not None and getattr(pipe, "guider", None) is not None:
        pipe.guider = pipe.guider.new(guidance_scale=value)


def _refuse_rounded(pipe: "DiffusionPipeline", media: str, settings: GenerationSettings, family: Family) -> None:
    name, size, frames = type(pipe).__name__, settings.of(media, "size"), settings.of(media, "frames")
    sides = family.sides if isinstance(family.sides, int) else family.sides(pipe)
    if size and any(side % sides for side in size):
        near = "x".join(str(max(1, round(side / sides)) * sides) for side in size)
        raise InputError(
            f"{media}_size={size[0]}x{size[1]} does not suit {name}, whose sides are multiples of {sides}; the nearest "
            f"is {near}."
        )
    if frames is None:
        return
    step = family.frames * next((getattr(pipe, key) for key in _FRAME_STEPS if hasattr(pipe, key)), 1)
    if family.frames and (frames - 1) % step:
        low = (frames - 1) // step * step + 1
        raise InputError(
            f"video_frames={frames} does not suit {name}, which makes one more than a multiple of {step}; the nearest "
            f"are {low} and {low + step}."
        )
    most = getattr(getattr(pipe, "motion_adapter", None) or getattr(pipe, "unet", None), "config", {}).get(
        "motion_max_seq_length"
    )
    if most is not None and frames > most:
        raise InputError(f"video_frames={frames} is more than the {most} frames that these weights of {name} know.")
