"""Texts, images and videos as unit vectors of a CLIP-like model, and their cosines.

Any Hugging Face model with `get_text_features` and `get_image_features` will do (CLIP, SigLIP), from a folder or the
hub. To the model a text is its *parts*: one, or several chunks if it is longer than the model reads; the parts of a
video are its sampled frames. The cosine of two such things is the mean over all pairs of parts, which equals the dot
product of their mean vectors *before* any renormalisation: a mean scaled back to length one would reward jittery clips.

Symbols: n objects, P parts, D width.
"""

import re
from bisect import bisect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from recbole_navigen.artefacts import content_hash, file_hash, plain
from recbole_navigen.bars import tqdm
from recbole_navigen.encoders.clip_inputs import accepted, full_length, reads_lower_case, refuse_unreadable, text_limit
from recbole_navigen.encoders.encoded import Encoded
from recbole_navigen.encoders.frames import SAMPLING, read_frames
from recbole_navigen.encoders.pictures import READING, as_rgb, open_picture
from recbole_navigen.encoders.vector_store import VectorStore
from recbole_navigen.errors import InputError
from recbole_navigen.sources import SAFE, SAFE_CODE, find_source

LONG_TEXT = ("chunk", "truncate")
FRAMING = ("crop", "pad")
VIDEO_SUFFIXES = frozenset({".mp4", ".webm", ".mov", ".mkv", ".avi", ".gif"})
_KEEP_EVERY = 1024  # vectors between two writes to disk
_DECODED = 512  # frames held at once
_SENTENCE = re.compile(r"(?<=[.!?;,:])\s+")


class ClipEncoder:
    """Encodes once: vectors are kept under the hash of content, weights, preprocessing and policy."""

    def __init__(
        self,
        path: str,
        revision: str | None = None,
        device: str = "cpu",
        batch_size: int = 64,
        long_text: str = "chunk",
        framing: str = "crop",
        cache: str | Path | None = None,
        show_progress: bool = False,
        processor: str | None = None,
    ):
        """
        Args:
            path: folder or hub id; weights are read from safetensors only. revision: of the hub.
            device: of the model. It runs in float32.
            batch_size: texts or images at once; results do not depend on it.
            long_text: `chunk` reads all of a long text, in chunks cut where sentences end; `truncate` reads its start
                and keeps the end token.
            framing: `crop` is the model's own preprocessing; `pad` first makes pictures square with grey bars.
            cache: folder for vectors; None keeps them in memory.
            show_progress: whether bars are shown.
            processor: folder or hub id of tokenizer and preprocessing, of models that come without; None: path.
        """
        import transformers
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        for name, value, known in (("long_text", long_text, LONG_TEXT), ("clip_framing", framing, FRAMING)):
            if value not in known:
                raise InputError(f"{name}={value!r} is unknown; use {' or '.join(known)}.")
        try:
            source = find_source(path, revision, "config.json")
            state = {"revision": source.revision}
            self.model = AutoModel.from_pretrained(path, **state, **SAFE, dtype=torch.float32)
            read = source if processor is None else find_source(processor, None, "preprocessor_config.json")
            place, state = processor or path, {"revision": read.revision}
            self.tokenizer = AutoTokenizer.from_pretrained(place, **state, **SAFE_CODE)
            # The PIL version of the model's own preprocessing needs no torchvision.
            self.processor = AutoImageProcessor.from_pretrained(place, **state, **SAFE_CODE, backend="pil")
        except InputError:
            raise
        except Exception as error:  # malformed files make transformers raise whatever there is
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise InputError(f"no CLIP-like model can be loaded from {path}: {reason}") from error
        if not hasattr(self.model, "get_text_features") or not hasattr(self.model, "get_image_features"):
            raise InputError(f"{path} is a {type(self.model).__name__}, which does not encode text and images alike.")
        self.model = self.model.to(device).eval()
        self.device, self.batch_size = device, batch_size
        self.long_text, self.framing, self.show_progress = long_text, framing, show_progress
        self.limit = text_limit(self.model, self.tokenizer)
        refuse_unreadable(path, self.model, self.tokenizer, self.limit, long_text)
        self._padding: Any = "max_length" if full_length(self.model) else True
        self._lower = reads_lower_case(self.model, self.tokenizer)
        with torch.inference_mode():
            self.width = self._text_features([""]).shape[1]
        self.identity = {
            "model": source.name,
            "kind": self.model.config.model_type,
            "weights": source.weights,
            "revision": source.revision,
            "transformers": transformers.__version__,
            "preprocessing": plain(self.processor.to_dict()),
            "framing": framing,
            "long_text": long_text,
            "text_tokens": self.limit,
            **({} if read is source else {"processor": read.weights}),
            "frames": SAMPLING,
            "pictures": READING,
        }
        folder = None if cache is None else Path(cache) / content_hash(self.identity)[:16]
        self._store = VectorStore(folder)

    def texts(self, texts: Sequence[str]) -> Encoded:
        """Encode n texts."""
        texts = [text.lower() for text in texts] if self._lower else texts
        different = list(dict.fromkeys(texts))
        lengths = map(len, self.tokenizer(different)["input_ids"] if different else ())
        cut = {text: self._chunks(text, length) for text, length in zip(different, lengths, strict=True)}
        chunks = [chunk for text in texts for chunk in cut[text][0]]
        # Texts of a like length share a batch, so that little is padded.
        order = sorted(range(len(chunks)), key=lambda place: len(chunks[place]))
        parts = self._encoded([content_hash("text", chunk) for chunk in chunks], order, chunks, self._text_features)
        return Encoded(
            parts,
            np.cumsum([0, *(len(cut[text][0]) for text in texts)]),
            np.array([cut[text][1] for text in texts], dtype=bool),
        )

    def images(self, images: Sequence[str | Path | Image.Image | np.ndarray | None]) -> Encoded:
        """Encode n images: files, PIL images or arrays of shape (height, width, 3), uint8; None is missing."""
        held = [image for image in images if image is not None]
        keys = [_image_key(image) for image in held]
        parts = self._encoded(keys, range(len(held)), held, self._image_features)
        return _encoded([int(image is not None) for image in images], parts)

    def media(self, paths: Sequence[str | Path | None], frames: int = 8) -> Encoded:
        """Encode n files, images or videos by their names' endings; a video by uniformly sampled frames.

        Args:
            paths: None is missing. frames: sampled of each video; the same number for all that are compared.
        """
        pictures: list[Any] = []
        counts: list[int] = []
        parts = []
        for path in paths:
            images = [] if path is None else read_frames(path, frames) if is_video(path) else [path]
            pictures += images
            counts.append(len(images))
            if len(pictures) >= _DECODED:  # not all videos fit into memory at once
                parts.append(self.images(pictures).parts)
                pictures = []
        return _encoded(counts, np.concatenate([*parts, self.images(pictures).parts]))

    def _encoded(
        self, keys: Sequence[str], order: Sequence[int], values: Sequence[Any], features: Callable[[list[Any]], Tensor]
    ) -> np.ndarray:
        """Unit vectors of values, from the store or the model. Shape (P, D), float32."""
        known = self._store.get(keys)
        missing = list({keys[place]: place for place in order if keys[place] not in known}.values())
        fresh: list[tuple[str, np.ndarray]] = []

        def keep() -> None:
            if fresh:
                self._store.put([key for key, _ in fresh], np.array([vector for _, vector in fresh]))
                known.update(fresh)
                fresh.clear()

        with tqdm(total=len(missing), desc=f"CLIP {features.__name__[1:-9]}s", disable=not self.show_progress) as bar:
            for begin in range(0, len(missing), self.batch_size):
                places = missing[begin : begin + self.batch_size]
                with torch.inference_mode():
                    found = features([values[place] for place in places])
                    found = torch.nn.functional.normalize(found.float(), dim=1).cpu().numpy()
                fresh += zip([keys[place] for place in places], found, strict=True)
                if len(fresh) >= _KEEP_EVERY:
                    keep()
                bar.update(len(places))
            keep()
        return np.array([known[key] for key in keys], np.float32).reshape(len(keys), self.width)

    def _tokens(self, texts: list[str]) -> Any:
        return self.tokenizer(
            texts, padding=self._padding, truncation=True, max_length=self.limit, return_tensors="pt"
        ).to(self.device)

    def _text_features(self, texts: list[str]) -> Tensor:
        tokens = accepted(self._tokens(texts), self.model.get_text_features)
        if self._padding == "max_length":
            tokens = {"input_ids": tokens["input_ids"]}
        return _pooled(self.model.get_text_features(**tokens))

    def _image_features(self, images: list[Any]) -> Tensor:
        opened = [self._opened(image) for image in images]
        # NaFlex reads patches, their mask and how they lie, others pixels alone.
        inputs = accepted(self.processor(opened, return_tensors="pt").to(self.device), self.model.get_image_features)
        return _pooled(self.model.get_image_features(**inputs))

    def _opened(self, image: str | Path | Image.Image | np.ndarray) -> Image.Image:
        if isinstance(image, str | Path):
            picture = open_picture(image)
        else:
            picture = as_rgb(Image.fromarray(image) if isinstance(image, np.ndarray) else image)
        if self.framing == "pad":
            picture = ImageOps.pad(picture, (max(picture.size),) * 2, color=(127, 127, 127))
        return picture

    def lengths(self, text: str) -> dict[str, tuple[int, int]]:
        """Tokens of a text and how many of them are read, both over its chunks, each with its special tokens."""
        lengths = [self._length(chunk) for chunk in self._chunks(text, self._length(text))[0]]
        return {"tokenizer": (sum(lengths), sum(min(length, self.limit) for length in lengths))}

    def _length(self, text: str) -> int:
        """Tokens with the special ones."""
        return len(self.tokenizer(text)["input_ids"])

    def _chunks(self, text: str, length: int) -> tuple[list[str], bool]:
        """A text of `length` tokens in pieces that the model can read, and whether anything is cut off all the same."""
        too_long = length > self.limit
        if not too_long or self.long_text == "truncate":
            return [text], too_long
        pieces: list[str] = []
        for sentence in _SENTENCE.split(text):
            if self._length(sentence) <= self.limit:
                pieces.append(sentence)
            else:
                pieces += [piece for word in sentence.split() for piece in self._cut(word)]
        chunks: list[str] = []
        for piece in pieces:
            joined = f"{chunks[-1]} {piece}" if chunks else piece
            if chunks and self._length(joined) <= self.limit:
                chunks[-1] = joined
            else:
                chunks.append(piece)
        return chunks, any(self._length(chunk) > self.limit for chunk in chunks)

    def _cut(self, word: str) -> list[str]:
        """A word in pieces that fit, each as long as can be.

        By trial rather than at the places of its tokens: a piece read alone may have other tokens, and more of them.
        """
        pieces = []
        while self._length(word) > self.limit and len(word) > 1:
            end = bisect(range(1, len(word)), self.limit, key=lambda end: self._length(word[:end])) or 1
            pieces.append(word[:end])
            word = word[end:]
        return [*pieces, word]


def is_video(path: str | Path) -> bool:
    """Whether the ending of a file's name is that of a video."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def _encoded(counts: Sequence[int], parts: np.ndarray) -> Encoded:
    return Encoded(parts, np.cumsum([0, *counts]), np.zeros(len(counts), dtype=bool))


def _pooled(output: object) -> Tensor:
    """The projected features: a tensor in older versions of transformers, in `pooler_output` since version 5."""
    return getattr(output, "pooler_output", output)


def _image_key(image: str | Path | Image.Image | np.ndarray) -> str:
    if isinstance(image, str | Path):
        try:
            return content_hash("file", file_hash(image))
        except OSError as error:
            raise InputError(f"image {image} cannot be read: {error.strerror}.") from error
    array = np.asarray(as_rgb(image)) if isinstance(image, Image.Image) else image
    return content_hash("pixels", array)
