"""Pictures of users: whose they are, what they weigh, what they show, and what starts from them."""

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recbole_navigen.errors import InputError
from recbole_navigen.generation.make import generate
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.generation.settings import generation_settings, refuse_absent
from recbole_navigen.generation.user_pictures import (
    SHARP,
    ShownTerms,
    first_picture,
    name_of,
    picture_vectors,
    pictures_of,
    start_of,
    weighed,
)
from recbole_navigen.serving.contexts import thought_with
from recbole_navigen.serving.preferences import Preferences


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One picture of u1, three of u2, none of u3."""
    own = tmp_path / "pictures"
    for name in ("u1.png", "u2/a.png", "u2/b.png", "u2/c.webp", "u2/notes.txt"):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            (own / name).write_text("no picture")
        else:
            Image.new("RGB", (8, 8), (len(name) * 20, ord(name[-5]) % 256, 90)).save(own / name)
    return own


def of(folder: Path, **own: object) -> dict:
    return generation_settings({"user_images": str(folder), "clip_model": "x", **own})


class Encoder:
    """Stands in for a CLIP-like model: a picture is its colour, a text is a vector by its hash."""

    def images(self, pictures: list) -> SimpleNamespace:
        opened = [own if isinstance(own, Image.Image) else Image.open(own) for own in pictures]
        return SimpleNamespace(means=self._unit([np.asarray(own)[0, 0].astype(float) for own in opened]))

    def texts(self, texts: list[str]) -> SimpleNamespace:
        return SimpleNamespace(
            means=self._unit([np.random.default_rng(sum(map(ord, text))).random(3) for text in texts])
        )

    @staticmethod
    def _unit(vectors: list) -> np.ndarray:
        return np.array([vector / np.linalg.norm(vector) for vector in vectors])


def test_whose_pictures_are_whose(folder: Path, tmp_path: Path) -> None:
    alone = of(folder)
    assert [name_of(file, alone) for file in pictures_of(alone, "u1")] == ["u1.png"]
    assert [name_of(file, alone) for file in pictures_of(alone, "u2")] == ["u2/a.png", "u2/b.png", "u2/c.webp"]
    # Nobody gets another's, and an id is no path.
    Image.new("RGB", (8, 8)).save(tmp_path / "outside.png")
    for user in ("u3", "../pictures/u1", "u2/a", ".", ".."):
        assert pictures_of(alone, user) == []
    with pytest.raises(InputError, match=r"user u3 has no picture in user_images=.*--reference_image=FILE for those"):
        start_of(alone, InstructionRecord("u3", "image", "x"))
    both = of(folder, reference_image=str(folder / "u1.png"))
    assert pictures_of(both, "u3") == [folder / "u1.png"] == [first_picture(both)]
    assert len(pictures_of(both, "u2")) == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no picture"):
        first_picture(of(tmp_path / "empty"))
    with pytest.raises(InputError, match="user_images=nowhere is no"):
        refuse_absent(replace(of(folder), clip_model=None, user_images="nowhere"))
    with pytest.raises(InputError, match="user_images=x reads pictures with a CLIP-like model"):
        generation_settings({"user_images": "x"})
    with pytest.raises(InputError, match="set --reference_image=FILE or --user_images=FOLDER"):
        generation_settings({"image_to_image": True})


@settings(max_examples=20)
@given(texts=st.lists(st.text("abc", min_size=1, max_size=4), max_size=4), count=st.integers(1, 4))
def test_weights_rise_with_the_cosine(texts: list[str], count: int) -> None:
    pictures = [Image.new("RGB", (2, 2), (250 - 60 * place, 60 * place, 40)) for place in range(count)]
    encoder = Encoder()
    weights = _weighed(encoder, pictures, texts)
    assert weights.sum() == pytest.approx(1) and (weights > 0).all()
    if not texts:
        assert weights == pytest.approx(np.full(count, 1 / count))
        return
    cosines = encoder.images(pictures).means @ encoder.texts(texts).means.mean(axis=0)
    assert np.log(weights) - np.log(weights[0]) == pytest.approx((cosines - cosines[0]) / SHARP, abs=1e-6)


def _weighed(encoder: Encoder, pictures: list[Image.Image], texts: list[str]) -> np.ndarray:
    """`weighed` of pictures that are no files."""
    files = []
    for picture in pictures:
        file = io.BytesIO()
        picture.save(file, "PNG")
        files.append(file)
    return weighed(encoder, picture_vectors(encoder, files), texts)


def test_terms_follow_the_weights(folder: Path) -> None:
    files, encoder = pictures_of(of(folder), "u2"), Encoder()
    terms = [f"term {letter}" for letter in "abcdefgh"]
    words = encoder.texts([f"a picture of {term}" for term in terms]).means
    for weights in (np.array([1.0, 0, 0]), np.array([0.2, 0.3, 0.5])):
        expected = words @ (weights @ encoder.images(files).means)
        found = ShownTerms(encoder, terms)(picture_vectors(encoder, files), weights, 3)
        assert [term for term, _ in found] == [terms[place] for place in np.argsort(-expected, kind="stable")[:3]]
    with pytest.raises(InputError, match="no terms to describe pictures"):
        ShownTerms(encoder, [])


class Copier:
    """A generator that starts from pictures of users and hands them back."""

    media, batch_size = "video", 4

    def __init__(self, given: dict):
        self.given, self.identity = given, {"model": "copier"}

    def lengths(self, instruction: str) -> dict:
        return {}

    def start_of(self, record: InstructionRecord) -> Path:
        return start_of(self.given, record)

    def __call__(self, instructions, seeds, starts=()):
        assert len(starts) == len(instructions) == len(seeds)
        return [Path(start).read_bytes() for start in starts]


def test_media_start_from_the_picture_that_weighs_most_and_are_made_anew_with_another(folder: Path, tmp_path) -> None:
    given = of(folder)
    more = {"pictures": {"u2/a.png": 0.2, "u2/b.png": 0.5, "u2/c.webp": 0.3}}
    records = [InstructionRecord("u1", "video", "a ball"), InstructionRecord("u2", "video", "a box", more=more)]
    made = generate(records, {"video": Copier(given)}, tmp_path / "out", given)
    assert [made.file(place).read_bytes() for place in (0, 1)] == [
        (folder / "u1.png").read_bytes(),
        (folder / "u2/b.png").read_bytes(),
    ]
    lines = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()]
    assert lines[1]["start"].endswith("u2/b.png")
    assert generate(records, {"video": Copier(given)}, tmp_path / "out", given).counts["kept"] == 2
    Image.new("RGB", (8, 8), (1, 2, 3)).save(folder / "u2/b.png")
    assert generate(records, {"video": Copier(given)}, tmp_path / "out", given).counts["kept"] == 1


def test_a_thought_names_what_was_stated_and_brought() -> None:
    stated = Preferences.of("noir, 1950s, not horror, war:0")
    assert thought_with("So next.", stated) == "I said that I like noir and 1950s, but not horror. So next."
    assert thought_with("So.", Preferences.of("not war"), ["sea", "night"]) == (
        "I said that I do not like war. The pictures that I brought show sea and night. So."
    )
    assert thought_with("So.", Preferences()) == "So." and thought_with(None, stated, ["sea"]) is None
