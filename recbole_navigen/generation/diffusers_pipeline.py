"""Any diffusers pipeline: loading it, and calling it with what it understands."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from recbole_navigen.errors import InputError
from recbole_navigen.generation.settings import device_of
from recbole_navigen.sources import SAFE, find_source

_UNBOUNDED = 10**6  # tokenizers without a limit say 10^30
# Tokens that pipelines read whatever their tokenizer's limit and without an argument for it (diffusers 0.42.1).
_HARD_LIMITS = {
    "HunyuanDiTPipeline": 256,
    "IFPipeline": 77,
    "IFImg2ImgPipeline": 77,
    "KandinskyCombinedPipeline": 77,
    "KandinskyImg2ImgCombinedPipeline": 77,
    "Kandinsky3Pipeline": 128,
    "Kandinsky3Img2ImgPipeline": 128,
    "LattePipeline": 120,
}
# Our name of a setting after `image_` or `video_`, and diffusers' name of the argument.
_ARGUMENTS = {"steps": "num_inference_steps", "guidance": "guidance_scale", "frames": "num_frames"}


class Pipeline:
    """A loaded text-to-image, image-to-image or text-to-video pipeline."""

    def __init__(self, media: str, settings: Mapping[str, Any], start: Any = None):
        """
        Args:
            media: `image` or `video`. settings: from `generation_settings`.
            start: a PIL image to begin from, of the size that is set; None: text alone.
        """
        path = settings[f"{media}_model"]
        try:
            import diffusers
            import torch
            import transformers
        except ImportError as error:
            raise InputError("generation needs diffusers; pip install 'recbole-navigen[generate]'.") from error
        if media == "video":
            kind = diffusers.DiffusionPipeline
        else:
            kind = diffusers.AutoPipelineForText2Image if start is None else diffusers.AutoPipelineForImage2Image
        device = device_of(settings)
        dtype = settings["generation_dtype"]
        dtype = ("bfloat16" if device.startswith("cuda") else "float32") if dtype == "auto" else dtype
        try:
            source = find_source(path, settings[f"{media}_revision"], "model_index.json")
            given = {"revision": source.revision, "dtype": getattr(torch, dtype)}
            self.pipe = kind.from_pretrained(path, **given, **SAFE)
            if settings["offload"] == "none":
                self.pipe.to(device)
            elif settings["offload"] == "model":
                self.pipe.enable_model_cpu_offload(device=device)
            else:
                self.pipe.enable_sequential_cpu_offload(device=device)
        except InputError:
            raise
        except Exception as error:  # malformed files make diffusers raise whatever there is
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise InputError(f"{media}_model={path} cannot be loaded as a diffusers pipeline: {reason}") from error
        self.pipe.set_progress_bar_config(disable=True)

        # The checker stays unless the user says otherwise in so many words.
        self.safety_checker = "none in the pipeline"
        if getattr(self.pipe, "safety_checker", None) is not None:
            self.safety_checker = "on"
            if not settings["safety_checker"]:
                self.pipe.safety_checker = None
                self.safety_checker = "off, as set"

        self._accepted = inspect.signature(self.pipe.__call__).parameters
        wanted: dict[str, Any] = {"negative_prompt": settings["negative_prompt"]}
        wanted |= {argument: settings.get(f"{media}_{name}") for name, argument in _ARGUMENTS.items()}
        size = dict(zip(("height", "width"), settings[f"{media}_size"] or (), strict=False))
        if start is not None:
            wanted |= {"image": start, "strength": settings["strength"]}
            # Most pipelines that start from a picture take its size and no other.
            size = {side: value for side, value in size.items() if side in self._accepted}
        wanted |= size
        self.arguments = {name: value for name, value in wanted.items() if value is not None}
        unknown = [name for name in ("prompt", *self.arguments) if name not in self._accepted]
        if unknown:
            raise InputError(
                f"{path} is a {type(self.pipe).__name__}, which does not take {', '.join(unknown)}; "
                "leave the setting out."
            )
        self.identity = {
            "model": source.name,
            "weights": source.weights,
            "revision": source.revision,
            "pipeline": type(self.pipe).__name__,
            "dtype": dtype,
            "safety_checker": self.safety_checker,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "arguments": {name: value for name, value in self.arguments.items() if name != "image"},
        }

    def __call__(self, instructions: Sequence[str], seeds: Sequence[int]) -> Any:
        """The pipeline's output, as PIL images; noise depends on an instruction's own seed alone."""
        import torch

        arguments = dict(self.arguments)
        for name in ("negative_prompt", "image"):
            if name in arguments:
                arguments[name] = [arguments[name]] * len(instructions)
        # Drawn on the processor, so that a seed means the same noise on every device.
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        return self.pipe(prompt=list(instructions), generator=generators, output_type="pil", **arguments)

    def lengths(self, instruction: str) -> dict[str, tuple[int, int]]:
        """Tokens of an instruction and how many the pipeline reads, for each of its tokenizers whose limit is known."""
        found = {}
        for name, tokenizer in self.pipe.components.items():
            if "tokenizer" not in name or tokenizer is None:  # `prior_tokenizer` is one, too
                continue
            limit = min(tokenizer.model_max_length, _HARD_LIMITS.get(type(self.pipe).__name__, _UNBOUNDED))
            # Encoders without a length of their own (T5 and the like) read as far as the pipeline lets them.
            own = self._accepted.get("max_sequence_length")
            if own is not None and isinstance(own.default, int) and limit > 77:
                limit = min(limit, own.default)
            if limit < _UNBOUNDED:
                found[name] = (len(tokenizer(instruction, truncation=False, verbose=False)["input_ids"]), int(limit))
        return found
