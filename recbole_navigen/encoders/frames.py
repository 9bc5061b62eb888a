"""Frames of a video, chosen uniformly."""

from pathlib import Path

import numpy as np

from recbole_navigen.errors import InputError

SAMPLING = "middle of each of n equal parts, upright"


def frame_places(total: int, count: int) -> np.ndarray:
    """Which of `total` frames stand for the video: the middle one of each of `count` equal parts.

    Returns:
        (min(total, count),), int64, ascending and without repeats.
    """
    count = min(total, count)
    return ((np.arange(count) + 0.5) * total / count).astype(np.int64)


def read_frames(path: str | Path, count: int | None = None) -> list[np.ndarray]:
    """Decode a video with PyAV.

    Args:
        path: any file that FFmpeg reads. count: how many frames, see `frame_places`; None: all.

    Returns:
        Frames of shape (height, width, 3), uint8, turned as the file says.
    """
    import av

    try:
        with av.open(str(path)) as container:
            # Phones film sideways and note by how many degrees the picture is to be turned, counterclockwise.
            frames = [
                np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))
                for frame in container.decode(video=0)
            ]
    except (av.error.FFmpegError, IndexError, OSError) as error:
        raise InputError(f"{path} cannot be read as a video: {error}; generate or supply it again.") from error
    if not frames:
        raise InputError(f"{path} is a video without frames; generate or supply it again.")
    return frames if count is None else [frames[place] for place in frame_places(len(frames), count)]
