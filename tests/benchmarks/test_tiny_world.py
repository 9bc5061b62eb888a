"""The tiny world: drawings that can be read again, held-out scenes, a data set RecBole reads."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_media import tiny_world as world
from synthetic import make_config

from recbole_navigen.data import create_dataset, read_item_text
from recbole_navigen.data.item_text import ItemText


def some(count: int, seed: int = 0) -> np.ndarray:
    scenes = world.all_scenes()
    return scenes[np.random.default_rng(seed).permutation(len(scenes))[:count]]


def test_drawings_differ_and_are_read_again() -> None:
    scenes = some(300)
    jitter = np.random.default_rng(1).normal(size=(300, 3)) * (0.02, 0.02, 0.01)
    found = world.read(world.draw(scenes, jitter=jitter))
    assert world.accuracy(found, scenes).mean() > 0.98
    drawings = world._all_pictures()
    assert len(np.unique(drawings.reshape(len(drawings), -1), axis=0)) == len(drawings)


def test_texts_name_their_scenes() -> None:
    for scene in some(50):
        assert world.named(world.title(scene)).tolist() == scene.tolist()
        rng = np.random.default_rng(0)
        assert world.named(world.wording(world.words(scene), rng)).tolist() == scene.tolist()
    assert world.named("A quiet evening: yellow, FALLING").tolist() == [-1, 3, -1, -1, -1, 1]


def test_motion_is_drawn() -> None:
    scenes = np.tile(some(1), (4, 1))
    scenes[:, -1] = range(4)
    clips = world.draw_clips(scenes)
    assert clips.shape == (4, world.FRAMES, world.SIZE, world.SIZE, 3)
    assert (np.abs(np.diff(clips.astype(int), axis=1)).mean(axis=(1, 2, 3, 4)) > 1).all()
    assert len(np.unique(clips.reshape(4, -1), axis=0)) == 4


def test_the_motion_of_a_clip_is_read_whatever_else_is_wrong() -> None:
    scenes = some(60)
    jitter = np.random.default_rng(1).normal(size=(60, 3)) * (0.02, 0.02, 0.01)
    clips = world.draw_clips(scenes, jitter=jitter)
    assert (world.read_clips(clips) == scenes).mean() > 0.97
    # Faint clips, and clips in which each frame's colours are mixed up, still move as they do.
    faint = (clips.astype(float) * 0.4 + 90).astype(np.uint8)
    for changed in (faint, clips[..., ::-1]):
        assert (world.read_clips(changed)[:, -1] == scenes[:, -1]).mean() > 0.9
    frozen = np.repeat(clips[:, :1], clips.shape[1], axis=1)
    assert (world.read_clips(frozen)[:, -1] == scenes[:, -1]).mean() < 0.5


def test_who_is_held_out_does_not_depend_on_nor_change_the_others(tmp_path: Path) -> None:
    for name, held_out in (("some", 4), ("none", 0)):
        world.write_data(tmp_path / name, users=6, held_out=held_out, items=30)
    texts = [(tmp_path / name / "tiny-world" / "tiny-world.inter").read_text() for name in ("some", "none")]
    assert texts[0] == texts[1] and "u5\t" in texts[0] and "u6\t" not in texts[0]
    rows = (tmp_path / "some" / "tiny-world" / "held-out.inter").read_text().splitlines()[1:]
    assert {row.split("\t")[0] for row in rows} == {"u6", "u7", "u8", "u9"}


def test_a_painter_says_what_the_terms_say() -> None:
    from recbole_navigen.supervision.interfaces import FOUNDERS, Order, Sample, Task
    from worlds.tiny_navigen import Painter

    terms = ("red", "striped ball", "left", "night", "rising")
    orders = tuple(map(Order, FOUNDERS))
    for media in ("image", "video"):
        (drafts,) = Painter().write([Task(Sample("u", (), terms, media=media), orders)])
        for draft in drafts:
            words = set(draft.prompt.replace(",", "").replace(":", "").split())
            assert {"red", "striped", "ball", "left", "night"} <= words and ("rising" in words) == (media == "video")
    few, none = (Task(Sample("u", (), given, name_terms=False), orders[:1]) for given in (("star",), ("cat",)))
    assert Painter().write([few, none])[0][0].prompt == "star" and Painter().write([none]) == [None]


def test_held_out_pictures_are_never_trained_on() -> None:
    train, held_out = world.split_scenes()
    assert len(train) + len(held_out) == len(world.all_scenes())
    seen = {tuple(scene[:-1]) for scene in train}
    assert not seen & {tuple(scene[:-1]) for scene in held_out}
    assert 0.15 < len(held_out) / len(world.all_scenes()) < 0.25
    for column in range(len(world.NAMES)):
        assert set(held_out[:, column]) == set(train[:, column])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_captions_say_what_is_there_and_nothing_else(seed: int, motion: bool) -> None:
    (scene,) = some(1, seed)
    text = world.caption(scene, np.random.default_rng(seed), motion)
    said = world.words(scene)
    found = {word.strip(":,") for word in text.split()}
    for name, values in world.ATTRIBUTES.items():
        assert not found & (set(values) - {said[name]})
    assert said["object"] in found and (said["motion"] in found or not motion or "," in text)
    assert set(said.values()) <= {word.strip(",") for word in world.title(scene).split()}


def test_the_data_set_is_read_by_recbole(tmp_path: Path) -> None:
    scenes = world.write_data(tmp_path, users=30, held_out=0, items=40)
    config = make_config(
        "NaviGen",
        tmp_path,
        "tiny-world",
        load_col={"inter": ["user_id", "item_id", "timestamp"]},
        item_text_fields=["title", *world.NAMES],
    )
    data = create_dataset(config)
    assert data.user_num == 31 and data.item_num <= 41
    text: ItemText = read_item_text(config, data)
    for index in range(1, data.item_num):
        scene = scenes[data.id2token(data.iid_field, index)]
        assert text.title[index] == world.title(scene)
    with Image.open(tmp_path / "tiny-world" / "images" / "s0.png") as picture:
        assert (np.asarray(picture) == world.draw(scenes["s0"][None])[0]).all()
