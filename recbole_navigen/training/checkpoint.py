"""Checkpoints without pickle: any nest of plain values and arrays <-> JSON and safetensors.

A checkpoint is a directory of three files: `objects.json` (the nest, with names where tensors stood),
`tensors.safetensors` and `manifest.json`. It is written atomically, and a damaged one is refused before it is used.
"""

import json
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recbole_navigen.artefacts import atomic_directory, restore, verify_manifest
from recbole_navigen.errors import InputError

OBJECTS, TENSORS = "objects.json", "tensors.safetensors"
_KIND = "recbole-navigen checkpoint"
_DTYPES = frozenset(
    {
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.uint16,
        torch.uint32,
        torch.uint64,
    }
    | {torch.float16, torch.bfloat16, torch.float32, torch.float64}
)
# SciPy format -> the format its arrays are stored in.
_SPARSE_VIA = {"csr": "csr", "csc": "csc", "bsr": "csr", "coo": "coo", "lil": "csr", "dok": "coo", "dia": "coo"}


def save_checkpoint(directory: str | Path, **objects: object) -> None:
    """Write objects into one directory, all or nothing.

    Args:
        directory: the checkpoint; an older one is replaced.
        objects: nests of dict (keys str, int, float, bool or None), OrderedDict, list, tuple, Tensor, ndarray of
            numbers, SciPy sparse matrices, numbers, str, bool and None.

    Raises:
        TypeError: naming the place of a value of another type.

    What comes back equals what went in, with three differences: tensors are on the CPU and detached, overlapping views
    come back as separate tensors (identical ones are stored once), and NumPy scalars come back as Python numbers.
    """
    tensors: dict[str, Tensor] = {}
    names: dict[tuple, str] = {}
    objects_json = json.dumps(_encode(objects, "", tensors, names))
    with atomic_directory(directory, {"kind": _KIND}) as temporary:
        (temporary / OBJECTS).write_text(objects_json, encoding="utf-8")
        save_file(tensors, temporary / TENSORS)


def load_checkpoint(directory: str | Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote.

    Raises:
        InputError: there is no such checkpoint, or it is something else, such as a pickle of stock RecBole.
        DamagedArtefact: a file is missing, cut short or changed.
    """
    directory = Path(directory)
    if directory.is_file():
        raise InputError(
            f"{directory} is a file, and checkpoints are folders; RecBole's own .pth pickles are never read"
        )
    if not restore(directory):
        raise InputError(f"there is no checkpoint {directory.absolute()}; train with saved=True or name another")
    if verify_manifest(directory)["inputs"].get("kind") != _KIND:
        raise InputError(
            f"{directory} is another kind of artefact, not a checkpoint; name the folder `checkpoint` of a run"
        )
    tensors = load_file(directory / TENSORS)
    return _decode(json.loads((directory / OBJECTS).read_text(encoding="utf-8")), tensors)


def _encode(value: object, place: str, tensors: dict[str, Tensor], names: dict[tuple, str]) -> Any:
    """Return the JSON form of a value: itself, or a dict of one tag; tensors are put into `tensors`.

    Args:
        value: any part of the nest.
        place: where it stands, for tensors' names and messages, e.g. "optimizer.state.0.exp_avg".
        tensors: name -> tensor, filled here.
        names: memory layout of a stored tensor -> its name, so that tied weights are stored once.
    """

    def encode(part: object, key: object) -> Any:
        return _encode(part, f"{place}.{key}" if place else str(key), tensors, names)

    def store(tensor: Tensor) -> str:
        # A copy of its own, because safetensors refuses tensors that share memory.
        name = f"{len(tensors)}.{place}"
        tensors[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        return name

    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, Tensor):
        if value.layout != torch.strided or value.dtype not in _DTYPES:
            raise TypeError(f"{place} is a {value.layout} tensor of {value.dtype}, which a checkpoint cannot hold")
        layout = (value.untyped_storage().data_ptr(), value.storage_offset(), value.shape, value.stride(), value.dtype)
        if value.numel() == 0 or layout not in names:
            names[layout] = store(value)
        return {"tensor": names[layout]}
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf" or value.itemsize > 8:
            raise TypeError(f"{place} is an array of {value.dtype}, which a checkpoint cannot hold; store it as a list")
        return {"ndarray": store(torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("="), order="C")))}
    if scipy.sparse.issparse(value):
        stored = value.asformat(_SPARSE_VIA[value.format])
        arrays = ("row", "col", "data") if stored.format == "coo" else ("indptr", "indices", "data")
        parts = {name: encode(getattr(stored, name), name) for name in arrays}
        array = isinstance(value, scipy.sparse.sparray)
        return {"sparse": {"format": value.format, "array": array, "shape": list(value.shape), **parts}}
    if isinstance(value, dict):
        for key in value:
            if not (key is None or isinstance(key, bool | int | float | str)):
                raise TypeError(f"{place} has a key of type {type(key).__name__}, which a checkpoint cannot hold")
        pairs = [[encode(key, "key"), encode(entry, key)] for key, entry in value.items()]
        return {"ordered" if isinstance(value, OrderedDict) else "dict": pairs}
    if isinstance(value, list | tuple):
        tag = "list" if isinstance(value, list) else "tuple"
        return {tag: [encode(entry, index) for index, entry in enumerate(value)]}
    raise TypeError(
        f"{place} is a {type(value).__name__}, which a checkpoint cannot hold; store plain values or arrays"
    )


def _decode(value: object, tensors: dict[str, Tensor]) -> Any:
    """Undo `_encode`."""
    if not isinstance(value, dict):
        return value
    ((tag, body),) = value.items()
    if tag in ("dict", "ordered"):
        pairs = ((_decode(key, tensors), _decode(entry, tensors)) for key, entry in body)
        return dict(pairs) if tag == "dict" else OrderedDict(pairs)
    if tag in ("list", "tuple"):
        entries = [_decode(entry, tensors) for entry in body]
        return entries if tag == "list" else tuple(entries)
    if tag == "tensor":
        return tensors[body]
    if tag == "ndarray":
        return tensors[body].numpy()
    if tag == "float":
        return float(body)
    via = _SPARSE_VIA[body["format"]]
    maker = getattr(scipy.sparse, f"{via}_{'array' if body['array'] else 'matrix'}")
    if via == "coo":
        row, col, data = (_decode(body[name], tensors) for name in ("row", "col", "data"))
        matrix = maker((data, (row, col)), shape=tuple(body["shape"]))
    else:
        data, indices, indptr = (_decode(body[name], tensors) for name in ("data", "indices", "indptr"))
        matrix = maker((data, indices, indptr), shape=tuple(body["shape"]))
    return matrix.asformat(body["format"])


def take_state(model: nn.Module, state: dict[str, Any], directory: str | Path) -> None:
    """Put what a checkpoint holds into a model: its weights, and what it keeps beside them.

    Args:
        model: of the same settings and data. state: as `load_checkpoint` reads it. directory: of the checkpoint.
    """
    try:
        model.load_state_dict(state["state_dict"])
    except RuntimeError as error:
        raise InputError(
            f"the checkpoint {directory} does not fit the model: it was trained with other settings or data "
            f"({str(error).splitlines()[-1].strip()})"
        ) from error
    other, device = state["other_parameter"].items(), model.device
    other = {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in other}
    model.load_other_parameter(other)
