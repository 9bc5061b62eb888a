"""A small world whose pictures and captions we draw ourselves, so that the truth behind every score is known.

A scene is one value of each of six attributes (`ATTRIBUTES`). `draw` makes its picture or its clip, `caption` writes it
in words, `read` and `read_clips` find the scene in a picture or clip again: the nearest drawing. A fifth of the
combinations is held out: the models of `tiny_models.py` never see them, and the catalogue of the recommendation data
set is made of them alone.

    python benchmarks/tiny_world.py FOLDER    # the data set as atomic files, with pictures

Symbols: S scenes, F frames, H pixels a side.
"""

import functools
import itertools
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

SIZE, FRAMES = 32, 4
ATTRIBUTES = {
    "object": ("ball", "box", "pyramid", "star", "ring", "cross"),
    "colour": ("red", "green", "blue", "yellow", "purple", "white"),
    "material": ("smooth", "striped", "dotted", "glowing"),
    "background": ("night", "desert", "forest", "sea", "snow", "dusk"),
    "layout": ("left", "centre", "right"),
    "motion": ("rising", "falling", "drifting", "pulsing"),
}
NAMES = tuple(ATTRIBUTES)
STILL = NAMES[:-1]  # what a single picture shows
COLOURS = np.array(
    [(220, 40, 40), (50, 190, 70), (50, 90, 230), (245, 215, 50), (160, 60, 200), (245, 245, 245)], np.float32
)
# Upper and lower half of each background.
GROUNDS = np.array(
    [
        [(12, 14, 40), (30, 32, 80)],
        [(250, 225, 170), (205, 140, 75)],
        [(70, 120, 70), (22, 60, 28)],
        [(150, 215, 225), (25, 105, 150)],
        [(205, 222, 240), (238, 243, 250)],
        [(250, 150, 110), (105, 45, 100)],
    ],
    np.float32,
)
DARK = np.array((18, 18, 22), np.float32)
HELD_OUT = 0.2
_TEMPLATES = (
    "a {colour} {material} {object} on the {layout}, {background}",
    "{background} with a {material} {colour} {object} at the {layout}",
    "{material} {object} in {colour}, {layout} of the {background}",
    "picture of the {background}: {object}, {colour} and {material}, {layout}",
)
_FILLERS = (
    "soft light",
    "wide shot, calm mood",
    "in the style of a poster",
    "high detail, clean lines",
    "a quiet scene for an evening",
    "cinematic composition with a clear subject",
)


def all_scenes() -> np.ndarray:
    """Every combination. Shape (S, 6), int64, in the order of `NAMES`."""
    return np.array(list(itertools.product(*(range(len(values)) for values in ATTRIBUTES.values()))))


def split_scenes(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scenes for training and held-out ones; combinations of what a picture shows are held out with all motions."""
    scenes = all_scenes()
    still = np.unique(scenes[:, :-1], axis=0, return_inverse=True)[1].ravel()
    held_out = np.random.default_rng(seed).random(still.max() + 1) < HELD_OUT
    return scenes[~held_out[still]], scenes[held_out[still]]


def draw(scenes: np.ndarray, time: float | None = None, jitter: np.ndarray | None = None, every: int = 1) -> np.ndarray:
    """Draw scenes.

    Args:
        scenes: values of the attributes. Shape (S, 6).
        time: 0 to 1, the moment of a clip; None: a still picture, in which nothing has moved.
        jitter: x, y and size to add, in picture sides. Shape (S, 3).
        every: 2 draws every other row and column alone, and so on.

    Returns:
        (S, H, H, 3), uint8.
    """
    kind, colour, material, ground, layout, motion = scenes.T[..., None, None]
    shift = np.zeros((len(scenes), 3)) if jitter is None else jitter
    left, up, larger = np.array(shift.T, np.float64)[..., None, None]
    if time is not None:
        up = up + np.select([motion == 0, motion == 1], [1.1 * time - 0.55, 0.55 - 1.1 * time], 0.0)
        left = left + np.where(motion == 2, 0.8 * time - 0.4, 0.0)
        larger = larger + np.where(motion == 3, 0.2 * np.cos(4 * np.pi * time), 0.0)
    axis = (np.arange(0, SIZE, every) + 0.5) / SIZE * 2 - 1
    radius = 0.5 + larger
    x = (axis[None, None, :] - (layout - 1) * 0.4 - left) / radius
    y = (-axis[None, :, None] - up) / radius

    # 1. Signed distance to each kind of object, in radii; below zero is inside.
    away, across, high = np.hypot(x, y), np.abs(x), np.abs(y)
    spike = 0.68 + 0.32 * np.cos(5 * (np.arctan2(x, y)))
    shapes = [
        away - 0.9,
        np.maximum(across, high) - 0.8,
        np.maximum(0.87 * across + 0.5 * y - 0.45, -y - 0.75),
        (away - spike) * 0.8,
        np.abs(away - 0.7) - 0.26,
        np.minimum(np.maximum(across - 0.3, high - 0.95), np.maximum(high - 0.3, across - 0.95)),
    ]
    distance = np.select([kind == number for number in range(len(shapes))], shapes)
    pixel = 2 / SIZE / radius

    # 2. Ground, halo, dark edge, object, and the pattern of its material.
    lower = np.clip((y * radius + up) * -6 + 0.5, 0, 1)[..., None]
    picture = (
        GROUNDS[ground[:, 0, 0], 0][:, None, None] * (1 - lower) + GROUNDS[ground[:, 0, 0], 1][:, None, None] * lower
    )
    halo = np.where(material == 3, np.clip(1.15 - distance / 0.6, 0, 1) * 0.9, 0)[..., None]
    picture = picture * (1 - halo) + np.array((255, 250, 190), np.float32) * halo
    dark = np.select(
        [material == 1, material == 2],
        [np.sin(y * 7) > 0.2, np.hypot((x * 1.4 + 0.5) % 1 - 0.5, (y * 1.4 + 0.5) % 1 - 0.5) < 0.32],
        False,
    )[..., None]
    own = np.where(dark, DARK * 0.8 + COLOURS[colour] * 0.2, COLOURS[colour])
    for inside, paint in ((distance - 1.3 * pixel, DARK), (distance, own)):
        cover = np.clip(0.5 - inside / pixel, 0, 1)[..., None]
        picture = picture * (1 - cover) + paint * cover
    return np.clip(picture.round(), 0, 255).astype(np.uint8)


def draw_clips(scenes: np.ndarray, frames: int = FRAMES, jitter: np.ndarray | None = None) -> np.ndarray:
    """Clips of scenes. Shape (S, F, H, H, 3), uint8."""
    return np.stack([draw(scenes, time, jitter) for time in np.linspace(0, 1, frames)], axis=1)


def words(scene: np.ndarray) -> dict[str, str]:
    """A scene's attributes in words."""
    return {name: ATTRIBUTES[name][value] for name, value in zip(NAMES, scene, strict=True)}


def title(scene: np.ndarray, motion: bool = True) -> str:
    """The canonical text of a scene."""
    return _TEMPLATES[0].format(**words(scene)) + (f", {words(scene)['motion']}" if motion else "")


def named(text: str) -> np.ndarray:
    """The scene that a text names; -1, which is no value, for what it leaves unsaid. Shape (6,)."""
    found = set(re.findall(r"\w+", text.lower()))
    return np.array(
        [next((place for place, value in enumerate(values) if value in found), -1) for values in ATTRIBUTES.values()]
    )


def wording(said: Mapping[str, str], rng: np.random.Generator) -> str:
    """A sentence about some attributes, name -> value; a list of them where too few are known for one."""
    if not said.keys() >= set(STILL):
        return ", ".join(said.values())
    text = _TEMPLATES[rng.integers(len(_TEMPLATES))].format(**said)
    return f"{text}, {said['motion']}" if "motion" in said else text


def caption(scene: np.ndarray, rng: np.random.Generator, motion: bool = False) -> str:
    """One of many wordings: sentences or a list of terms, with some attributes left unsaid, with filler around them."""
    said = words(scene)
    if not motion and rng.random() < 0.7:
        del said["motion"]
    if rng.random() < 0.35:
        said = {name: value for name, value in said.items() if name == "object" or rng.random() < 0.85}
        text = ", ".join(said[name] for name in rng.permutation(list(said)))
    else:
        text = wording(said, rng)
    draws = rng.random(2)
    if draws[0] < 0.15:
        text = f"{_FILLERS[rng.integers(len(_FILLERS))]}, {text}"
    if draws[1] < 0.3:
        text = f"{text}, {_FILLERS[rng.integers(len(_FILLERS))]}"
    return text


def read(pictures: np.ndarray) -> np.ndarray:
    """The scene of each picture: the one whose drawing is nearest, pixel by pixel; its motion is given as 0.

    Args:
        pictures: (S, H, H, 3), uint8.

    Returns:
        (S, 6), int64.
    """
    return all_scenes()[:: len(ATTRIBUTES["motion"])][_nearest(pictures, _all_pictures())]


def read_clips(clips: np.ndarray) -> np.ndarray:
    """The scene of each clip. Shapes (S, F, H, H, 3), uint8 -> (S, 6), int64.

    What stands still is that of the nearest drawn clip; the motion is that of the drawn clip whose *changes* over time
    point the same way, so that neither a wrong colour nor a faint movement decides it. A frozen clip reads as chance.
    """
    own, drawn = clips[:, :, ::2, ::2], _all_clips(clips.shape[1])
    found = all_scenes()[_nearest(own, drawn)]
    found[:, -1] = all_scenes()[(_changes(own) @ _changes(drawn).T).argmax(1), -1]
    return found


@functools.cache
def _all_pictures() -> np.ndarray:
    """All pictures; motion, the last attribute, changes fastest and shows in none."""
    return draw(all_scenes()[:: len(ATTRIBUTES["motion"])])


@functools.cache
def _all_clips(frames: int) -> np.ndarray:
    """All clips, every other row and column: enough to tell them apart, for a quarter of the memory."""
    scenes = all_scenes()
    return np.stack([draw(scenes, moment, every=2) for moment in np.linspace(0, 1, frames)], axis=1)


def _changes(clips: np.ndarray) -> np.ndarray:
    """Each clip less its mean frame, of length 1. Shape (S, values), float32."""
    moving = clips.astype(np.float32)
    moving = (moving - moving.mean(axis=1, keepdims=True)).reshape(len(clips), -1)
    return moving / np.maximum(np.linalg.norm(moving, axis=1, keepdims=True), 1e-6)


def _nearest(pictures: np.ndarray, drawings: np.ndarray) -> np.ndarray:
    """Place of the nearest drawing, by squared distance. Shape (S,)."""
    own, rows = (array.reshape(len(array), -1).astype(np.float32) / 255 for array in (pictures, drawings))
    return ((rows**2).sum(1) - 2 * own @ rows.T).argmin(1)


def accuracy(found: np.ndarray, meant: np.ndarray) -> np.ndarray:
    """Share of the attributes a single picture shows that are as meant. Shapes (S, 6), (S, 6) -> (S,)."""
    return (found[:, : len(STILL)] == meant[:, : len(STILL)]).mean(1)


def write_data(
    folder: str | Path, users: int = 32_000, held_out: int = 500, items: int = 2200, seed: int = 0
) -> dict[str, np.ndarray]:
    """Write the data set `tiny-world`: users with tastes over attributes and slowly turning moods.

    Args:
        folder: gets `tiny-world/` with `tiny-world.inter`, `.item`, `images/ITEM.png` and `held-out.inter`.
        users: how many are in `tiny-world.inter`. held_out: how many others are in `held-out.inter`, which no training
            reads. items: at most so many of the held-out scenes. seed: of everything.

    Returns:
        item id -> scene, shape (6,).

    A user likes one or two values of each attribute. Each step keeps, for every attribute, the last value with
    probability 0.9 or draws it from the taste; the item taken is the best-fitting one that the user has not had. So
    much of the next item can be foreseen, by who knows taste and last mood, and never all of it.
    """
    rng = np.random.default_rng(seed)
    scenes = split_scenes()[1]
    scenes = scenes[rng.permutation(len(scenes))[:items]]
    tokens = [f"s{number}" for number in range(len(scenes))]
    popularity = rng.gumbel(size=len(scenes)) * 0.15
    lines: list[list[str]] = [[], []]
    for user in range(users + held_out):
        tastes = [rng.dirichlet(np.full(len(values), 0.1)) for values in ATTRIBUTES.values()]
        mood = np.array([rng.choice(len(taste), p=taste) for taste in tastes])
        free = np.ones(len(scenes), bool)
        for step in range(int(rng.integers(8, 21))):
            fresh = np.array([rng.choice(len(taste), p=taste) for taste in tastes])
            mood = np.where(rng.random(len(mood)) < 0.9, mood, fresh)
            fit = (scenes == mood) @ np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.3])
            pick = int(np.argmax(np.where(free, fit + popularity + 0.05 * rng.gumbel(size=len(scenes)), -np.inf)))
            free[pick] = False
            lines[user >= users].append(f"u{user}\t{tokens[pick]}\t{step}")
    own = Path(folder) / "tiny-world"
    (own / "images").mkdir(parents=True, exist_ok=True)
    header = "user_id:token\titem_id:token\ttimestamp:float"
    for name, rows in zip(("tiny-world", "held-out"), lines, strict=True):
        (own / f"{name}.inter").write_text("\n".join([header, *rows]) + "\n", "utf-8")
    rows = [
        "\t".join([token, title(scene), *words(scene).values()]) for token, scene in zip(tokens, scenes, strict=True)
    ]
    columns = ["item_id:token", "title:token_seq", *(f"{name}:token_seq" for name in NAMES)]
    (own / "tiny-world.item").write_text("\n".join(["\t".join(columns), *rows]) + "\n", "utf-8")
    for token, picture in zip(tokens, draw(scenes), strict=True):
        Image.fromarray(picture).save(own / "images" / f"{token}.png")
    return dict(zip(tokens, scenes, strict=True))
