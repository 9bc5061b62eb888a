"""The benchmark of generation, on small models."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_media import FEW_STEPS, Painter, small_clip, tiny_models, tiny_world
from tiny_settings import NAVIGEN

from recbole_navigen.generation.image import png
from recbole_navigen.generation.make import generate
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.generation.settings import generation_settings
from recbole_navigen.generation.video import mp4


def test_the_benchmark_on_small_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import card
    import generation
    from harness import common
    from worlds import tiny_navigen

    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(tiny_models, "Sizes", lambda: FEW_STEPS)
    write = tiny_world.write_data
    monkeypatch.setattr(tiny_world, "write_data", lambda folder: write(folder, users=40, held_out=6, items=60))
    few = {"epochs": 1, "MAX_ITEM_LIST_LENGTH": 8, "train_batch_size": 16, "writer_steps": 3}
    few |= {"show_progress": False, "use_gpu": False, "state": "ERROR"}
    monkeypatch.setattr(tiny_navigen, "SETTINGS", {**NAVIGEN, **tiny_navigen.SETTINGS, **few})
    world = tmp_path / "world"
    given = ["--users=6", "--video_users=2", "--steps=2"]
    monkeypatch.setattr(sys, "argv", ["generation.py", f"--data_path={world}", *given])
    generation.main()
    result = json.loads((tmp_path / "results" / "generation.json").read_text())
    methods = {"NaviGen", "ground truth", "history terms", "last item", "popular item", "random user", "retrieval"}
    for media, users in (("image", 6), ("video", 2)):
        rows = {name: result["table"][f"{media}: {name}"] for name in methods}
        for row in rows.values():
            assert {"gap to the target", "gap to the history", "attribute accuracy", "failed"} <= set(row)
        assert set(result["table"][f"{media}: NaviGen / ground truth"]) == {"gap to the target", "gap to the history"}
        assert result[f"{media} users"] == users
    goals = {bar["name"]: bar["goal"] for bar in result["bars"]}
    assert goals["image: NaviGen - last item, CLIPScore, low end"] == "above 0"
    # Every bar can fail; what is compared and not to be beaten stands in the table alone.
    assert not any("retrieval" in name for name in goals) and "reported" not in goals.values()
    assert {"image: NaviGen - retrieval", "video: ground truth - retrieval"} <= set(result["table"])
    assert any(name.startswith("video: gap to the target of NaviGen, share") for name in goals)
    assert str(tmp_path) not in json.dumps(result) and result["throughput"]["pairs"] > 6 * 9

    # Whom it writes for is in no training; what they ask for is theirs, and another user gets another's.
    held_out = generation.sequences(world / "tiny-world" / "held-out.inter")
    assert len(held_out) == 6 and not set(held_out) & set(generation.sequences(world / "tiny-world/tiny-world.inter"))
    lines = (world / "instructions" / "image" / "instructions.jsonl").read_text().splitlines()
    asked = {row["user"]: row["instruction"] for row in map(json.loads, lines)}
    made = {name: (world / "media" / name / "metadata.jsonl").read_text() for name in ("NaviGen", "random-user")}
    prompts = {
        name: {row["user"]: row["instruction"] for row in map(json.loads, text.splitlines()) if row["media"] == "image"}
        for name, text in made.items()
    }
    assert prompts["NaviGen"] == asked and sorted(prompts["random-user"].values()) == sorted(asked.values())
    page = (world / "report.html").read_text()
    assert page.count('<article class="card">') == 8 and "ground truth, image" in page and "Dual identifiers" in page
    monkeypatch.setattr(card, "PICTURE", tmp_path / "card.png")
    card.main([str(world)])
    assert Image.open(tmp_path / "card.png").width > 1000

    # A second call trains nothing and makes nothing.
    before = {file: file.stat().st_mtime_ns for file in world.rglob("*.safetensors")}
    monkeypatch.setattr("recbole_navigen.quick_start.run.run_navigen", None)
    monkeypatch.setattr(tiny_navigen.Recommender, "instruct", None)
    monkeypatch.setattr("recbole_navigen.pipeline.write.train_writer", None)
    monkeypatch.setattr("recbole_navigen.generation.diffusers_pipeline.Pipeline.__call__", None)
    generation.main()
    assert {file: file.stat().st_mtime_ns for file in world.rglob("*.safetensors")} == before
    assert json.loads((tmp_path / "results" / "generation.json").read_text())["table"] == result["table"]


@pytest.mark.parametrize("media", ["image", "video"])
def test_a_failure_is_read_as_wholly_wrong(media: str, tmp_path: Path) -> None:
    import generation

    scenes = tiny_world.all_scenes()[[5, 700, 9000]]
    clips = tiny_world.draw_clips(scenes)
    files = [png(Image.fromarray(one)) for one in tiny_world.draw(scenes)]
    files = files if media == "image" else [mp4(clip, 8) for clip in clips]
    requests = [InstructionRecord(f"u{place}", media, "nude" if place == 1 else "a ball", "s0") for place in range(3)]
    painter = type("Drawer", (Painter,), {"__call__": lambda *_: files[::2]})(media)
    made = generate(requests, {media: painter}, tmp_path, generation_settings())
    assert made.counts["blocked"] == 1
    found = generation.read_media(made)
    assert tiny_world.accuracy(found, scenes).tolist() == [1, 0, 1]
    assert (found[1] == -1).all() and ((found == scenes)[[0, 2]].all() or media == "image")
    nothing = generate(requests[1:2], {media: painter}, tmp_path, generation_settings())
    assert (generation.read_media(nothing) == -1).all()


def test_motion_modules_begin_with_the_number_of_their_frame() -> None:
    torch.manual_seed(0)
    unet = tiny_models._video_unet(tiny_models._image_unet(FEW_STEPS), FEW_STEPS)
    blocks = [part for name, part in unet.named_modules() if "motion" in name and name.endswith("transformer_blocks.0")]
    still = torch.randn(20, 1, FEW_STEPS.channels).expand(-1, tiny_world.FRAMES, -1)

    def change_over_frames() -> torch.Tensor:
        with torch.no_grad():
            added = torch.stack([block(still) - still for block in blocks])
        return (added - added.mean(2, keepdim=True)).norm() / added.norm()

    begun = change_over_frames()
    for block in blocks:
        block.attn1.to_q.reset_parameters()
        block.attn1.to_k.reset_parameters()
    assert begun > 5 * change_over_frames()


def test_what_models_learn_from_is_in_their_name(monkeypatch: pytest.MonkeyPatch) -> None:
    first = tiny_models.shown()
    assert tiny_models.shown() == first
    for module, name, value in (
        (tiny_models, "JITTER", (0.1, 0.1, 0.1)),
        (tiny_world, "HELD_OUT", 0.3),
        (tiny_world, "_FILLERS", ("loud light",)),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, value)
            assert tiny_models.shown() != first, name


def test_the_benchmark_on_posters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import generation
    from harness import common

    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(tiny_models, "build", lambda folder, parts: small_clip(folder / parts[0]))
    media = tmp_path / "films"
    (media / "posters").mkdir(parents=True)
    columns = "item_id:token\tmovie_title:token_seq\trelease_year:token\n"
    lines = "".join(f"{item}\tFilm {item}\t1995\n" for item in range(1, 1683))
    (media / "ml-100k.item").write_text(columns + lines)
    rng = np.random.default_rng(0)
    for item in range(1, 1683, 20):
        picture = Image.fromarray(rng.integers(0, 256, (48, 32, 3), dtype=np.uint8))
        picture.save(media / "posters" / f"{item}.jpg")
    given = [f"--data_path={tmp_path / 'world'}", f"--posters={media}", "--users=12"]
    monkeypatch.setattr(sys, "argv", ["generation.py", *given])
    generation.main()
    result = json.loads((tmp_path / "results" / "generation-posters.json").read_text())
    assert all(bar["holds"] for bar in result["bars"]) and str(tmp_path) not in json.dumps(result)
    page = (tmp_path / "world" / "posters" / "report.html").read_text()
    assert page.count('<article class="card">') == 12 and page.count("a poster like Film ") == 12
    # Beside the twelve posters that were retrieved, those of histories.
    assert page.count("data:image/jpeg") >= result["bars"][2]["value"] > 0
