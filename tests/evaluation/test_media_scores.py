"""Scores of media: floors, controls, ceilings, failures and scales, all from raw pairs."""

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_media import small_clip

from recbole_navigen.config import Config
from recbole_navigen.config.media_metrics import NAMES, media_result
from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.media_pairs import MediaCase, score_media
from recbole_navigen.evaluation.media_scores import KINDS, METRICS, ROLES, TEXTS, MediaScores
from recbole_navigen.generation.page import media_tables, summaries
from recbole_navigen.generation.video import mp4
from recbole_navigen.presentation.tables import Table

COLOURS = ("red", "green", "blue", "white", "yellow", "purple")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> ClipEncoder:
    return ClipEncoder(small_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[MediaCase]:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    files = []
    for number in range(12):
        files.append(folder / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(files[-1])
    return [
        MediaCase(
            f"u{user}",
            f"a {colour} ball in the snow, soft light",
            files[user],
            f"a {colour} star",
            files[6 + user] if user else None,
            (f"a {colour} ring", "a box in the forest"),
            (files[6 + user],) if user > 1 else (),
        )
        for user, colour in enumerate(COLOURS)
    ]


@pytest.fixture(scope="module")
def scores(encoder: ClipEncoder, cases: list[MediaCase]) -> MediaScores:
    return score_media(encoder, cases, controls=3)


def tables_of(scores: dict[str, MediaScores], baseline: str | None = None) -> list[Table]:
    return media_tables(scores, summaries(scores), baseline)


def cosine(encoder: ClipEncoder, image: Path, text: str) -> float:
    return float(encoder.images([image]).parts[0] @ encoder.texts([text]).parts[0])


def test_every_pair_is_what_the_encoder_says(encoder: ClipEncoder, cases: list[MediaCase], scores: MediaScores) -> None:
    own = scores.per_user("CLIPScore")
    np.testing.assert_allclose(own, [cosine(encoder, case.media, case.target_text) for case in cases], atol=1e-6)
    history = np.array([[cosine(encoder, case.media, text) for text in case.history_texts] for case in cases])
    np.testing.assert_allclose(scores.per_user("CLIPPersonalisation"), history.mean(1), atol=1e-6)
    np.testing.assert_allclose(scores.per_user("CLIPPersonalisationMax"), history.max(1), atol=1e-6)
    ceiling = scores.per_user("CLIPScore", "ceiling")
    expected = [cosine(encoder, case.target_image, case.target_text) for case in cases[1:]]
    np.testing.assert_allclose(ceiling, [np.nan, *expected], atol=1e-6)
    # Whoever lacks a reference is not asked for it.
    assert np.isnan(scores.per_user("CLIPImage")).tolist() == [True] + [False] * 5
    assert scores.summary("CLIPHistoryImage").users == 4 and scores.summary("CLIPScore").users == 6


def test_controls_are_the_same_pairs_seen_from_both_sides(
    encoder: ClipEncoder, cases: list[MediaCase], scores: MediaScores
) -> None:
    rows = (scores.kind == KINDS.index("target_text")) & (scores.role == ROLES.index("other"))
    media, reference = scores.media[rows], scores.reference[rows]
    assert (media != reference).all()
    for side in (media, reference):
        assert np.bincount(side).tolist() == [3] * 6
    for one, other, found in zip(media, reference, scores.cosine[rows], strict=True):
        assert found == pytest.approx(cosine(encoder, cases[one].media, cases[other].target_text), abs=1e-6)
    summary = scores.summary("CLIPScore")
    assert summary.floor.mean == pytest.approx(summary.mismatched.mean, abs=1e-6)
    gaps = scores.per_user("CLIPScore") - scores.per_user("CLIPScore", "other", "media")
    assert summary.gap.mean == pytest.approx(gaps.mean()) and summary.gap.low < gaps.mean() < summary.gap.high


def test_users_with_the_same_target_are_no_control_for_each_other(encoder: ClipEncoder, cases: list[MediaCase]) -> None:
    same = [replace(case, target_text="a red star") for case in cases[:4]] + cases[4:]
    scores = score_media(encoder, same, controls=5)
    rows = scores.role == ROLES.index("other")
    assert not ((scores.media[rows] < 4) & (scores.reference[rows] < 4)).any() and rows.any()


def test_failures_count_as_failures(encoder: ClipEncoder, cases: list[MediaCase], scores: MediaScores) -> None:
    failed = score_media(encoder, [replace(cases[0], media=None), *cases[1:]], controls=3)
    before, after = scores.summary("CLIPScore"), failed.summary("CLIPScore")
    assert after.failed == 1 and after.users == 6
    own = scores.per_user("CLIPScore")
    worst = min(0.0, after.floor.mean)
    assert after.own.mean == pytest.approx((own[1:].sum() + worst) / 6, abs=1e-6)
    assert after.made.mean == pytest.approx(own[1:].mean(), abs=1e-6) and before.failed == 0
    # Nobody's control rests on a medium that does not exist.
    assert np.isfinite(failed.per_user("CLIPScore", "other")).all()
    nothing = score_media(encoder, [replace(case, media=None) for case in cases])
    assert nothing.summary("CLIPScore").own.mean == 0 and nothing.summary("CLIPScore").gap.mean == 0
    assert np.isnan(nothing.summary("CLIPScore").made.mean)


def test_scales_are_of_single_pairs(scores: MediaScores) -> None:
    own = scores.per_user("CLIPScore")
    np.testing.assert_allclose(scores.per_user("CLIPScore", scale="100x"), 100 * own)
    np.testing.assert_allclose(scores.per_user("CLIPScore", scale="2.5x"), 2.5 * np.maximum(own, 0))
    # Clamped pair by pair, not after the mean.
    signed = replace(scores, cosine=scores.cosine - np.float32(own.mean()))
    assert (signed.per_user("CLIPScore") < 0).any()
    assert signed.summary("CLIPScore", "2.5x").own.mean > 0.001 > abs(signed.summary("CLIPScore").own.mean)


def test_the_raw_pairs_are_kept(scores: MediaScores, tmp_path: Path) -> None:
    scores.save(tmp_path / "scores")
    again = MediaScores.load(tmp_path / "scores")
    for metric in METRICS:
        np.testing.assert_array_equal(again.per_user(metric), scores.per_user(metric))
        assert again.summary(metric) == scores.summary(metric)
    for kind in TEXTS:
        np.testing.assert_array_equal(again.truncated[kind], scores.truncated[kind])
    table = pq.read_table(tmp_path / "scores" / "pairs.parquet")
    assert set(table["kind"].to_pylist()) == set(KINDS) and set(table["role"].to_pylist()) == set(ROLES)
    assert again.settings == scores.settings and "weights" in again.settings["encoder"]


def test_texts_that_are_not_read_whole_are_counted_kind_by_kind(encoder: ClipEncoder, cases: list[MediaCase]) -> None:
    long = " ".join(["a red ball"] * 60)
    own = [replace(cases[0], target_text=long), replace(cases[1], history_texts=(long, "a box", "a ring", "a ball"))]
    own.append(replace(cases[2], history_texts=()))
    scores = score_media(encoder, own)
    assert {kind: np.nan_to_num(share).tolist() for kind, share in scores.truncated.items()} == {
        kind: [0.0] * 3 for kind in TEXTS
    }
    short = copy(encoder)
    short.long_text = "truncate"
    scores = score_media(short, own)
    np.testing.assert_array_equal(scores.truncated["instruction"], [0, 0, 0])
    np.testing.assert_array_equal(scores.truncated["target_text"], [1, 0, 0])
    np.testing.assert_array_equal(scores.truncated["history_text"], [0, 0.25, np.nan])
    notes = {table.key: " ".join(table.notes) for table in tables_of({"mine": scores})}
    assert "not read whole: mine 33.3%" in notes["CLIPScore"]
    assert "not read whole: mine 12.5%" in notes["CLIPPersonalisation"]
    assert "not read whole: mine 0.0%" in notes["CLIPInstruction"] and "not read whole" not in notes["CLIPImage"]


def test_one_user_has_a_mean_and_no_interval(encoder: ClipEncoder, cases: list[MediaCase]) -> None:
    scores = score_media(encoder, cases[1:2])
    found = scores.summary("CLIPScore")
    assert found.own.mean == pytest.approx(cosine(encoder, cases[1].media, cases[1].target_text), abs=1e-6)
    assert np.isnan([found.own.low, found.floor.mean, found.gap.mean]).all() and found.users == 1
    (row,) = tables_of({"mine": scores, "again": scores}, "mine")[0].rows[:1]
    assert [cell.text for cell in row[4:7]] == ["-"] * 3 and row[1].aside == ""
    assert scores.difference(scores, "CLIPScore").mean == 0


def test_methods_are_compared_user_by_user(encoder: ClipEncoder, cases: list[MediaCase], scores: MediaScores) -> None:
    best = score_media(encoder, [replace(case, media=case.target_image or case.media) for case in cases], controls=3)
    found = best.difference(scores, "CLIPImage")
    values = best.per_user("CLIPImage") - scores.per_user("CLIPImage")
    assert found.mean == pytest.approx(np.nanmean(values)) and found.low > 0
    assert best.per_user("CLIPImage")[1:] == pytest.approx(1, abs=1e-5)
    with pytest.raises(InputError, match="same users"):
        best.difference(score_media(encoder, cases[:3]), "CLIPImage")
    tables = tables_of({"mine": scores, "best": best}, "mine")
    assert [table.key for table in tables] == list(METRICS)
    image = tables[1]
    assert [row[0].text for row in image.rows] == ["mine", "best"] and image.rows[1][1].best
    assert image.rows[0][-1].text == "-" and image.rows[1][-1].text == f"{found.mean:.4f}"
    with pytest.raises(InputError, match="no user to score"):
        score_media(encoder, [])


def test_a_frozen_video_is_seen_to_be_frozen(encoder: ClipEncoder, cases: list[MediaCase], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8).repeat(8, 0)
    moving = np.stack([np.roll(still[0], 4 * step, axis=1) for step in range(8)])
    for name, frames in (("still", still), ("moving", moving)):
        (tmp_path / f"{name}.mp4").write_bytes(mp4(frames, 8))
    still_case, moving_case = (
        replace(case, media=tmp_path / name) for case, name in zip(cases, ("still.mp4", "moving.mp4"), strict=False)
    )
    scores = score_media(encoder, [still_case, moving_case, cases[2]], frames=4)
    assert scores.consistency[0] > 0.99 and scores.motion[0] < 0.01
    assert scores.consistency[1] < scores.consistency[0] and scores.motion[1] > 0.1
    assert np.isnan(scores.motion[2]) and "Videos over time" in {table.title for table in tables_of({"a": scores})}


def test_metrics_under_recboles_roof(scores: MediaScores, tiny: Path) -> None:
    assert tuple(METRICS) == NAMES
    chosen = ["Recall", "NDCG", "CLIPScore", "CLIPPersonalisation"]
    settings = {"data_path": str(tiny), "metrics": chosen, "topk": [5], "valid_metric": "NDCG@5"}
    config = Config("NaviGen", "tiny", config_dict=settings)
    found = media_result(config, scores)
    assert found == {
        name.lower(): pytest.approx(scores.summary(name).own.mean, abs=1e-4) for name in chosen if name in METRICS
    }
    # While there are no media, RecBole's evaluation goes on as if they were not asked for.
    from recbole.evaluator import Collector, Evaluator

    assert Evaluator({"metrics": chosen[2:], "metric_decimal_place": 4}).evaluate(Collector(config).data_struct) == {}
    with pytest.raises(InputError, match="measured on media"):
        Config("NaviGen", "tiny", config_dict={**settings, "valid_metric": "CLIPScore@5"})
