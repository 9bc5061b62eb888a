"""The instruction record: written, edited by hand, read again; what is no record is refused by its line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_navigen.errors import InputError
from recbole_navigen.generation.records import InstructionRecord, read_records, write_records

LINE = {"user": "u1", "media": "image", "instruction": "a red ball"}
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
records = st.builds(
    InstructionRecord,
    user=texts,
    media=st.sampled_from(["image", "video"]),
    instruction=texts,
    target=st.none() | texts,
    history=st.lists(texts).map(tuple),
    reasoning=st.none() | texts,
    aim=st.none() | texts,
    aim_terms=st.lists(texts).map(tuple),
    aim_probability=st.none() | st.floats(0, 1),
    terms=st.lists(texts).map(tuple),
    domain=st.none() | st.just("film"),
    target_title=st.none() | texts,
    answer=st.none() | texts,
    more=st.dictionaries(st.sampled_from(["note", "rating"]), st.none() | st.integers() | texts),
)


@given(record=records)
def test_what_is_written_is_read(record: InstructionRecord) -> None:
    file = Path("instructions.jsonl")
    write_records(file, [record])
    assert read_records(file) == [record]
    # A second time, so that a call which only passes records on changes nothing.
    content = file.read_bytes()
    write_records(file, read_records(file))
    assert file.read_bytes() == content


def test_a_line_by_hand_is_enough_and_keeps_its_notes() -> None:
    file = Path("instructions.jsonl")
    by_hand = {"user": 7, "media": "video", "instruction": "a ball", "target": 3, "history": [1, 2], "note": ["mine"]}
    file.write_text(json.dumps(by_hand) + "\n")
    (record,) = read_records(file)
    assert record == InstructionRecord("7", "video", "a ball", "3", ("1", "2"), more={"note": ["mine"]})
    assert record.line()["note"] == ["mine"] and record.items() == ("1", "2", "3") and record.titles() == {}
    named = replace(record, history_titles=("One", "Two"), target_title="Three")
    assert named.titles() == {"1": "One", "2": "Two", "3": "Three"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        *(
            ({key: value for key, value in LINE.items() if key != name}, f"it has no {name}")
            for name in ("user", "media", "instruction")
        ),
        ({**LINE, "media": "song"}, "media must be one of image, video"),
        ({**LINE, "instruction": " "}, "user u1 has an empty instruction"),
        ({**LINE, "target": ""}, "target is empty"),
        ({**LINE, "history": "i1"}, "history must be a list"),
        ({**LINE, "aim_probability": 2}, "aim_probability must be"),
        ({**LINE, "history": ["a", "b"], "history_titles": ["A"]}, "2 items in history and 1 in history_titles"),
        ([LINE], "a line must be"),
        ("no", "no JSON"),
    ],
)
def test_what_is_no_record_is_refused_by_its_line(line: object, reason: str) -> None:
    written = line if isinstance(line, str) else json.dumps(line)
    Path("instructions.jsonl").write_text(f"{json.dumps(LINE)}\n\n{written}\n")
    with pytest.raises(InputError) as refused:
        read_records("instructions.jsonl")
    message = str(refused.value)
    assert message.startswith("instructions.jsonl, line 3 is no instruction (") and reason in message
    assert "\n" not in message and message.endswith("a line needs user, media and instruction in JSON.")


def test_a_second_line_of_a_user_and_a_file_without_lines_are_refused() -> None:
    file = Path("instructions.jsonl")
    file.write_text("".join(json.dumps({**LINE, "media": media}) + "\n" for media in ("image", "video", "image")))
    with pytest.raises(InputError, match="line 3 is the second image of user u1 after line 1; keep"):
        read_records(file)
    file.write_text("\n")
    with pytest.raises(InputError, match="holds no record"):
        read_records(file)
    with pytest.raises(InputError, match=r"instructions=none\.jsonl cannot be read"):
        read_records("none.jsonl")
