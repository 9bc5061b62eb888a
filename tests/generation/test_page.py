"""The page of generated media."""

from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, WIDTHS, look_at
from PIL import Image
from small_media import Painter, small_clip

from recbole_navigen.artefacts import write_record
from recbole_navigen.errors import InputError
from recbole_navigen.generation.cards import user_cards
from recbole_navigen.generation.feedback_file import add_page_feedback
from recbole_navigen.generation.interfaces import Catalogue
from recbole_navigen.generation.make import build_encoder, generate, score
from recbole_navigen.generation.page import write_media_page
from recbole_navigen.generation.records import InstructionRecord, write_records
from recbole_navigen.generation.settings import generation_settings
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.runs.page import run_sections
from recbole_navigen.runs.result import RESULT_KEYS
from recbole_navigen.training.checkpoint import save_checkpoint

NASTY = "<script>fail()</script> a red & blue 'ball'"


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
            order: [...page.querySelectorAll("h2, .more summary")].map(each => each.innerText).filter(text => text),
        })""",
    )
    for frame, width in zip(found, WIDTHS, strict=True):
        assert width - 20 <= frame["width"] <= width and frame["scroll"] <= frame["width"]
        # Of each card: one picture of the history, the target, and the medium; thumbnails are small.
        assert len(frame["images"]) == 6 * 2 + 2 and all(0 < side <= 160 for side in frame["images"])
        assert frame["videos"] == [32, 32] and frame["absent"] == 6 + 2 and len(frame["cards"]) == 6
        # One table of all metrics below the cards; one of each metric when it is asked for.
        assert frame["tables"] == 1 + 7 and frame["folded"] == 7
        assert frame["order"][:2] == [
            "Users: history, instruction, and what was made of it",
            "What the media are worth",
        ]
        assert "blocked: the instruction holds 'nude'" in frame["cards"][0] and NASTY in frame["cards"][1]
        assert "CLIPScore" in frame["cards"][4] and "CLIPScore" not in frame["cards"][3]
        assert "User u1, video" in frame["cards"][4] and "CLIPImage" not in frame["cards"][4]  # until it is asked for


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed")
def test_the_buttons_of_the_page_save_what_the_command_reads(tmp_path: Path) -> None:
    users = ["u1", "u2", "<b>'u3\""]
    records = [InstructionRecord(user, "image", NASTY, terms=("ball",)) for user in users]
    write_records(tmp_path / "instructions.jsonl", records)
    settings = generation_settings({"block_list": []})
    made = generate(records, {"image": Painter("image")}, tmp_path, settings)
    cards = user_cards(made.instructions, Catalogue({}, {}), made)
    write_media_page(tmp_path / "report.html", "Media", {}, {}, cards)
    found = look_at(
        (tmp_path / "report.html").read_text(),
        tmp_path,
        """page => {
            const view = page.defaultView, saved = [], click = (row, verdict) =>
                page.querySelectorAll(".said")[row].querySelector(`[value=${verdict}]`).click();
            view.Blob = class { constructor(parts) { saved.push(parts[0]); } };
            view.URL.createObjectURL = () => "#";
            click(0, "keep"); click(1, "keep"); click(1, "discard");
            view.prompt = (_, before) => before + " at night";
            click(2, "edit");
            view.prompt = () => null;
            click(0, "edit");
            page.querySelector(".save button").click();
            const pressed = [...page.querySelectorAll("[aria-pressed=true]")].map(button => button.value);
            return {saved: saved[0], pressed, hidden: page.querySelector(".save").hidden};
        }""",
    )
    for frame in found:
        assert frame["pressed"] == ["keep", "discard", "edit"] and not frame["hidden"]
    (tmp_path / "page.jsonl").write_text(found[0]["saved"])
    lines = add_page_feedback(tmp_path, tmp_path / "page.jsonl")
    said = [(line["user"], line["verdict"], line["edited"], line["terms"]) for line in lines]
    verdicts = [("keep", None), ("discard", None), ("edit", f"{NASTY} at night")]
    assert said == [(user, *own, ["ball"]) for user, own in zip(users, verdicts, strict=True)]
    assert add_page_feedback(tmp_path, tmp_path / "page.jsonl") == []


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
