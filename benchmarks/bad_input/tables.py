"""Identifier tables that nobody could trust, and files of instructions that cannot be read."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bad_input.world import Input, World

NAN = math.nan


def table_inputs(world: World) -> Iterator[Input]:
    """Identifier tables that nobody could trust, and files of instructions that cannot be read."""
    codes, books = np.array([[0, 1], [1, 0], [1, 1]]), np.zeros((2, 2, 3))
    right = {
        "item_tokens": ("a", "b", "c"),
        "codes": codes,
        "codebook_size": 2,
        "codebooks": books,
        "terms": (("x",), ("y",), ("z",)),
    }
    wrong = {
        "no items": {"item_tokens": (), "codes": np.zeros((0, 2), int), "terms": ()},
        "one string as items": {"item_tokens": "ab"},
        "an item twice": {"item_tokens": ("a", "b", "a")},
        "an item without id": {"item_tokens": ("a", "", "c")},
        "an item of a number": {"item_tokens": ("a", 5, "c")},
        "items of no list": {"item_tokens": 5},
        "codes of fractions": {"codes": codes + 0.5},
        "codes of texts": {"codes": np.array([["a", "b"]] * 3)},
        "codes of one row": {"codes": codes[0]},
        "codes that are ragged": {"codes": [[0, 1], [1], [1, 1]]},
        "codes of None": {"codes": None},
        "fewer codes": {"codes": codes[:2]},
        "more codes": {"codes": np.array([[0, 0], *codes])},
        "a code twice": {"codes": np.array([[0, 1], [1, 0], [0, 1]])},
        "a code below zero": {"codes": np.array([[0, 1], [1, -1], [1, 1]])},
        "a code too large": {"codes": np.array([[0, 1], [1, 2], [1, 1]])},
        "no levels": {"codes": np.zeros((3, 0), int)},
        "too many levels": {"codes": np.zeros((3, 30), int), "codebooks": np.zeros((30, 2, 3))},
        "a size of no codebook": {"codebook_size": 5},
        "a size of zero": {"codebook_size": 0},
        "a size below zero": {"codebook_size": -2},
        "a size of a word": {"codebook_size": "two"},
        "a size of None": {"codebook_size": None},
        "codebooks of another shape": {"codebooks": books[:1]},
        "codebooks without width": {"codebooks": np.zeros((2, 2, 0))},
        "codebooks of NaN": {"codebooks": np.full((2, 2, 3), NAN)},
        "codebooks of texts": {"codebooks": [["a"]]},
        "codebooks of None": {"codebooks": None},
        "fewer terms": {"terms": (("x",), ("y",))},
        "more terms": {"terms": (("x",),) * 4},
        "no terms": {"terms": (("x",), (), ("z",))},
        "too many terms": {"terms": (("x",), tuple(map(str, range(11))), ("z",))},
        "a term twice": {"terms": (("x",), ("y", "y"), ("z",))},
        "a blank term": {"terms": (("x",), (" ",), ("z",))},
        "a term with blanks around": {"terms": (("x",), (" y",), ("z",))},
        "a term of a number": {"terms": (("x",), (5,), ("z",))},
        "terms of strings": {"terms": ("x", "yy", "z")},
        "terms of None": {"terms": None},
        "residuals of another shape": {"residuals": np.zeros((3, 4))},
        "residuals of NaN": {"residuals": np.full((3, 3), NAN)},
        "residuals of texts": {"residuals": [["a"] * 3] * 3},
        "fewer sentences": {"sentences": np.zeros((2, 4))},
        "sentences of NaN": {"sentences": np.full((3, 4), NAN)},
        "sentences of texts": {"sentences": ["a", "b", "c"]},
    }

    def table(own: Mapping[str, Any]) -> Callable[[World], Any]:
        def make(world: World) -> Any:
            from recbole_navigen.identifiers.table import DualIdentifierTable

            return DualIdentifierTable(**{**right, **own})

        return make

    for what, own in wrong.items():
        # "Terms of strings" are read letter by letter; where the letters differ, that is a table nobody meant.
        yield Input("api: table", what, table(own), ("item", "code", "term", "residual", "sentence", "level"))
    yield Input("api: table, good", "a table", table({}), (), None, True)
    yield Input(
        "api: table, good", "lists", table({"codes": codes.tolist(), "codebooks": books.tolist()}), (), None, True
    )

    line = {"user": "u1", "media": "image", "instruction": "a red ball"}
    files = {
        "no file": None,
        "binary": bytes(range(256)),
        "no json": b"a red ball\n",
        "json that is cut": json.dumps(line).encode()[:20],
        "a list": b"[1]\n",
        "a number": b"3\n",
        "null": b"null\n",
        **{f"no {key}": json.dumps({k: v for k, v in line.items() if k != key}).encode() for key in line},
        **{
            f"{key} is {value!r}": json.dumps({**line, key: value}).encode()
            for key, value in (
                ("media", "song"),
                ("media", 5),
                ("media", None),
                ("instruction", ""),
                ("instruction", "  "),
                ("instruction", None),
                ("instruction", 5),
                ("user", None),
                ("user", ""),
                ("target", ""),
                ("target", []),
                ("aim", {"id": 1}),
                ("aim_probability", 2),
                ("terms", "western"),
                ("history", 5),
                ("history", "i1"),
                ("history", {"a": 1}),
                ("history", [None]),
                ("reasoning", 5),
                ("reasoning", ["a"]),
                ("history_titles", ["a title of no item"]),
            )
        },
    }

    def read(world: World) -> Any:
        from recbole_navigen.generation.records import read_records

        return read_records("instructions.jsonl")

    for what, content in files.items():
        make = (
            None if content is None else lambda world, content=content: Path("instructions.jsonl").write_bytes(content)
        )
        yield Input("media: records", what, read, ("instructions.jsonl", "u1"), make)
    good = "\n".join(
        ["", json.dumps(line), "", json.dumps({**line, "user": 'u"\u2028', "media": "video"}, ensure_ascii=False)]
    )
    yield Input(
        "media: records, good",
        "blank lines and odd characters",
        read,
        (),
        lambda world: Path("instructions.jsonl").write_text(good),
        True,
        lambda seen: len(seen.result) == 2,
    )
