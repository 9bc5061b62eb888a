"""The encoder: transformers' own numbers, long texts, frames, batches and the store; each known bug would be seen."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_media import small_clip, small_siglip

from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.encoders.encoded import Encoded, cosines
from recbole_navigen.encoders.frames import frame_places, read_frames
from recbole_navigen.encoders.vector_store import VectorStore
from recbole_navigen.errors import InputError
from recbole_navigen.generation.video import mp4

LONG = ", ".join(f"a red striped ball number {number} on the left of the night" for number in range(30))
OTHER = ", ".join(f"a white glowing cross number {number} in the snow, rising" for number in range(30))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return small_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def encoder(clip: str) -> ClipEncoder:
    return ClipEncoder(clip)


def pictures(count: int, seed: int = 0) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    sides = rng.integers(20, 90, size=(count, 2))
    return [Image.fromarray(rng.integers(0, 256, (*side, 3), dtype=np.uint8)) for side in sides]


def rows(left: Encoded, right: Encoded) -> tuple[np.ndarray, np.ndarray]:
    every = np.arange(len(left.counts))
    return cosines(left, right, every, every)


@pytest.mark.parametrize("make", [small_clip, small_siglip])
def test_vectors_are_those_of_transformers(make, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoProcessor, AutoTokenizer

    path = make(tmp_path)
    texts, images = ["a red ball", "night, star, glowing"], pictures(3)
    model = AutoModel.from_pretrained(path).eval()
    padding = "max_length" if make is small_siglip else True
    tokens = AutoTokenizer.from_pretrained(path)(texts, padding=padding, max_length=24, return_tensors="pt")
    if make is small_siglip:
        tokens = {"input_ids": tokens["input_ids"]}
    processor = AutoProcessor.from_pretrained(path)
    processor = getattr(processor, "image_processor", processor)
    with torch.inference_mode():
        of_texts = model.get_text_features(**tokens).pooler_output
        of_images = model.get_image_features(**processor(images, return_tensors="pt")).pooler_output
    encoder = ClipEncoder(path)
    for found, meant in ((encoder.texts(texts), of_texts), (encoder.images(images), of_images)):
        np.testing.assert_allclose(found.parts, torch.nn.functional.normalize(meant, dim=1).numpy(), atol=1e-6)
        assert found.parts.dtype == np.float32


def test_preprocessing_is_read_from_either_layout(clip: str, encoder: ClipEncoder, tmp_path: Path) -> None:
    """Older models hold preprocessor_config.json; a whole processor saved by transformers 5, processor_config.json."""
    from transformers import CLIPProcessor

    newer = tmp_path / "newer"
    shutil.copytree(clip, newer)
    (newer / "preprocessor_config.json").unlink()
    CLIPProcessor(encoder.processor, encoder.tokenizer).save_pretrained(newer)
    assert (newer / "processor_config.json").is_file() and not (newer / "preprocessor_config.json").exists()
    found = ClipEncoder(str(newer))
    np.testing.assert_array_equal(found.images(pictures(2)).parts, encoder.images(pictures(2)).parts)
    assert found.identity["preprocessing"] == encoder.identity["preprocessing"]


@pytest.mark.parametrize("long_text", ["chunk", "truncate"])
def test_long_texts_differ_because_the_end_token_is_kept(clip: str, encoder: ClipEncoder, long_text: str) -> None:
    # The bug: cut after tokenizing, the end token is lost, the start token is pooled, and all long texts are one.
    tokens = encoder.tokenizer([LONG, OTHER], return_tensors="pt", padding=True)["input_ids"][:, : encoder.limit]
    with torch.inference_mode():
        wrong = torch.nn.functional.normalize(encoder.model.get_text_features(tokens).pooler_output, dim=1)
    assert (wrong[0] @ wrong[1]).item() == pytest.approx(1, abs=1e-5)
    found = ClipEncoder(clip, long_text=long_text).texts([LONG, OTHER, "a red ball"])
    assert found.means[0] @ found.means[1] < 0.98 * np.prod(np.linalg.norm(found.means[:2], axis=1))
    assert found.truncated.tolist() == ([False] * 3 if long_text == "chunk" else [True, True, False])
    assert (found.counts[:2] > 1).all() == (long_text == "chunk") and found.counts[2] == 1


def test_chunks_hold_all_words_in_order_and_fit(encoder: ClipEncoder) -> None:
    chunks, cut = encoder._chunks(LONG, encoder._length(LONG))
    assert not cut and " ".join(chunks) == LONG
    assert all(len(encoder.tokenizer(chunk)["input_ids"]) <= encoder.limit for chunk in chunks)
    assert all(chunk.endswith((",", "night")) for chunk in chunks)  # cut where a part of a sentence ends


@pytest.mark.parametrize("text", ["redball," * 40, f"a ball {'x' * 500} at night", "星の夜" * 60])
def test_a_word_longer_than_the_model_reads_is_read_in_pieces(clip: str, encoder: ClipEncoder, text: str) -> None:
    assert encoder._length(text) > 2 * encoder.limit
    chunks, cut = encoder._chunks(text, encoder._length(text))
    assert not cut and "".join(chunks).replace(" ", "") == text.replace(" ", "")
    lengths = [encoder._length(chunk) for chunk in chunks]
    # Each holds as much as it can, so that no chunk is a crumb but the last of a word.
    assert max(lengths) <= encoder.limit and len(chunks) <= encoder._length(text) // (encoder.limit - 2) + 3
    assert encoder.lengths(text)["tokenizer"] == (sum(lengths), sum(lengths))
    assert not encoder.texts([text]).truncated.any()
    short = ClipEncoder(clip, long_text="truncate")
    assert short.lengths(text)["tokenizer"] == (encoder._length(text), encoder.limit)
    assert short.texts([text]).truncated.all()


def test_a_long_text_scores_the_mean_of_its_chunks(encoder: ClipEncoder) -> None:
    image = encoder.images(pictures(1))
    mean, least = rows(image, encoder.texts([LONG]))
    each = encoder.texts(encoder._chunks(LONG, encoder._length(LONG))[0]).parts @ image.parts[0]
    assert mean[0] == pytest.approx(each.mean(), abs=1e-6) and least[0] == pytest.approx(each.min(), abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_the_size_of_a_batch_changes_nothing(clip: str, encoder: ClipEncoder, batch_size: int) -> None:
    texts = ["star", LONG, "a blue ring in the forest", "night", OTHER, "sea, pulsing, box, left, glowing, yellow"]
    small = ClipEncoder(clip, batch_size=batch_size)
    np.testing.assert_allclose(small.texts(texts).parts, encoder.texts(texts).parts, atol=1e-6)
    np.testing.assert_allclose(small.images(pictures(6)).parts, encoder.images(pictures(6)).parts, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 6), st.integers(1, 3))
def test_the_cosine_of_a_clip_is_the_mean_over_frames(seed: int, frames: int, chunks: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(count, 8)).astype(np.float32) for count in (frames, chunks)]
    parts = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    clip, text = (Encoded(part, np.array([0, len(part)]), np.zeros(1, bool)) for part in parts)
    mean, least = rows(clip, text)
    every = parts[0] @ parts[1].T
    assert mean[0] == pytest.approx(every.mean(), abs=1e-6) and least[0] == pytest.approx(every.min(), abs=1e-6)
    # The bug: a mean vector scaled back to length one is never nearer to zero, so that jitter is rewarded.
    length = np.linalg.norm(clip.means[0])
    scaled = clip.means[0] / length @ text.means[0]
    assert length < 1 and mean[0] == pytest.approx(length * scaled, abs=1e-6)


def test_videos_are_their_sampled_frames(encoder: ClipEncoder, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 1, 1, 3), dtype=np.uint8).repeat(32, 1).repeat(32, 2)
    file, picture = tmp_path / "clip.mp4", tmp_path / "picture.png"
    file.write_bytes(mp4(frames, 8))
    Image.fromarray(frames[0]).save(picture)
    decoded = read_frames(file)
    assert len(decoded) == 5 and np.abs(np.array(decoded) - frames.astype(int)).mean() < 12
    found = encoder.media([file, None, picture], frames=3)
    assert found.counts.tolist() == [3, 0, 1] and np.isnan(found.means[1]).all()
    np.testing.assert_allclose(found.of(0), encoder.images([decoded[place] for place in (0, 2, 4)]).parts, atol=1e-6)
    mean, _ = cosines(found, encoder.texts(["a ball"]), np.arange(3), np.zeros(3, int))
    assert np.isfinite(mean).tolist() == [True, False, True]


@given(st.integers(1, 400), st.integers(1, 40))
def test_frames_are_spread_evenly(total: int, count: int) -> None:
    places = frame_places(total, count)
    assert len(places) == min(total, count) and places[0] >= 0 and places[-1] < total
    gaps = np.diff(places)
    assert (gaps >= 1).all() and (not len(gaps) or gaps.max() - gaps.min() <= 1)


def test_nothing_is_encoded_twice(clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    texts, images = ["a red ball", LONG], pictures(3)
    first = ClipEncoder(clip, cache=tmp_path)
    vectors = first.texts(texts), first.images(images)
    again = ClipEncoder(clip, cache=tmp_path, batch_size=2)
    for name in ("_text_features", "_image_features"):
        monkeypatch.setattr(again.model, f"get{name}", None)
    for found, meant in zip((again.texts(texts), again.images(images)), vectors, strict=True):
        np.testing.assert_array_equal(found.parts, meant.parts)
    # Another policy is another folder; a damaged file is noticed and computed again.
    padded = ClipEncoder(clip, cache=tmp_path, framing="pad")
    assert np.abs(padded.images(images).parts - vectors[1].parts).max() > 1e-3
    for file in tmp_path.rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:40])
    with caplog.at_level(logging.WARNING):
        repaired = ClipEncoder(clip, cache=tmp_path)
    assert "is damaged" in caplog.text
    np.testing.assert_allclose(repaired.texts(texts).parts, vectors[0].parts, atol=1e-6)
    assert len(VectorStore(repaired._store.folder)) >= len(vectors[0].parts)


def test_equal_content_has_one_vector(encoder: ClipEncoder, tmp_path: Path) -> None:
    (image,) = pictures(1)
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.png")
    found = encoder.images([tmp_path / "a.png", None, tmp_path / "b.png", image])
    np.testing.assert_allclose(found.of(0), found.of(2), atol=0)
    np.testing.assert_allclose(found.of(0), found.of(3), atol=1e-6)


def test_bad_input_is_refused(clip: str, encoder: ClipEncoder, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"broken\.png cannot be read as an image"):
        encoder.images([broken])
    with pytest.raises(InputError, match="cannot be read: No such file"):
        encoder.images([tmp_path / "none.png"])
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match=r"broken\.mp4 cannot be read as a video"):
        encoder.media([tmp_path / "broken.mp4"])
    with pytest.raises(InputError, match="no CLIP-like model can be loaded"):
        ClipEncoder(str(tmp_path))
    with pytest.raises(InputError, match="long_text='cut' is unknown"):
        ClipEncoder(clip, long_text="cut")
