"""The page of generated media, and the benchmark that writes one, on small models."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, WIDTHS, look_at
from PIL import Image
from small_media import FEW_STEPS, small_clip, tiny_models, tiny_world
from tiny_settings import NAVIGEN

from recbole_navigen.artefacts import write_record
from recbole_navigen.errors import InputError
from recbole_navigen.generation.cards import user_cards
from recbole_navigen.generation.image import png
from recbole_navigen.generation.interfaces import Catalogue
from recbole_navigen.generation.make import build_encoder, generate, score
from recbole_navigen.generation.page import write_media_page
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.generation.settings import generation_settings
from recbole_navigen.generation.video import mp4
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.runs.page import run_sections
from recbole_navigen.runs.result import RESULT_KEYS
from recbole_navigen.training.checkpoint import save_checkpoint

NASTY = "<script>fail()</script> a red & blue 'ball'"


class Painter:
    """Noise, as an image or as a clip."""

    batch_size = 4

    def __init__(self, media: str):
        self.media = media
        self.identity = {"model": f"painter of {media}s", "revision": None, "arguments": {}}

    def lengths(self, instruction: str) -> dict[str, tuple[int, int]]:
        return {}

    def __call__(self, instructions: list[str], seeds: list[int]) -> list[bytes | None]:
        noise = [np.random.default_rng(seed).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8) for seed in seeds]
        return [png(Image.fromarray(one[0])) if self.media == "image" else mp4(one, 8) for one in noise]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed")
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = {f"i{number}": f"a {colour} ball" for number, colour in enumerate(("red", "blue", "white", "green"))}
    images = {item: tmp_path / f"{item}.png" for item in list(texts)[:3]}
    for number, file in enumerate(images.values()):
        Image.fromarray(rng.integers(0, 256, (300 - 250 * (number > 0), 200, 3), dtype=np.uint8)).save(file)
    catalogue = Catalogue(texts, images)
    settings = generation_settings({"clip_model": small_clip(tmp_path / "clip")})
    requests = [
        InstructionRecord(
            f"u{user}", media, NASTY if user else "a nude", f"i{user}", ("i3", "i2"), "I like balls." * user
        )
        for media in ("image", "video")
        for user in range(3)
    ]
    generators = {media: Painter(media) for media in ("image", "video")}
    made = generate(requests, generators, tmp_path / "media", settings)
    encoder = build_encoder(settings)
    scores = {media: score(made, catalogue, encoder, settings, media) for media in generators}
    cards = user_cards(made.instructions, catalogue, made, scores)
    write_media_page(tmp_path / "report.html", "Media", {"Users": "3"}, {"noise": scores["image"]}, cards)
    found = look_at(
        (tmp_path / "report.html").read_text(),
        tmp_path,
        """page => ({
            width: page.documentElement.clientWidth,
            scroll: page.documentElement.scrollWidth,
            images: [...page.querySelectorAll(".card img")].map(image => image.naturalWidth),
            videos: [...page.querySelectorAll("video")].map(video => video.videoWidth),
            cards: [...page.querySelectorAll(".card")].map(card => card.innerText),
            absent: page.querySelectorAll(".absent").length,
            tables: page.querySelectorAll("table").length,
            folded: page.querySelectorAll("details.more table").length,
            order: [...page.querySelectorAll("h2, summary")].map(each => each.innerText).filter(text => text),
        })""",
    )
    for frame, width in zip(found, WIDTHS, strict=True):
        assert width - 20 <= frame["width"] <= width and frame["scroll"] <= frame["width"]
        # Of each card: one picture of the history, the target, and the medium; thumbnails are small.
        assert len(frame["images"]) == 6 * 2 + 2 and all(0 < side <= 160 for side in frame["images"])
        assert frame["videos"] == [32, 32] and frame["absent"] == 6 + 2 and len(frame["cards"]) == 6
        # One table of all metrics below the cards; one of each metric when it is asked for.
        assert frame["tables"] == 1 + 7 and frame["folded"] == 7
        assert [text for text in frame["order"] if text != "Reasoning"][:2] == [
            "Users: history, instruction, and what was made of it",
            "What the media are worth",
        ]
        assert "blocked: the instruction holds 'nude'" in frame["cards"][0] and NASTY in frame["cards"][1]
        assert "CLIPScore" in frame["cards"][4] and "CLIPScore" not in frame["cards"][3]


def test_what_a_page_says_of_a_run(tmp_path: Path) -> None:
    table = DualIdentifierTable(("x", "y"), np.array([[0, 1], [1, 1]]), 2, np.zeros((2, 2, 3)), (("red",), ("blue",)))
    table.save(tmp_path / "identifiers", {})
    save_checkpoint(tmp_path / "checkpoint", train_loss_dict={0: 3.5, 1: 2.5}, state_dict={})
    result = {"model": "NaviGen", "dataset": "tiny", "test_result": {"ndcg@10": 0.25}}
    stages = [{"name": "train", "seconds": 12.34, "metric": "best valid NDCG@10 0.3"}]
    validations = [{"epoch": 0, "score": 0.2}, {"epoch": 1, "score": 0.3}]
    config = {"valid_metric": "NDCG@10"}
    protocol = {"eval_args": {"mode": {"valid": "full", "test": "full"}}}
    result |= {"stages": stages, "validations": validations, "config": config, "protocol": protocol}
    write_record(tmp_path / "result.json", {**dict.fromkeys(RESULT_KEYS), **result})
    draft = {"id": 0, "parents": [], "operator": "balanced", "round": 0, "overall": 7.0}
    tables, plots = run_sections(tmp_path, {"candidates": [draft], "rounds": [{"elite": 0}]})
    assert [[cell.text for cell in table.rows[0]] for table in tables] == [
        ["ndcg@10", "0.2500"],
        ["train", "12.3", "best valid NDCG@10 0.3"],
        ["level a", "2", "1.00", "1"],
    ]
    assert [plot.caption.split()[0] for plot in plots] == ["Training", "NDCG@10", "Evolution"]
    assert "<svg" in plots[2].light
    write_media_page(tmp_path / "page.html", "Run", {}, {}, [], tables=tables, plots=plots)
    assert (tmp_path / "page.html").read_text().count("<figure>") == 3
    with pytest.raises(InputError, match="not the folder of a finished run"):
        run_sections(tmp_path / "none")


def test_the_benchmark_on_small_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import common
    import generation
    import tiny_navigen

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
    import common
    import generation

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
