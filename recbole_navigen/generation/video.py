"""Videos from a diffusers pipeline, written as H.264 in MP4."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recbole_navigen.artefacts import content_hash
from recbole_navigen.encoders.pictures import open_picture
from recbole_navigen.errors import InputError
from recbole_navigen.generation.diffusers_pipeline import Pipeline, refuse_other_size
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.generation.settings import GenerationSettings
from recbole_navigen.generation.user_pictures import start_of


class VideoGenerator:
    """A text-to-video pipeline."""

    media = "video"

    def __init__(self, settings: GenerationSettings):
        """The settings name `video_model`."""
        self._settings, self.pipeline = settings, Pipeline("video", settings)
        self.batch_size = settings.generation_batch_size
        self.fps = self.pipeline.fps
        self.identity = {**self.pipeline.identity, "fps": self.fps}
        if self.pipeline.start is not None and settings.user_images is None:
            self.identity["start"] = content_hash(np.asarray(self.pipeline.start))
        self.lengths = self.pipeline.lengths

    def start_of(self, record: InstructionRecord) -> Path | None:
        """The picture of its user that a medium starts from; None: what all start from, or nothing."""
        return start_of(self._settings, record) if self.pipeline.start and self._settings.user_images else None

    def __call__(
        self, instructions: Sequence[str], seeds: Sequence[int], starts: Sequence[Path] = ()
    ) -> list[bytes | None]:
        """MP4 files. starts: pictures to start from, one each."""
        clips = []
        for output in self.pipeline(instructions, seeds, list(map(open_picture, starts))):
            if not hasattr(output, "frames"):
                raise InputError(f"{self.pipeline.identity['pipeline']} makes no video; use it as image_model.")
            clips += [np.stack([np.asarray(frame) for frame in clip]) for clip in output.frames]
        for clip in clips:
            refuse_other_size(self.pipeline, (*clip.shape[1:3], len(clip)))
        return [mp4(clip, self.fps) for clip in clips]


def mp4(frames: np.ndarray, fps: int) -> bytes:
    """Frames as the content of an MP4 file (H.264, yuv420p), which every browser plays.

    Args:
        frames: (F, height, width, 3), uint8. Odd sides lose their last row or column, as the format asks.
        fps: frames a second.
    """
    import av

    height, width = (side - side % 2 for side in frames.shape[1:3])
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            pixels = np.ascontiguousarray(frame[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()
