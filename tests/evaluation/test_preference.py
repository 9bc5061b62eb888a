"""Ratings per user: what is right for each person, on synthetic tastes whose truth is known."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_media import small_clip  # puts benchmarks on the path

from recbole_navigen.encoders.encoded import Encoded
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.preference import (
    HISTORY,
    MISMATCHED,
    OTHERS,
    Ratings,
    difference,
    others,
    personal_scores,
    prompt_scores,
    rank_agreement,
    read_ratings,
    split_ratings,
)

WIDTH = 16


class Encoder:
    """Pictures of known vectors: each image is its own direction of taste."""

    def __init__(self, vectors: dict[Path, np.ndarray]):
        self.vectors = vectors

    def images(self, paths: list[Path]) -> Encoded:
        parts = np.stack([self.vectors[path] for path in paths]).astype(np.float32)
        return Encoded(parts, np.arange(len(paths) + 1), np.zeros(len(paths), bool))

    def texts(self, texts: list[str]) -> Encoded:
        return Encoded(np.ones((len(texts), WIDTH), np.float32), np.arange(len(texts) + 1), np.zeros(len(texts), bool))


def world(users: int = 40, images: int = 60, personal: float = 1.0) -> tuple[Ratings, Encoder]:
    """Users with tastes: a rating is a taste of all times a picture, and `personal` times the user's own."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(images, WIDTH))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shared, own = rng.normal(size=WIDTH), rng.normal(size=(users, WIDTH))
    rated = [(user, image) for user in range(users) for image in rng.permutation(images)[: images // 2]]
    values = [vectors[image] @ (shared + personal * own[user]) + 0.02 * rng.normal() for user, image in rated]
    files = {f"i{image}": Path(f"i{image}") for image in range(images)}
    columns = ([f"u{user}" for user, _ in rated], [f"i{image}" for _, image in rated], ["p"] * len(rated))
    ratings = Ratings(*(np.array(column, object) for column in columns), np.array(values), files)
    return ratings, Encoder({Path(f"i{image}"): vectors[image] for image in range(images)})


def test_a_personal_score_is_ahead_where_tastes_are_personal() -> None:
    ratings, encoder = world(personal=1.5)
    known, asked = split_ratings(ratings)
    assert len(known) == len(asked) and not set(zip(known.users, known.images, strict=True)) & set(
        zip(asked.users, asked.images, strict=True)
    )
    scores = {"prompt": prompt_scores(encoder, asked), "truth": asked.ratings, "reverse": -asked.ratings}
    scores |= personal_scores(encoder, known, asked) | others(known, asked)
    found = rank_agreement(scores, asked)
    assert found["truth"].accuracy.mean == 1 and found["reverse"].accuracy.mean == 0
    assert found[HISTORY].accuracy.low > 0.7 and found[OTHERS].accuracy.low > 0.5
    assert difference(found[HISTORY], found[MISMATCHED]).low > 0.05
    assert difference(found[HISTORY], found[OTHERS]).low > 0
    # Without tastes of their own the others know as much, and one's own history is no better than another's.
    ratings, encoder = world(personal=0.0)
    known, asked = split_ratings(ratings)
    scores = personal_scores(encoder, known, asked) | others(known, asked)
    found = rank_agreement(scores, asked)
    assert found[OTHERS].accuracy.mean > 0.95
    assert (
        difference(found[HISTORY], found[MISMATCHED]).low < 0
        and difference(found[HISTORY], found[MISMATCHED]).mean < 0.05
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 4), st.integers(0, 3)), min_size=3))
def test_pairs_are_counted_as_one_by_one(rows: list[tuple[int, int, int, int]]) -> None:
    users, prompts, values, scores = (np.array(column) for column in zip(*rows, strict=True))
    named = np.array([f"i{place}" for place in range(len(rows))], object)
    ratings = Ratings(users, named, prompts, values.astype(float), {})
    for same in (False, True):
        right: dict[int, list[float]] = {}
        for i, j in [(i, j) for i in range(len(rows)) for j in range(len(rows))]:
            if users[i] == users[j] and values[i] > values[j] and (not same or prompts[i] == prompts[j]):
                right.setdefault(int(users[i]), []).append(0.5 + 0.5 * np.sign(scores[i] - scores[j]))
        if not right:
            with pytest.raises(InputError, match="nothing to rank"):
                rank_agreement({"s": scores}, ratings, same)
            continue
        found = rank_agreement({"s": scores}, ratings, same)["s"]
        assert found.users.tolist() == sorted(right) and found.skipped == len(set(users.tolist())) - len(right)
        assert np.allclose(found.per_user, [np.mean(right[user]) for user in found.users.tolist()])
        assert found.pairs.tolist() == [len(right[user]) for user in found.users.tolist()]


def test_others_leave_the_user_out() -> None:
    users, images = np.array(["a", "b", "c", "a", "b"], object), np.array(["x", "x", "x", "y", "z"], object)
    all_of_them = Ratings(users, images, images, np.array([5.0, 1.0, 2.0, 1.0, 3.0]), {})
    none, everything = all_of_them.at(np.zeros(5, bool)), all_of_them.at(np.ones(5, bool))
    found = others(none, everything)[OTHERS]
    assert np.allclose(found[:3], [(-1 + 0) / 2, (2 + 0) / 2, (2 - 1) / 2]) and np.isnan(found[3:]).all()


def test_files_are_read_and_bad_ones_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"user": ["1", "1", "2"], "image": ["a.png", "b", "a.png"], "prompt": ["p"] * 3, "rating": [1, 2.5, 3]}
    )
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name)
    frame.to_csv(tmp_path / "r.csv", index=False)
    frame.to_csv(tmp_path / "r.tsv", index=False, sep="\t")
    frame.to_json(tmp_path / "r.jsonl", orient="records", lines=True)
    frame.rename(columns={"rating": "score"}).to_parquet(tmp_path / "r.parquet")
    for name in ("r.csv", "r.tsv", "r.jsonl", "r.parquet"):
        columns = {"rating": "score"} if name.endswith("parquet") else None
        found = read_ratings(tmp_path / name, tmp_path / "images", columns)
        assert found.users.tolist() == ["1", "1", "2"] and found.ratings.tolist() == [1, 2.5, 3]
        assert [path.name for path in found.pictures()] == ["a.png", "b.jpg", "a.png"]

    def refused(message: str, **changed: object) -> None:
        frame.assign(**changed).to_csv(tmp_path / "bad.csv", index=False)
        with pytest.raises(InputError, match=message):
            read_ratings(tmp_path / "bad.csv", tmp_path / "images").pictures()

    refused("row 2 has no number", rating=["1", "good", "2"])
    refused("user 1 rates image b twice", image=["b", "b", "b"])
    refused("no picture of image 'c'", image=["a.png", "c", "a.png"])
    for wrong, message in (("r.xlsx", "end in none of"), ("absent.csv", "cannot be read")):
        with pytest.raises(InputError, match=message):
            read_ratings(tmp_path / wrong)
    with pytest.raises(InputError, match="have no column score"):
        read_ratings(tmp_path / "r.csv", columns={"rating": "score"})
    with pytest.raises(InputError, match="is not a folder"):
        read_ratings(tmp_path / "r.csv", tmp_path / "nowhere")


def test_the_command_compares_scores_on_a_users_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import preference
    from harness import common

    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(8):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(tmp_path / "images" / f"i{number}.png")
    rows = [(f"u{user}", f"i{image}", "a red ball", rng.integers(1, 6)) for user in range(4) for image in range(8)]
    pd.DataFrame(rows, columns=["user", "image", "prompt", "rating"]).to_csv(tmp_path / "r.csv", index=False)
    places = [f"--ratings={tmp_path / 'r.csv'}", f"--images={tmp_path / 'images'}"]
    monkeypatch.setattr(sys, "argv", ["preference.py", *places, f"--clip_model={small_clip(tmp_path / 'clip')}"])
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    preference.main()
    result = json.loads((tmp_path / "results" / "preference.json").read_text())
    assert result["users"] == 4 and set(result["pairwise accuracy"]) == {"prompt", HISTORY, MISMATCHED, OTHERS}
    assert str(tmp_path) not in json.dumps(result) and len(result["bars"]) == 3
