"""The page of generated media, and the benchmark that writes one, on small models."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, WIDTHS, look_at
from PIL import Image
from small_media import FEW_STEPS, small_clip, tiny_models, tiny_world

from recbole_navigen.artefacts import write_json
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.media_report import write_media_page
from recbole_navigen.generation.cards import user_cards
from recbole_navigen.generation.head import build_encoder, generate, score
from recbole_navigen.generation.image import png
from recbole_navigen.generation.protocol import Catalogue, Request
from recbole_navigen.generation.settings import generation_settings
from recbole_navigen.generation.video import mp4
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.quick_start.sections import run_sections
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
        Request(f"u{user}", media, NASTY if user else "a nude", f"i{user}", ("i3", "i2"), "I like balls." * user)
        for media in ("image", "video")
        for user in range(3)
    ]
    generators = {media: Painter(media) for media in ("image", "video")}
    made = generate(requests, generators, tmp_path / "media", settings)
    encoder = build_encoder(settings)
    scores = {media: score(made, catalogue, encoder, settings, media) for media in generators}
    cards = user_cards(made, catalogue, scores)
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
        })""",
    )
    for frame, width in zip(found, WIDTHS, strict=True):
        assert width - 20 <= frame["width"] <= width and frame["scroll"] <= frame["width"]
        # Of each card: one picture of the history, the target, and the medium; thumbnails are small.
        assert len(frame["images"]) == 6 * 2 + 2 and all(0 < side <= 160 for side in frame["images"])
        assert frame["videos"] == [32, 32] and frame["absent"] == 6 + 2 and len(frame["cards"]) == 6
        assert frame["tables"] == 7
        assert "blocked: the instruction holds 'nude'" in frame["cards"][0] and NASTY in frame["cards"][1]
        assert "CLIPScore" in frame["cards"][4] and "CLIPScore" not in frame["cards"][3]


def test_what_a_page_says_of_a_run(tmp_path: Path) -> None:
    table = DualIdentifierTable(("x", "y"), np.array([[0, 1], [1, 1]]), 2, np.zeros((2, 2, 3)), (("red",), ("blue",)))
    table.save(tmp_path / "identifiers", {})
    save_checkpoint(tmp_path / "checkpoint", train_loss_dict={0: 3.5, 1: 2.5}, state_dict={})
    result = {"model": "NaviGen", "dataset": "tiny", "test_result": {"ndcg@10": 0.25}}
    stages = [{"name": "train", "seconds": 12.34, "metric": "best valid NDCG@10 0.3"}]
    write_json(tmp_path / "result.json", {**result, "stages": stages})
    draft = {"id": 0, "parents": [], "operator": "balanced", "round": 0, "overall": 7.0}
    tables, plots = run_sections(tmp_path, {"candidates": [draft], "rounds": [{"elite": 0}]})
    assert [[cell.text for cell in table.rows[0]] for table in tables] == [
        ["ndcg@10", "0.2500"],
        ["train", "12.3", "best valid NDCG@10 0.3"],
        ["level a", "2", "1.00", "1"],
    ]
    assert [plot.caption.split()[0] for plot in plots] == ["Training", "Evolution"] and "<svg" in plots[1].light
    write_media_page(tmp_path / "page.html", "Run", {}, {}, [], tables=tables, plots=plots)
    assert (tmp_path / "page.html").read_text().count("<figure>") == 2
    with pytest.raises(InputError, match="not the folder of a finished run"):
        run_sections(tmp_path / "none")


def test_the_benchmark_on_small_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import common
    import generation

    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(tiny_models, "Sizes", lambda: FEW_STEPS)
    write = tiny_world.write_data
    monkeypatch.setattr(tiny_world, "write_data", lambda folder: write(folder, users=30, items=40))
    instructions = [{"user": f"u{user}", "instruction": "a red ball", "target": "x"} for user in range(8)]
    (tmp_path / "own.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in instructions))
    given = ["--users=6", "--video_users=0", "--steps=2", f"--instructions={tmp_path / 'own.jsonl'}"]
    monkeypatch.setattr(sys, "argv", ["generation.py", f"--data_path={tmp_path / 'world'}", *given])
    generation.main()
    result = json.loads((tmp_path / "results" / "generation.json").read_text())
    methods = {name.removeprefix("image: "): row for name, row in result["table"].items() if "-" not in name}
    others = {"ground truth", "history terms", "last item", "popular item", "random user", "retrieval"}
    assert set(methods) == others | {"NaviGen"}
    assert result["image users"] == 6 and all("attribute accuracy" in row for row in methods.values())
    assert any(bar["name"].startswith("image: NaviGen - last item") for bar in result["bars"])
    assert str(tmp_path) not in json.dumps(result) and result["throughput"]["pairs"] > 6 * 9
    page = (tmp_path / "world" / "report.html").read_text()
    assert page.count('<article class="card">') == 6 and "ground truth, image" in page
