"""Checkpoints: what comes back equals what went in, and damage is refused."""

import math
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recbole_navigen.artefacts import atomic_directory
from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.training.checkpoint import load_checkpoint, save_checkpoint

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
]
arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
leaves = scalars | arrays | arrays.map(torch.from_numpy)
keys = st.text(max_size=5) | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)
nests = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=8,
)


def same(left, right) -> bool:
    """Equal in type, structure and every bit of every number (NaN equals NaN)."""
    if type(left) is not type(right):
        return False
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and same(left.numpy(), right.numpy())
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, dict):
        return len(left) == len(right) and all(
            same(a, b) and same(left[a], right[b]) for a, b in zip(left, right, strict=True)
        )
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and math.isnan(left):
        return math.isnan(right)
    return left == right


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    objects=st.dictionaries(
        st.from_regex(r"[a-z]{1,6}", fullmatch=True).filter(lambda k: k != "directory"), nests, max_size=4
    )
)
def test_round_trip(objects: dict, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoint", **objects)
    assert same(load_checkpoint(tmp_path / "checkpoint"), objects)
    assert {file.name for file in (tmp_path / "checkpoint").iterdir()} == {
        "manifest.json",
        "objects.json",
        "tensors.safetensors",
    }


def test_training_state_round_trips(tmp_path: Path) -> None:
    model = torch.nn.LSTM(3, 4)
    for make in (torch.optim.Adam, lambda p: torch.optim.SGD(p, momentum=0.9, lr=0.1)):
        optimizer = make(model.parameters())
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
        model(torch.randn(2, 3))[0].sum().backward()
        optimizer.step(), schedule.step()
        state = {
            "o": optimizer.state_dict(),
            "s": schedule.state_dict(),
            "m": model.state_dict(),
            "r": np.random.get_state(),
        }
        save_checkpoint(tmp_path / "c", **state)
        loaded = load_checkpoint(tmp_path / "c")
        assert same(loaded["s"], state["s"]) and same(loaded["r"], state["r"])
        again = torch.nn.LSTM(3, 4)
        again.load_state_dict(loaded["m"])
        other = make(again.parameters())
        other.load_state_dict(loaded["o"])
        for optimizer_, net in ((optimizer, model), (other, again)):
            torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(net.parameters()), net.parameters())
            optimizer_.zero_grad()
            net(torch.ones(2, 3))[0].sum().backward()
            optimizer_.step()
        for left, right in zip(model.parameters(), again.parameters(), strict=True):
            assert torch.equal(left, right)


def test_tensors_that_share_memory(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.randn(4, 3, dtype=torch.bfloat16))
    objects = {
        "a": weight,
        "tied": weight,
        "view": weight.detach()[1:],
        "turned": weight.detach().T,
        "wide": torch.zeros(1).expand(5),
    }
    save_checkpoint(tmp_path / "c", **objects)
    loaded = load_checkpoint(tmp_path / "c")
    for name, tensor in objects.items():
        assert (
            torch.equal(loaded[name], tensor) and loaded[name].dtype == tensor.dtype and not loaded[name].requires_grad
        )
    stored = (tmp_path / "c/tensors.safetensors").stat().st_size
    save_checkpoint(tmp_path / "d", **{name: tensor for name, tensor in objects.items() if name != "tied"})
    assert stored == (tmp_path / "d/tensors.safetensors").stat().st_size


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
def test_sparse_matrices(form: str, kind: str, tmp_path: Path) -> None:
    dense = np.random.default_rng(0).integers(0, 3, (5, 7)).astype(np.float32) * (np.arange(7) > 2)
    matrix = getattr(scipy.sparse, f"{form}_{kind}")(dense)
    empty = getattr(scipy.sparse, f"{form}_{kind}")((2, 3), dtype=np.float32)
    save_checkpoint(tmp_path / "c", m=matrix, e=empty)
    loaded = load_checkpoint(tmp_path / "c")
    assert type(loaded["m"]) is type(matrix) and loaded["m"].dtype == np.float32
    assert (loaded["m"].toarray() == dense).all() and loaded["e"].shape == (2, 3) and loaded["e"].nnz == 0


def test_numpy_scalars_become_plain(tmp_path: Path) -> None:
    save_checkpoint(
        tmp_path / "c", f=np.float64(0.1), i=np.int64(3), b=np.bool_(True), big=np.array([1, 2], dtype=">i4")
    )
    loaded = load_checkpoint(tmp_path / "c")
    assert [(type(loaded[key]), loaded[key]) for key in "fib"] == [(float, 0.1), (int, 3), (bool, True)]
    assert loaded["big"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"deep": [object()]}, r"x\.deep\.0 is a object, which a checkpoint cannot hold"),
        ({(1, 2): 3}, r"x has a key of type tuple"),
        (np.array(["a"]), r"x is an array of <U1"),
        (np.array([1j]), r"x is an array of complex128"),
        (torch.eye(2).to_sparse(), r"x is a torch\.sparse_coo tensor"),
        (b"bytes", r"x is a bytes"),
    ],
)
def test_other_types_are_refused_by_place(value, message: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=message):
        save_checkpoint(tmp_path / "c", x=value)
    assert not (tmp_path / "c").exists()


def test_a_failed_write_leaves_the_older_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", x=1)
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path / "c", x=torch.zeros(3), y={1, 2})
    assert load_checkpoint(tmp_path / "c") == {"x": 1}
    save_checkpoint(tmp_path / "c", x=2)
    assert load_checkpoint(tmp_path / "c") == {"x": 2} and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["objects.json", "tensors.safetensors", "manifest.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_damage_is_detected(name: str, harm: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", weight=torch.arange(50.0), epoch=3)
    file = tmp_path / "c" / name
    content = bytearray(file.read_bytes())
    if harm == "remove":
        file.unlink()
    else:
        content[len(content) // 2] ^= 0x01
        file.write_bytes(content if harm == "flip" else content[: len(content) // 2])
    with pytest.raises(DamagedArtefact, match=name):
        load_checkpoint(tmp_path / "c")


def test_other_things_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "none")
    (tmp_path / "SASRec.pth").write_bytes(b"\x80\x04")
    with pytest.raises(InputError, match=r"SASRec\.pth is a file, and checkpoints are folders"):
        load_checkpoint(tmp_path / "SASRec.pth")
    with atomic_directory(tmp_path / "table", {"kind": "table"}) as folder:
        (folder / "x").write_text("x")
    with pytest.raises(InputError, match="another kind of artefact"):
        load_checkpoint(tmp_path / "table")
