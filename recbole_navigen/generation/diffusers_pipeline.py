"""Any diffusers pipeline: loading it, and calling it with what it understands."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from recbole_navigen.errors import InputError
from recbole_navigen.generation.arguments import accepted_by, arguments_of, frame_rate, reads_picture, set_guider
from recbole_navigen.generation.pipelines import family_of, loader_of, whole_parts
from recbole_navigen.generation.settings import GenerationSettings, device_of
from recbole_navigen.generation.user_pictures import first_picture, opened
from recbole_navigen.sources import SAFE, find_source

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from PIL.Image import Image

_UNBOUNDED = 10**6  # tokenizers without a limit say 10^30


class Pipeline:
    """A loaded text-to-image, image-to-image or text-to-video pipeline."""

    def __init__(self, media: str, settings: GenerationSettings, start: "Image | None" = None):
        """
        Args:
            media: `image` or `video`.
            start: a PIL image to begin from, of the size that is set; None: text alone.
        """
        path, self.media = settings.of(media, "model"), media
        try:
            import diffusers
            import torch
            import transformers
        except ImportError as error:
            raise InputError("generation needs diffusers; pip install 'recbole-navigen[generate]'.") from error
        device = device_of(settings)
        dtype = settings.generation_dtype
        dtype = ("bfloat16" if device.startswith("cuda") else "float32") if dtype == "auto" else dtype
        try:
            source = find_source(path, settings.of(media, "revision"), "model_index.json")
            class_name = diffusers.DiffusionPipeline.load_config(path, revision=source.revision)["_class_name"]
            whole = whole_parts(class_name) if dtype != "float32" else ()
            dtypes = {"default": getattr(torch, dtype), **dict.fromkeys(whole, torch.float32)}
            kind = diffusers.DiffusionPipeline if media == "video" else loader_of(class_name, start is not None)
            self.pipe = kind.from_pretrained(path, revision=source.revision, dtype=dtypes, **SAFE)
            place(self.pipe, device, settings.offload)
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
            if not settings.safety_checker:
                self.pipe.safety_checker = None
                self.safety_checker = "off, as set"

        # Clips start from the reference picture where the pipeline has nothing else to start from.
        if media == "video" and reads_picture(self.pipe) and (file := first_picture(settings)) is not None:
            start = opened(file, settings)
        self.start = start
        self._accepted = accepted_by(self.pipe)
        self.arguments = arguments_of(self.pipe, media, settings, start)
        set_guider(self.pipe, settings.of(media, "guidance"))
        self.fps = frame_rate(self.pipe, settings.video_fps)
        # Most pipelines that start from a picture keep its size.
        size = settings.of(media, "size") if start is None or "height" in self.arguments else None
        self.asked = (*(size or (None, None)), settings.video_frames if media == "video" else None)
        arguments = {name: value for name, value in self.arguments.items() if name != "image"}
        if getattr(self.pipe, "guider", None) is not None and settings.of(media, "guidance") is not None:
            arguments["guidance_scale"] = settings.of(media, "guidance")
        self.identity = {
            "model": source.name,
            "weights": source.weights,
            "revision": source.revision,
            "pipeline": type(self.pipe).__name__,
            "dtype": f"{dtype}, {', '.join(whole)} float32" if whole else dtype,
            "safety_checker": self.safety_checker,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "arguments": arguments,
        }

    def __call__(self, instructions: Sequence[str], seeds: Sequence[int], starts: "Sequence[Image]" = ()) -> list[Any]:
        """The pipeline's outputs, as PIL images; noise depends on an instruction's own seed alone.

        starts: pictures to begin from, one each, in place of the one for all.

        Returns:
            One output for all instructions, or, where the pipeline makes one at a time, as many as instructions.
        """
        import torch

        # Drawn on the processor, so that a seed means the same noise on every device.
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        if self._alone or starts:
            return [
                self.pipe(prompt=[text], generator=generator, output_type="pil", **self._listed(1, start))
                for text, generator, start in zip(
                    instructions, generators, starts or [self.start] * len(seeds), strict=True
                )
            ]
        arguments = self._listed(len(instructions))
        return [self.pipe(prompt=list(instructions), generator=generators, output_type="pil", **arguments)]

    @property
    def _alone(self) -> bool:
        """Whether instructions are run one by one. How clips take several pictures differs from class to class."""
        return family_of(self.pipe).alone in ("always", *self.arguments) or (
            self.media == "video" and "image" in self.arguments
        )

    def _listed(self, count: int, start: "Image | None" = None) -> dict[str, Any]:
        """The arguments for some instructions. start: a picture in place of the one for all."""
        arguments = dict(self.arguments) | ({} if start is None else {"image": start})
        if "negative_prompt" in arguments:
            arguments["negative_prompt"] = [arguments["negative_prompt"]] * count
        if "image" in arguments and not self._alone and family_of(self.pipe).picture != "shared":
            arguments["image"] = [arguments["image"]] * count
        return arguments

    def lengths(self, instruction: str) -> dict[str, tuple[int, int]]:
        """Tokens of an instruction and how many the pipeline reads, for each of its tokenizers whose limit is known."""
        counts = {}
        for name, tokenizer in self.pipe.components.items():
            if "tokenizer" not in name or tokenizer is None:  # `prior_tokenizer` is one, too
                continue
            limit = min(tokenizer.model_max_length, family_of(self.pipe).tokens or _UNBOUNDED)
            # Encoders without a length of their own (T5 and the like) read as far as the pipeline lets them.
            own = self._accepted.get("max_sequence_length")
            if own is not None and isinstance(own.default, int) and limit > 77:
                limit = min(limit, own.default)
            if limit < _UNBOUNDED:
                text = instruction
                if family_of(self.pipe).chat is not None:
                    turn = [{"role": "user", "content": instruction}]
                    text = tokenizer.apply_chat_template(turn, **family_of(self.pipe).chat)
                counts[name] = (len(tokenizer(text, truncation=False, verbose=False)["input_ids"]), int(limit))
        return counts


def place(pipe: "DiffusionPipeline", device: str, offload: str) -> None:
    """Bring a pipeline to a device: whole, or part by part as it computes.

    Args:
        pipe: loaded. device: from `device_of`. offload: none, model or sequential.
    """
    if offload == "none":
        pipe.to(device)
    elif offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.enable_sequential_cpu_offload(device=device)


def refuse_other_size(pipeline: Pipeline, size: Sequence[int]) -> None:
    """Refuse what was not made as it was asked for: some classes round sizes without a word.

    Args:
        pipeline: that made it. size: height, width and, of a clip, frames.
    """
    asked = pipeline.asked[: len(size)]
    if any(wanted is not None and wanted != found for wanted, found in zip(asked, size, strict=True)):
        told = ["x".join(map(str, values)) for values in ([value or "any" for value in asked], size)]
        raise InputError(
            f"{pipeline.identity['pipeline']} made {told[1]} (height, width, frames) where {told[0]} was asked for; "
            f"set {pipeline.media}_size and the number of frames to what it makes, or leave them out."
        )
