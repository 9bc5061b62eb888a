"""The zoo: tiny random instances of every family through `run_generate`, and what the table of families refuses."""

import inspect
import io
import json
import logging
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import diffusers
import numpy as np
import pytest
import small_pipelines
import small_scorers
import torch
from PIL import Image
from places import ROOT
from small_image_pipelines import stable_diffusion
from synthetic import write_atomic
from tiny_settings import NAVIGEN

from recbole_navigen.config import shipped
from recbole_navigen.encoders.frames import read_frames
from recbole_navigen.errors import InputError
from recbole_navigen.generation.arguments import arguments_of, frame_rate
from recbole_navigen.generation.diffusers_pipeline import Pipeline
from recbole_navigen.generation.image import ImageGenerator
from recbole_navigen.generation.pipelines import FAMILIES, PRESETS, preset_of
from recbole_navigen.generation.settings import generation_settings, split_generation
from recbole_navigen.generation.video import VideoGenerator
from recbole_navigen.quick_start import run_generate, run_navigen

MOST_FRAMES = 9
# The settings beside steps and size that each family does not take, or that would not act alone.
REFUSED = {
    "sana-sprint": {"negative_prompt"},
    "flux": {"negative_prompt"},
    "flux-schnell": {"negative_prompt"},
    "flux2-klein": {"negative_prompt"},
    "flux2-klein-distilled": {"negative_prompt", "image_guidance"},
    "hunyuan-video": {"negative_prompt"},
}
FPS = {"wan": 16, "ltx": 25, "cogvideox": 8, "hunyuan": 24, "animatediff": 8, "mochi": 30}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that writes instructions."""
    folder = tmp_path_factory.mktemp("run")
    settings = {
        **NAVIGEN,
        "data_path": str(write_atomic(folder / "dataset", "tiny", users=20, items=30)),
        "checkpoint_dir": str(folder / "saved"),
        "task_weights": {"cid2cid": 1.0, "cid2tid": 0.0, "tid2cid": 0.05, "cid2ins": 0.5},
        "show_progress": False,
        "use_gpu": False,
        "epochs": 1,
        "MAX_ITEM_LIST_LENGTH": 8,
        "state": "ERROR",
    }
    return Path(run_navigen("NaviGen", "tiny", config_dict=settings)["run_dir"])


@pytest.fixture
def picture(tmp_path: Path) -> str:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)).save(tmp_path / "picture.png")
    return str(tmp_path / "picture.png")


def medium(name: str) -> str:
    return "video" if name in small_pipelines.VIDEOS or name.endswith("-i2v") else "image"


def few(name: str, model: str) -> dict[str, Any]:
    """The settings of a small medium of one family."""
    media = medium(name)
    frames = {"video_frames": 7 if name == "mochi" else MOST_FRAMES} if media == "video" else {}
    side = 64 if name == "flux2-klein-edit" else 32  # the least that FLUX.2 reads of a picture
    return {f"{media}_model": model, f"{media}_size": [side, side], f"{media}_steps": 2, **frames}


def pixels(pipeline: Pipeline, texts: list[str], seeds: list[int]) -> list[np.ndarray]:
    """Pixels of each medium. Shapes (height, width, 3) or (F, height, width, 3)."""
    found = []
    for output in pipeline(texts, seeds):
        for one in output.images if hasattr(output, "images") else output.frames:
            found.append(np.asarray(one) if pipeline.media == "image" else np.stack([np.asarray(part) for part in one]))
    return [one.astype(int) for one in found]


@pytest.mark.parametrize("name", [*small_pipelines.IMAGES, *small_pipelines.VIDEOS])
def test_every_family_runs_and_each_setting_acts(name: str, run: Path, tmp_path: Path) -> None:
    media, model = medium(name), small_pipelines.build(name, tmp_path / "model")
    own = few(name, model)

    # 1. The command: four users in one batch.
    users = run_generate(run=run, n_users=4, output="out", media=media, think=False, temperature=0.0, generation=own)
    lines = [json.loads(line) for line in Path("out/metadata.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines] == ["done"] * 4, lines[0].get("reason")
    settings = generation_settings(own)
    generator = (ImageGenerator if media == "image" else VideoGenerator)(settings)
    pipeline = generator.pipeline
    if media == "video":
        assert np.array(read_frames(Path("out") / lines[0]["file"])).shape == (own["video_frames"], 32, 32, 3)
        with av.open(str(Path("out") / lines[0]["file"])) as container:
            rate = container.streams.video[0].average_rate
        assert rate == FPS[name.partition("-")[0]]

    # 2. A batch of one is that of four; seeds repeat it, and other seeds and texts change it.
    text, seed = users[1].instruction, lines[1]["seed"]
    (alone,) = pixels(pipeline, [text], [seed])
    together = pixels(pipeline, [line["instruction"] for line in lines], [line["seed"] for line in lines])[1]
    assert np.abs(alone - together).max() <= 1  # the rounding of a few values
    if media == "image":
        assert np.abs(np.asarray(Image.open(Path("out") / lines[1]["file"])).astype(int) - alone).max() <= 1
    assert (pixels(pipeline, [text], [seed])[0] == alone).all()
    for changed in (pixels(pipeline, [text], [seed + 1]), pixels(pipeline, ["a green box in snow"], [seed])):
        assert np.abs(changed[0] - alone).mean() > 0.05

    # 3. Each setting that is taken changes what comes out, and is recorded; the others are refused by their name.
    changes = {f"{media}_steps": 3, f"{media}_guidance": 9.0, "negative_prompt": "a white box"}
    if "fps" in pipeline.arguments or "frame_rate" in pipeline.arguments:
        changes["video_fps"] = 12
    refused = set()
    for key, value in changes.items():
        try:
            pipeline.arguments = arguments_of(pipeline.pipe, media, generation_settings({**own, key: value}))
        except InputError as error:
            assert key in str(error)
            refused.add(key)
            continue
        assert value in pipeline.arguments.values()
        assert np.abs(pixels(pipeline, [text], [seed])[0] - alone).mean() > 0.01, key
    assert refused == REFUSED.get(name, set())
    wide = generation_settings({**own, f"{media}_size": [32, 64]})
    pipeline.arguments = arguments_of(pipeline.pipe, media, wide)
    assert pixels(pipeline, [text], [seed])[0].shape[-3:] == (32, 64, 3)


def test_the_docs_count_the_zoo() -> None:
    page = (ROOT / "docs" / "media.md").read_text("utf-8")
    texts, pictures = [*small_pipelines.IMAGES, *small_pipelines.VIDEOS], list(small_pipelines.STARTED)
    families = {re.sub("-(schnell|distilled)$", "", name) for name in texts}
    asking = sum(medium(name) == "video" for name in pictures)
    counts = f"| {len(texts) + len(pictures)} of {len(families)} families: {len(texts)} from text, {len(pictures)} "
    assert f"{counts}from a picture |" in page
    assert f"| {sum(map(len, REFUSED.values()))} settings of {len(REFUSED)} pipelines" in page
    assert f"; {asking} image-to-video pipelines without a picture |" in page
    assert f"{len(small_scorers.SCORERS)} layouts of scorers" in page


@pytest.mark.parametrize("name", list(small_pipelines.STARTED))
def test_pictures_to_start_from_are_read_or_asked_for(name: str, run: Path, tmp_path: Path, picture: str) -> None:
    media, model = medium(name), small_pipelines.build(name, tmp_path / "model")
    own = few(name, model)
    kind = ImageGenerator if media == "image" else VideoGenerator
    if media == "video":
        with pytest.raises(InputError, match="starts from a picture; set --reference_image=FILE"):
            kind(generation_settings(own))
    own |= {"reference_image": picture, "clip_model": "unread"}
    own |= {"image_to_image": True} if media == "image" else {}
    generator = kind(generation_settings(own))
    made = generator(["a red ball", "night"], [1, 2])
    (alone,) = generator(["night"], [2])
    if media == "image":  # the rounding of a few values, as above; clips that start from a picture are made one by one
        both = (np.asarray(Image.open(io.BytesIO(content))).astype(int) for content in (made[1], alone))
        assert np.abs(np.subtract(*both)).max() <= 1
    else:
        assert made[1] == alone
    assert made[0] != made[1]
    Image.new("RGB", (32, 32), (250, 10, 10)).save(picture)
    other = kind(generation_settings(own))
    assert other(["night"], [2]) != [alone] and other.identity["start"] != generator.identity["start"]
    # Nobody set `strength`, so it is in no message; who sets it hears that this pipeline has none.
    if media == "image":
        with pytest.raises(InputError, match="Pipeline, which does not take strength; leave"):
            kind(generation_settings({**own, "strength": 0.5}))


def test_what_would_be_rounded_or_change_nothing_is_refused_by_name(tmp_path: Path) -> None:
    def refusal(name: str, **own: Any) -> str:
        if not (tmp_path / name).exists():
            small_pipelines.build(name, tmp_path / name)
        with pytest.raises(InputError) as caught:
            Pipeline(medium(name), generation_settings({**few(name, str(tmp_path / name)), **own}))
        return str(caught.value)

    assert (
        "video_frames=10 does not suit LTXPipeline" in (said := refusal("ltx", video_frames=10)) and "9 and 13" in said
    )
    assert "multiple of 8; the nearest are 9 and 17" in refusal("cogvideox", video_frames=13)
    assert "video_frames=33 is more than the 32 frames" in refusal("animatediff", video_frames=33)
    assert "multiples of 32; the nearest is 32x64" in refusal("ltx", video_size=[40, 64])
    assert "multiples of 4; the nearest is 32x32" in refusal("flux", image_size=[32, 33])
    assert "has weights that do not read negative_prompt" in refusal("flux", negative_prompt="x")
    assert "image_guidance=4 would change nothing" in refusal("flux2-klein-distilled", image_guidance=4.0)
    both = {"negative_prompt": "x", "image_guidance": 1.0}
    assert "negative_prompt would change nothing: StableDiffusionPipeline" in refusal("sd", **both)
    assert "negative_prompt would change nothing: FluxPipeline" in refusal("flux-schnell", negative_prompt="x")


def test_consistency_distilled_weights_read_guidance_as_a_number(tmp_path: Path) -> None:
    torch.manual_seed(0)
    stable_diffusion(time_cond_proj_dim=8).save_pretrained(tmp_path)
    own = {"image_model": str(tmp_path), "image_size": [32, 32], "image_steps": 2}
    assert Pipeline("image", generation_settings({**own, "image_guidance": 8.0})).arguments["guidance_scale"] == 8.0
    with pytest.raises(InputError, match="has weights that do not read negative_prompt"):
        Pipeline("image", generation_settings({**own, "image_guidance": 8.0, "negative_prompt": "x"}))


def test_a_tokenizer_of_sentencepiece_alone_is_read(tmp_path: Path) -> None:
    import sentencepiece
    from transformers import T5Tokenizer

    texts = tmp_path / "texts.txt"
    texts.write_text("a red ball on the left\nthe sea at night, a striped star\n" * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(texts),
        model_prefix=str(tmp_path / "spiece"),
        vocab_size=40,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    model = Path(small_pipelines.build("cogvideox", tmp_path / "model"))
    folder = model / "tokenizer"
    shutil.rmtree(folder)
    folder.mkdir()
    shutil.copy(tmp_path / "spiece.model", folder / "spiece.model")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer", "extra_ids": 0}))
    index = json.loads((model / "model_index.json").read_text())
    (model / "model_index.json").write_text(json.dumps({**index, "tokenizer": ["transformers", "T5Tokenizer"]}))
    pipeline = Pipeline("video", generation_settings(few("cogvideox", str(model))))
    assert isinstance(pipeline.pipe.tokenizer, T5Tokenizer)
    length, limit = pipeline.lengths("a red ball")["tokenizer"]
    assert 3 < length < 12 and limit == 226
    red, blue = (pixels(pipeline, [text], [1])[0] for text in ("a red ball", "the sea at night"))
    assert np.abs(red - blue).mean() > 0.05


def test_presets_fill_what_is_not_set_and_are_named_for_known_weights(caplog: pytest.LogCaptureFixture) -> None:
    described = {name: shipped.section("generation")[f"{name}_preset"] for name in ("image", "video")}
    for name, preset in PRESETS.items():
        assert name in described[preset.media].help + str(described[preset.media])
        settings = generation_settings({f"{preset.media}_preset": name})
        assert settings.of(preset.media, "model") == preset.model
        assert all(settings.of(preset.media, key) == value for key, value in preset.settings.items())
    own = generation_settings({"image_preset": "z-image-turbo", "image_model": "folder", "image_steps": 9})
    assert (own.image_model, own.image_steps, own.image_guidance) == ("folder", 9, 0.0)
    with caplog.at_level(logging.WARNING):
        generation_settings({"image_model": "stabilityai/sd-turbo", "image_steps": 1})
        assert not caplog.messages
        generation_settings({"image_model": "stabilityai/SD-Turbo"})
    assert "--image_preset=sd-turbo" in caplog.text
    for wrong in ({"image_preset": "wan-2.1"}, {"image_preset": "sd-turbo", "image_model": "retrieval"}):
        with pytest.raises(InputError, match="image_preset"):
            generation_settings(wrong)


def test_the_table_names_classes_that_diffusers_has() -> None:
    absent = {name for name in FAMILIES if not hasattr(diffusers, name)}
    assert not absent
    for name, family in FAMILIES.items():
        assert "prompt" in inspect.signature(getattr(diffusers, name).__call__).parameters
        assert family.picture in ("each", "shared", "needed") and family.alone in ("", "always", "negative_prompt")


def test_classes_out_of_the_table_run_by_their_signature() -> None:
    class Unknown:
        def __call__(self, prompt, num_inference_steps=5, video_length=4, fps=12.0, generator=None, output_type="pil"):
            """A video pipeline nobody knows."""

    settings = generation_settings({"video_model": "x", "video_steps": 3, "video_frames": 6})
    found = arguments_of(Unknown(), "video", settings)
    assert found == {"num_inference_steps": 3, "video_length": 6, "fps": 12} and frame_rate(Unknown(), None) == 12

    class Other(Unknown):
        def __call__(self, prompt, true_cfg_scale=4.0, negative_prompt=None):
            """Guidance by another name."""

    both = generation_settings({"video_model": "x", "video_guidance": 3.0, "negative_prompt": "x"})
    assert arguments_of(Other(), "video", both) == {"true_cfg_scale": 3.0, "negative_prompt": "x"}
    for key, value in {"video_guidance": 3.0, "negative_prompt": "x", "video_size": [8, 8]}.items():
        with pytest.raises(InputError, match=key):
            arguments_of(Unknown(), "video", replace(settings, **{key: value}))

    class Editor(Unknown):
        def __call__(self, prompt, video, mask):
            """It needs more than text."""

    with pytest.raises(InputError, match="needs video, mask beside text"):
        arguments_of(Editor(), "video", generation_settings({"video_model": "x"}))


def test_the_documented_lines_are_accepted_and_say_what_the_presets_set() -> None:
    page = (ROOT / "docs" / "media.md").read_text("utf-8")
    lines = [line for block in re.findall(r"```text\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    documented = set()
    for line in lines:
        own, others = split_generation(shlex.split(line)[2:])
        assert {other.partition("=")[0] for other in others} <= {"--n_users", "--output", "--media"}
        settings = generation_settings(own)
        media = "image" if settings.image_model else "video"
        name = preset_of(settings.of(media, "model"))
        assert settings == replace(generation_settings({f"{media}_preset": name}), **{f"{media}_preset": None})
        documented.add(name)
    assert len(documented) == 7
    for name, preset in PRESETS.items():
        assert f"| `{name}` | {preset.model}" in page
