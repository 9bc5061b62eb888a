"""The parquets of the released NaviGen become a data set whose items are codes."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recbole_navigen.cli.convert import convert


def code(a: int, b: int, c: int) -> str:
    return f"<|cid_begin|><s_a_{a}><s_b_{b}><s_c_{c}><|cid_end|>"


def test_the_release_becomes_a_data_set(own_folder: Path) -> None:
    items = [code(number % 2, number, 7) for number in range(5)]
    for name, users in (("train", ["u1", "u2"]), ("valid", ["u3"]), ("test", ["u4"])):
        rows = {
            "uid": users,
            "hist_sid": [[items[0], items[1], items[0]]] * len(users),
            "target_sid": [[items[2]]] * len(users),  # a string or a list, says the code that reads it
            "reasoning": [""] * len(users),
        }
        pq.write_table(pa.table(rows), f"{name}_cid2cid.parquet")
    known = {"pid": [10, 11, 12], "sid": items[:3], "tid": [["board game", "dice"], ["doll"], []]}
    pq.write_table(pa.table(known), "pid2cid2tid.parquet")
    assert convert(["navigen-release", ".", "--name=released"]) == 0
    inter = Path("dataset/released/released.inter").read_text().splitlines()
    assert [line.split("\t")[1:3] for line in inter[1:5]] == [
        [item, str(place)] for place, item in enumerate((items[0], items[1], items[0], items[2]))
    ]
    assert {line.split("\t")[0] for line in inter[1:]} == {"u1", "u2", "u3", "u4"}
    item = dict(line.split("\t") for line in Path("dataset/released/released.item").read_text().splitlines())
    assert item[items[0]] == "board_game dice" and item[items[2]] == "" and len(item) == 4


def test_rows_without_users_are_their_own(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {"hist_sid": [[code(1, 1, 1)] * 3] * 2, "target_sid": [code(1, 2, 3)] * 2}
    pq.write_table(pa.table(rows), "test_cid2cid.parquet")
    assert convert(["navigen-release", "test_cid2cid.parquet", "--name=released"]) == 0, capsys.readouterr().err
    inter = Path("dataset/released/released.inter").read_text().splitlines()
    assert {line.split("\t")[0] for line in inter[1:]} == {"test-1", "test-2"}
