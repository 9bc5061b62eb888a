"""The settings of properties/generation.yaml."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_navigen.config.reading import settings_file
from recbole_navigen.errors import InputError
from recbole_navigen.language.tags import MEDIA

RETRIEVAL = "retrieval"
_CHOICES = {
    "generation_dtype": ("auto", "float32", "float16", "bfloat16"),
    "offload": ("none", "model", "sequential"),
    "long_text": ("chunk", "truncate"),
    "clip_framing": ("crop", "pad"),
}
_COUNTS = ("generation_batch_size", "image_steps", "video_steps", "video_frames", "video_fps", "reference_terms")
_COUNTS += ("clip_batch_size", "clip_frames", "control_users", "history_items")
_SIZES = ("image_size", "video_size")
# What retrieval of one kind of medium has no use for; `negative_prompt` is one setting of both kinds.
_DIFFUSION = ("revision", "steps", "guidance", "size")


def generation_settings(own: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The settings of properties/generation.yaml with a user's own above them; what cannot be meant is refused."""
    settings = settings_file("generation", own)
    for key, known in _CHOICES.items():
        if settings[key] not in known:
            raise InputError(f"{key}={settings[key]!r} is unknown; use one of {', '.join(known)}.")
    for key in _COUNTS:
        value = settings[key]
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InputError(f"{key} must be a whole number above zero, not {value!r}.")
    for key in _SIZES:
        value = settings[key]
        if value is not None and not (
            isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(side, int) for side in value)
        ):
            raise InputError(f"{key} must be height and width, such as [512, 512], not {value!r}.")
    if not 0 < settings["strength"] <= 1:
        raise InputError(f"strength must be above 0 and at most 1, not {settings['strength']}.")
    if settings["image_to_image"] and not settings["reference_image"]:
        raise InputError("image_to_image needs a picture to start from; set --reference_image=FILE.")
    if settings["image_to_image"] and settings["image_model"] in (None, RETRIEVAL):
        raise InputError("image_to_image starts a pipeline from a picture; set --image_model=FOLDER_OR_HUB_ID.")
    _refuse_ignored(settings, own or {})
    for key in ("image_model", "video_model", "reference_image"):
        needs_clip = settings[key] is not None if key == "reference_image" else settings[key] == RETRIEVAL
        if needs_clip and not settings["clip_model"]:
            raise InputError(f"{key}={settings[key]} reads pictures with a CLIP-like model; set --clip_model=FOLDER.")
    if settings["extra_metrics"] and not settings["clip_model"]:
        raise InputError("extra_metrics stand beside the scores of a CLIP-like model; set --clip_model=FOLDER.")
    settings["block_list"] = blocked_words(settings["block_list"])
    return settings


def _refuse_ignored(settings: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse what a call sets although nothing would read it; what a file of properties sets may be for others."""
    if own.get("strength") is not None and not settings["image_to_image"]:
        raise InputError("strength is that of image-to-image; set --image_to_image=True and --reference_image=FILE.")
    models = {media: settings[f"{media}_model"] for media in MEDIA}
    named = [f"{media}_{name}" for media in MEDIA if models[media] == RETRIEVAL for name in _DIFFUSION]
    if RETRIEVAL in models.values() and not set(models.values()) - {RETRIEVAL, None}:
        named.append("negative_prompt")
    ignored = [name for name in named if own.get(name) is not None]
    if ignored:
        raise InputError(f"retrieval shows pictures as they are and has no use for {', '.join(ignored)}; leave it out.")


def blocked_words(block_list: Any) -> list[str]:
    """The block list as words, from a list or a file with one a line."""
    if isinstance(block_list, str):
        try:
            block_list = Path(block_list).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"block_list {block_list} cannot be read as a text file; name a file or a list."
            ) from error
    return [word.strip().lower() for word in map(str, block_list or ()) if word.strip()]
