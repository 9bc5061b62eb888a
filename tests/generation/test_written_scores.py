"""Scores of several writers: intervals over the same users, JSON values, and tables that fit where they are shown."""

import json
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, look_at
from rich.console import Console

from recbole_navigen.evaluation.fluency import INSTRUCTIONS, Fluency
from recbole_navigen.evaluation.instruction_scores import InstructionScores
from recbole_navigen.evaluation.simple_writers import ORACLE, SIMPLE
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.generation.cards import user_cards
from recbole_navigen.generation.interfaces import Catalogue
from recbole_navigen.generation.page import write_media_page
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.generation.written_scores import DIVERSITY, SHOWN, WrittenScores, writer_intervals
from recbole_navigen.presentation.tables import to_terminal

USERS = 40
PERSONAL = ("tid_f1", "target_similarity", "blanked_similarity")


@pytest.fixture
def scores() -> WrittenScores:
    rng = np.random.default_rng(0)

    def one() -> InstructionScores:
        values = {name: rng.random(USERS) for name in PERSONAL} | {"valid": np.ones(USERS)}
        control = {name: 2 * rng.random(USERS) for name in PERSONAL}
        return InstructionScores(values, control, dict.fromkeys(DIVERSITY, 12.0), {})

    writers = {name: one() for name in (INSTRUCTIONS, *SIMPLE)}
    fluency = Fluency("small", {INSTRUCTIONS: np.array([3.0, 5.0, np.nan])}, {INSTRUCTIONS: 7.0})
    return WrittenScores("tf-idf of words", "genre", writers, *writer_intervals(writers), fluency, "")


def test_intervals_are_those_of_the_paired_bootstrap(scores: WrittenScores) -> None:
    ours, last = scores.writers[INSTRUCTIONS], scores.writers["last item"]
    for found, values in (
        (scores.intervals["last item"]["tid_f1"], last.values["tid_f1"]),
        (
            scores.minus["last item"]["target_similarity_gap"],
            ours.gap("target_similarity") - last.gap("target_similarity"),
        ),
    ):
        alone = bootstrap(values)
        assert (found.mean, found.low, found.high) == pytest.approx((alone.mean, alone.low, alone.high))
    assert INSTRUCTIONS not in scores.minus and list(scores.minus) == list(SIMPLE)


def test_the_result_is_json_and_the_tables_say_the_same(scores: WrittenScores) -> None:
    result = json.loads(json.dumps(scores.result(), allow_nan=False))
    assert result["users"] == USERS and result["other_users"] == 20
    assert result["fluency"]["nats_a_token"][INSTRUCTIONS]["mean"] == 4
    wide, minus, diversity, fluency = scores.tables()
    assert [row[0].text for row in wide.rows] == [INSTRUCTIONS, *SIMPLE] and len(wide.columns) == len(SHOWN) + 1
    shown = result["writers"]["last item"]["tid_f1"]
    assert wide.rows[1][2].text == f"{shown['mean']:.4f}" and f"{shown['low']:.4f}" in wide.rows[1][2].aside
    # The best writer of a column is marked, and the oracle is none.
    assert sum(cell.best for row in wide.rows for cell in row) == len(SHOWN) - 1
    assert not any(cell.best for row in wide.rows if row[0].text == ORACLE for cell in row)
    assert len(minus.rows) == len(SIMPLE) and diversity.rows[0][1].text == "12" and fluency.rows[0][1].text == "4.0000"
    assert ORACLE not in scores.plot().light


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed")
def test_a_page_without_media_in_a_browser(scores: WrittenScores, tmp_path: Path) -> None:
    """Titles stand as words where there are no pictures, and wide tables scroll by themselves."""
    catalogue = Catalogue({"i1": "Tale 1 of the River", "i2": "A <b>bold</b> tale", "i3": "Tale 3"})
    records = [
        InstructionRecord("u1", "image", "a red ball " * 20, "i3", ("i1", "i2"), "I like balls.", aim="i1"),
        InstructionRecord("u2", "video", "a blue ball", history=("i9",)),
    ]
    page = tmp_path / "report.html"
    cards = user_cards(records, catalogue)
    write_media_page(page, "Instructions", {}, {}, cards, tables=scores.tables(), plots=[scores.plot()])
    probe = """page => ({
        width: page.documentElement.clientWidth,
        scroll: page.documentElement.scrollWidth,
        cards: [...page.querySelectorAll(".card")].map(card => card.innerText),
        absent: page.querySelectorAll(".absent").length,
        tables: page.querySelectorAll("table").length,
    })"""
    for frame in look_at(page.read_text(), tmp_path, probe):
        assert frame["scroll"] <= frame["width"] and frame["absent"] == 0 and frame["tables"] == 4
        first, second = frame["cards"]
        assert "A <b>bold</b> tale" in first and "held out: Tale 3" in first
        assert "stands for what is expected: Tale 1" in first
        assert "item i9" in second and "held out" not in second


def test_the_summary_fits_a_terminal_of_80_columns(scores: WrittenScores) -> None:
    console = Console(width=80, record=True)
    for part in to_terminal([scores.summary()]):
        console.print(part)
    text = console.export_text()
    assert all(name in text for name in SIMPLE) and "…" not in text
