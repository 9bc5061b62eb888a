"""The generation head: real small pipelines, resuming, failures, blocked and long instructions, retrieval, pictures."""

import hashlib
import inspect
import io
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_media import FEW_STEPS, tiny_models, tiny_world

from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.encoders.frames import read_frames
from recbole_navigen.errors import InputError
from recbole_navigen.generation.cards import user_cards
from recbole_navigen.generation.diffusers_pipeline import Pipeline
from recbole_navigen.generation.image import ImageGenerator
from recbole_navigen.generation.interfaces import Catalogue, item_images
from recbole_navigen.generation.make import (
    METADATA,
    blocked_by,
    build_encoder,
    build_generators,
    file_name,
    generate,
    score,
    user_seed,
)
from recbole_navigen.generation.records import InstructionRecord, read_records, write_records
from recbole_navigen.generation.settings import generation_settings
from recbole_navigen.generation.user_pictures import ShownTerms, picture_vectors
from recbole_navigen.generation.video import VideoGenerator

FEW = {"image_steps": 2, "video_steps": 2, "video_frames": 4, "image_size": [32, 32], "video_size": [32, 32]}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_models.build(folder, FEW_STEPS)
    return folder


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    folder = tmp_path_factory.mktemp("world")
    scenes = tiny_world.write_data(folder, users=2, items=12)
    texts = {item: tiny_world.title(scene) for item, scene in scenes.items()}
    return Catalogue(texts, item_images(folder / "tiny-world" / "images", list(texts)))


def pixels(made: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(made))).astype(int)


def requests_for(users: int, media: str = "image") -> list[InstructionRecord]:
    return [
        InstructionRecord(f"u{user}", media, f"a red ball, night {user}", f"s{user}", ("s9", "s8"))
        for user in range(users)
    ]


class Painter:
    """A generator that paints the seed and can be told whom to fail."""

    media, batch_size = "image", 2

    def __init__(self, fails: str = "", refuses: str = ""):
        self.identity: dict[str, Any] = {"model": "painter", "revision": None, "arguments": {}}
        self.fails, self.refuses = fails, refuses
        self.calls: list[list[str]] = []

    def lengths(self, instruction: str) -> dict[str, tuple[int, int]]:
        return {"tokenizer": (len(instruction.split()), 6)}

    def __call__(self, instructions: list[str], seeds: list[int]) -> list[bytes | None]:
        self.calls.append(list(instructions))
        if self.fails and any(self.fails in text for text in instructions):
            raise RuntimeError("out of\nmemory")
        return [
            None if self.refuses and self.refuses in text else f"{text} {seed}".encode()
            for text, seed in zip(instructions, seeds, strict=True)
        ]


def test_real_pipelines_make_real_files_and_scores(models: Path, catalogue: Catalogue, tmp_path: Path) -> None:
    given = {name: str(models / name.partition("_")[0]) for name in ("image_model", "video_model", "clip_model")}
    settings = generation_settings({**given, **FEW, "image_guidance": 2.0, "negative_prompt": "a white box"})
    requests = [*requests_for(3), *requests_for(2, "video")]
    encoder = build_encoder(settings, tmp_path / "cache")
    generators = build_generators({request.media for request in requests}, settings, catalogue, encoder)
    made = generate(requests, generators, tmp_path / "media", settings)
    assert made.counts == {"done": 5, "failed": 0, "blocked": 0, "kept": 0, "cut": 0, "unmeasured": 0}
    with Image.open(tmp_path / "media" / "images" / "u0.png") as image:
        assert image.size == (32, 32) and image.mode == "RGB"
    assert np.array(read_frames(tmp_path / "media" / "videos" / "u1.mp4")).shape == (4, 32, 32, 3)
    lines = [json.loads(line) for line in (tmp_path / "media" / METADATA).read_text().splitlines()]
    assert lines == list(made.records)
    assert (
        lines[0]["instruction"] == requests[0].instruction and lines[0]["model"] == "image" and lines[0]["seconds"] >= 0
    )
    assert lines[0]["seed"] == lines[3]["seed"] != lines[1]["seed"]
    assert lines[0]["arguments"]["guidance_scale"] == 2.0 and str(models) not in json.dumps(lines)
    for place, pipeline in ((0, "StableDiffusionPipeline"), (3, "AnimateDiffPipeline")):
        told = {name: lines[place][name] for name in ("pipeline", "dtype", "safety_checker", "revision")}
        assert list(told.values()) == [pipeline, "float32", "none in the pipeline", None]
        assert lines[place]["weights"] == generators[lines[place]["media"]].identity["weights"]
    for media, users in (("image", 3), ("video", 2)):
        scores = score(made, catalogue, encoder, settings, media)
        assert scores.user.tolist() == [f"u{user}" for user in range(users)]
        for metric in ("CLIPScore", "CLIPImage", "CLIPHistoryImage"):
            assert np.isfinite(scores.per_user(metric)).all()
        assert np.isfinite(scores.motion).all() == (media == "video")


def test_a_users_noise_depends_on_the_user_alone(models: Path) -> None:
    settings = generation_settings({"image_model": str(models / "image"), **FEW})
    generator = ImageGenerator(settings)
    texts, seeds = ["a red ball", "a blue star", "night"], [3, 4, 5]
    together = [pixels(made) for made in generator(texts, seeds)]
    # The size of a batch may turn the rounding of a few values by one; another seed changes many.
    for text, seed, found in zip(texts, seeds, together, strict=True):
        change = np.abs(pixels(generator([text], [seed])[0]) - found)
        assert change.max() <= 1 and change.mean() < 0.01
    assert np.abs(pixels(generator(["a red ball"], [4])[0]) - together[0]).mean() > 0.1
    # Ids of the same characters have different seeds, and methods share them.
    assert len({user_seed(seed, user) for user in ("ab", "ba", "a") for seed in (0, 1)}) == 6


def test_only_safetensors_and_fitting_arguments_are_taken(models: Path, tmp_path: Path) -> None:
    def refused(message: str, **given: Any) -> None:
        with pytest.raises(InputError, match=message):
            (VideoGenerator if "video_model" in given else ImageGenerator)(generation_settings({**FEW, **given}))

    refused("cannot be loaded as a diffusers pipeline", image_model=str(tmp_path))
    refused("does not take video_frames", video_model=str(models / "image"))
    refused("cannot be loaded", image_model=str(models / "clip"))
    pickled = tmp_path / "pickled"
    shutil.copytree(models / "image", pickled)
    weights = pickled / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    refused("cannot be loaded", image_model=str(pickled))


def test_the_safety_checker_stays_unless_turned_off(models: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessorPil

    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(vision_config={**tower, "image_size": 32, "patch_size": 16}, text_config=tower, projection_dim=8)
    )
    with torch.no_grad():
        checker.concept_embeds_weights.fill_(-2.0)  # everything is above these thresholds
    side = {"height": 32, "width": 32}
    pipe = StableDiffusionPipeline.from_pretrained(
        models / "image",
        safety_checker=checker,
        feature_extractor=CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=side),
    )
    pipe.save_pretrained(tmp_path / "checked")
    (request,) = requests_for(1)
    for keep, status in ((True, "blocked"), (False, "done")):
        settings = generation_settings({"image_model": str(tmp_path / "checked"), **FEW, "safety_checker": keep})
        generators = {"image": ImageGenerator(settings)}
        made = generate([request], generators, tmp_path / f"media-{keep}", settings)
        assert made.records[0]["status"] == status and made.counts[status] == 1
        assert generators["image"].identity["safety_checker"] == ("on" if keep else "off, as set")
        assert (made.file(0) is None) == keep
        # What was refused once is not made again.
        assert generate([request], generators, tmp_path / f"media-{keep}", settings).counts["kept"] == 1


def test_a_killed_run_goes_on_and_nothing_is_made_twice(tmp_path: Path) -> None:
    settings, requests = generation_settings(), requests_for(5)

    class Killed(Painter):
        def __call__(self, instructions, seeds):
            if len(self.calls) == 1:
                raise KeyboardInterrupt
            return super().__call__(instructions, seeds)

    with pytest.raises(KeyboardInterrupt):
        generate(requests, {"image": Killed()}, tmp_path, settings)
    with (tmp_path / METADATA).open("a") as log:
        log.write('{"user": "u2", "med')  # the kill came while a line was written
    painter = Painter()
    made = generate(requests, {"image": painter}, tmp_path, settings)
    assert made.counts["kept"] == 2 and made.counts["done"] == 5 and sum(map(len, painter.calls)) == 3
    assert [record["user"] for record in made.records] == [request.user for request in requests]
    # Another instruction, a changed file and another generator are made again; the rest stays.
    (tmp_path / "images" / "u3.png").write_bytes(b"damaged")
    changed = [replace(requests[0], instruction="a green star"), *requests[1:]]
    painter.calls.clear()
    assert generate(changed, {"image": painter}, tmp_path, settings).counts["kept"] == 3
    assert sorted(text for call in painter.calls for text in call) == ["a green star", requests[3].instruction]
    painter.identity["revision"] = "other"
    assert generate(changed[:2], {"image": painter}, tmp_path, settings).counts["kept"] == 0
    assert len((tmp_path / METADATA).read_text().splitlines()) == 5


def test_a_failure_costs_one_user_and_is_counted(tmp_path: Path, catalogue: Catalogue) -> None:
    settings, requests = generation_settings(), requests_for(4)
    made = generate(requests, {"image": Painter(fails="night 1")}, tmp_path, settings)
    assert made.counts["failed"] == 1 and made.counts["done"] == 3
    assert made.records[1]["reason"] == "RuntimeError: out of memory" and made.file(1) is None
    again = generate(requests, {"image": Painter()}, tmp_path, settings)
    assert again.counts == {"done": 4, "failed": 0, "blocked": 0, "kept": 3, "cut": 0, "unmeasured": 0}
    # The picture of an earlier instruction does not stand for one that fails.
    assert again.file(1).is_file()
    changed = [replace(request, instruction="no memory") for request in requests]
    assert generate(changed[1:2], {"image": Painter(fails="no")}, tmp_path, settings).counts["failed"] == 1
    assert not again.file(1).exists() and again.file(0).is_file()


def test_a_block_holds_as_long_as_what_blocks(tmp_path: Path) -> None:
    """Of the list it is decided anew each time; the checker would refuse the same picture again."""
    requests = [
        InstructionRecord(f"u{place}", "image", text, "s0") for place, text in enumerate(("a ghost", "a ball", "no"))
    ]
    painter = Painter(refuses="no")

    def call(*words: str) -> list[str]:
        painter.calls.clear()
        settings = generation_settings({"block_list": list(words)})
        made = generate(requests, {"image": painter}, tmp_path, settings)
        files = [(tmp_path / file_name(request.user, "image")).exists() for request in requests]
        assert files == [record["status"] == "done" for record in made.records]
        return [record.get("blocked_by", record["status"]) for record in made.records]

    assert call("ghost") == ["block_list", "done", "checker"]
    assert call() == ["done", "done", "checker"] and painter.calls == [["a ghost"]]
    assert call("ball") == ["done", "block_list", "checker"] and not painter.calls


def test_characters_that_end_lines_in_unicode_end_no_record(tmp_path: Path) -> None:
    request = InstructionRecord("u\x85", "image", "a ball\u2028at night\u2029", "s0", reasoning="so\x0bit is")
    file = tmp_path / "instructions.jsonl"
    write_records(file, [request])
    file.write_text("\n\n" + file.read_text("utf-8") + "\r\n", "utf-8")
    assert read_records(file) == [request]
    for kept in (0, 1):
        made = generate([request], {"image": Painter()}, tmp_path, generation_settings())
        assert made.counts["kept"] == kept and made.records[0]["instruction"] == request.instruction


def test_blocked_and_long_instructions_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = tmp_path / "words.txt"
    words.write_text("Gore\n\nblood bath\n")
    settings = generation_settings({"block_list": str(words)})
    texts = ["a GORE scene", "Al Gore's ball", "a gorey ball", "a blood bath", "a ball of one two three four", "no"]
    requests = [InstructionRecord(f"u{place}", "image", text, "s0") for place, text in enumerate(texts)]
    with caplog.at_level(logging.WARNING):
        made = generate(requests, {"image": Painter(refuses="no")}, tmp_path / "media", settings)
    assert [record["status"] for record in made.records] == ["blocked"] * 2 + ["done", "blocked", "done", "blocked"]
    assert "'blood bath' of the block list" in made.records[3]["reason"]
    assert "safety checker" in made.records[5]["reason"]
    assert [record["cut"] for record in made.records] == [False] * 4 + [True, False]
    assert made.records[4]["tokens"] == {"tokenizer": [7, 6]} and "1 of 6 instructions are longer" in caplog.text
    assert blocked_by("Nudes", ["nude"]) is None and blocked_by("a nude.", ["nude"]) == "nude"


def test_instructions_are_measured_with_the_pipelines_own_tokenizer(models: Path) -> None:
    generator = ImageGenerator(generation_settings({"image_model": str(models / "image"), **FEW}))
    text = ", ".join(["red"] * 60)
    expected = len(generator.pipeline.pipe.tokenizer(text)["input_ids"])
    assert generator.lengths(text) == {"tokenizer": (expected, 77)} and expected > 100


def test_what_other_pipelines_read_is_known(models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import diffusers
    from transformers import CLIPTokenizer

    def lengths(kind: str, limit: int, part: str = "tokenizer") -> dict[str, tuple[int, int]]:
        assert hasattr(diffusers, kind)
        tokenizer = CLIPTokenizer.from_pretrained(models / "clip", model_max_length=limit)
        pipeline = Pipeline.__new__(Pipeline)
        pipeline.pipe = type(kind, (), {"components": {part: tokenizer, "tokenizer_2": None, "unet": object()}})()
        pipeline._accepted = inspect.signature(getattr(diffusers, kind).__call__).parameters
        return {name: read for name, (_, read) in pipeline.lengths("a red ball").items()}

    assert lengths("KandinskyV22CombinedPipeline", 77, "prior_tokenizer") == {"prior_tokenizer": 77}
    assert lengths("Kandinsky3Pipeline", 10**30) == {"tokenizer": 128}
    assert lengths("LattePipeline", 10**30) == {"tokenizer": 120}
    assert lengths("KandinskyCombinedPipeline", 512) == {"tokenizer": 77}
    assert lengths("PixArtSigmaPipeline", 10**30) == {"tokenizer": 300}
    # No limit is known: that is said, rather than that all is well.
    assert lengths("StableUnCLIPPipeline", 10**30) == {}
    painter = Painter()
    painter.lengths = lambda instruction: {}
    with caplog.at_level(logging.WARNING):
        made = generate(requests_for(2), {"image": painter}, tmp_path, generation_settings())
    assert made.counts["unmeasured"] == 2 and all(record["unmeasured"] for record in made.records)
    assert "2 of 2 instructions: no tokenizer tells how much is read" in caplog.text


def test_retrieval_needs_no_generator(models: Path, catalogue: Catalogue, tmp_path: Path) -> None:
    given = {"image_model": "retrieval", "video_model": "retrieval", "clip_model": str(models / "clip")}
    settings = generation_settings(given)
    encoder = build_encoder(settings)
    requests = [InstructionRecord("u0", "image", "star", "s0"), InstructionRecord("u0", "video", "star", "s0")]
    made = generate(
        requests,
        build_generators({request.media for request in requests}, settings, catalogue, encoder),
        tmp_path,
        settings,
    )
    items = list(catalogue.images)
    nearest = (encoder.images(list(catalogue.images.values())).means @ encoder.texts(["star"]).means[0]).argmax()
    with Image.open(made.file(0)) as found, Image.open(catalogue.images[items[nearest]]) as meant:
        assert (np.asarray(found) == np.asarray(meant)).all()
    assert len(read_frames(made.file(1))) == settings.clip_frames
    assert [record["item"] for record in made.records] == [items[nearest]] * 2
    cards = user_cards(made.instructions, catalogue, made)
    assert cards[0].media.words == f"nearest in the catalogue: {catalogue.texts[items[nearest]]}"
    with pytest.raises(InputError, match="needs pictures of the items"):
        build_generators({request.media for request in requests}, settings, Catalogue(catalogue.texts), encoder)


def test_a_picture_becomes_terms_and_a_start(models: Path, catalogue: Catalogue, tmp_path: Path) -> None:
    encoder = ClipEncoder(str(models / "clip"))
    picture = str(catalogue.images["s0"])
    terms = ["ball", "star", "night", "red"]
    images = list(catalogue.images.values())
    found = ShownTerms(encoder, terms, images)(picture_vectors(encoder, [Path(picture)]), np.ones(1), 2)
    usual = encoder.images(images).means.mean(0)
    own = encoder.images([picture]).means[0]
    scores = encoder.texts([f"a picture of {term}" for term in terms]).means @ (own - usual)
    assert [term for term, _ in found] == [terms[place] for place in np.argsort(-scores)[:2]]
    assert [value for _, value in found] == pytest.approx(sorted(scores, reverse=True)[:2], abs=1e-5)
    given = {"image_model": str(models / "image"), "reference_image": picture, "clip_model": "x", "image_steps": 4}
    made = [
        ImageGenerator(generation_settings({**given, "image_to_image": True, "strength": strength}))(["a ball"], [0])[0]
        for strength in (0.25, 1.0)
    ]
    assert hashlib.sha256(made[0]).digest() != hashlib.sha256(made[1]).digest()
    # The size is that of the picture it starts from, also where the pipeline knows no other.
    sizes = ([32, 64], [32, 32])
    wide, square = (
        ImageGenerator(generation_settings({**given, "image_to_image": True, "image_size": size})) for size in sizes
    )
    assert Image.open(io.BytesIO(wide(["a ball"], [0])[0])).size == (64, 32)
    assert "height" not in wide.identity["arguments"] and wide.identity["start"] != square.identity["start"]


RETRIEVED = {"image_model": "retrieval", "clip_model": "x"}
TO_IMAGE = {"image_to_image": True, "reference_image": "a.png", "clip_model": "x"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_modle": "x"}, "nearest valid name is `image_model`"),
        ({"generation_batch_size": 0}, "must be a whole number of at least 1, not 0"),
        ({"image_size": 512}, "image_size must be a list of two, each a whole number of at least 1"),
        ({"strength": 0.0}, "strength must be a number above 0 and at most 1"),
        ({"strength": 0.5}, "strength is that of image-to-image"),
        ({"image_to_image": True}, "set --reference_image=FILE"),
        ({**TO_IMAGE, "video_model": "x"}, "set --image_model=FOLDER_OR_HUB_ID"),
        ({**TO_IMAGE, "image_model": "retrieval"}, "set --image_model=FOLDER_OR_HUB_ID"),
        (
            {**RETRIEVED, "image_steps": 4, "image_guidance": 2.0},
            "no use for image_steps, image_guidance; leave",
        ),
        ({**RETRIEVED, "negative_prompt": "a box"}, "no use for negative_prompt"),
        ({**RETRIEVED, "video_model": "retrieval", "video_size": [8, 8]}, "no use for video_size"),
        ({"image_model": "retrieval"}, "set --clip_model=FOLDER"),
        ({"generation_dtype": "fp16"}, "must be one of auto, float32, float16, bfloat16, not 'fp16'"),
        ({"block_list": "none.txt"}, "cannot be read as a text file"),
    ],
)
def test_bad_settings_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        generation_settings(given)


def test_settings_that_one_of_two_models_reads_are_taken() -> None:
    generation_settings({**RETRIEVED, "video_model": "x", "negative_prompt": "a box", "video_steps": 4})
    generation_settings({**RETRIEVED, "video_model": "retrieval", "video_frames": 4, "image_steps": None})


def test_names_of_files(tmp_path: Path) -> None:
    names = [file_name(user, "image") for user in ("u1", "a/b", "..", "x" * 300, "x" * 301, "Ä ö")]
    assert names[0] == "images/u1.png" and len(set(names)) == len(names)
    assert all(name.count("/") == 1 and len(name) < 150 and ".." not in name for name in names)
    with pytest.raises(InputError, match="two instructions"):
        generate([*requests_for(1), *requests_for(1)], {"image": Painter()}, tmp_path, generation_settings())
    with pytest.raises(InputError, match="no video_model"):
        build_generators(["video"], generation_settings(), catalogue, None)
    with pytest.raises(InputError, match="is not a folder"):
        item_images(tmp_path / "none", [])
