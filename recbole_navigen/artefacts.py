"""Artefacts on disk: content hashes, atomic writes, records and manifests. NumPy and the standard library only.

A stage writes its files into an `atomic_directory`, which closes them with a manifest, and asks `stage_is_current` on
the next run whether the work can be skipped (`work.Stage` does both). A reader therefore sees a whole artefact or none.
A single file of facts is a record, which holds a checksum of its own.
"""

import contextlib
import errno
import hashlib
import json
import logging
import math
import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recbole_navigen.errors import DamagedArtefact
from recbole_navigen.leftovers import NEW, OLD, beside, older_versions, remove_leftovers
from recbole_navigen.redaction import hide_known

MANIFEST = "manifest.json"
CHECKSUM = "checksum"  # key of a record
FORMAT_VERSION = 1

logger = logging.getLogger(__name__)


def content_hash(*parts: object) -> str:
    """Name a value by its content.

    Args:
        parts: None, bool, int, float, str, bytes, NumPy arrays and scalars, and dicts, lists and tuples of these.

    Returns:
        The sha256 of all parts in order, 64 hexadecimal digits. The same on every machine and in every process.

    A list equals a tuple of the same values and a dict does not depend on its order, as in JSON. An array counts with
    its type and shape. Every value is written with its kind and length, so ("ab", "c") and ("a", "bc") differ.
    """
    digest = hashlib.sha256()
    _feed(digest, parts)
    return digest.hexdigest()


def _feed(digest: "hashlib._Hash", value: object) -> None:
    """Write one value into the digest as: kind, length of the body, body."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("content_hash takes arrays of numbers, booleans or fixed-width strings, not object arrays")
        # Little-endian and C order, so that the bytes are a function of the values alone.
        little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        _header(digest, b"a", f"{little.dtype.str}{value.shape}".encode())
        digest.update(little.view(np.uint8).data if little.size else b"")
    elif isinstance(value, dict):
        keyed = sorted(((content_hash(key), key) for key in value), key=lambda pair: pair[0])
        _header(digest, b"d", str(len(keyed)).encode())
        for _, key in keyed:
            _feed(digest, key)
            _feed(digest, value[key])
    elif isinstance(value, list | tuple):
        _header(digest, b"l", str(len(value)).encode())
        for entry in value:
            _feed(digest, entry)
    elif value is None:
        _header(digest, b"n", b"")
    elif isinstance(value, bool):
        _header(digest, b"b", b"1" if value else b"0")
    elif isinstance(value, int):
        _header(digest, b"i", str(value).encode())
    elif isinstance(value, float):
        _header(digest, b"f", b"nan" if math.isnan(value) else struct.pack("<d", value))
    elif isinstance(value, str):
        _header(digest, b"s", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, bytes | bytearray):
        _header(digest, b"y", bytes(value))
    else:
        raise TypeError(f"content_hash cannot name a {type(value).__name__}; give it plain values or arrays")


def _header(digest: "hashlib._Hash", kind: bytes, body: bytes) -> None:
    digest.update(kind + struct.pack("<Q", len(body)) + body)


def file_hash(path: str | os.PathLike) -> str:
    """Return the sha256 of a file's bytes, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain(value: object) -> Any:
    """Turn a nest of dicts, lists, tuples, arrays and NumPy scalars into what JSON holds (keys become strings)."""
    if isinstance(value, dict):
        return {str(plain(key)): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    return value


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike, inputs: dict | None = None) -> Iterator[Path]:
    """Fill a directory that appears under its name only when it is complete.

    Args:
        path: the directory to make; an older one is replaced. Its parents are made.
        inputs: what it is computed from, in plain values, for the manifest that closes it; None: it gets none.

    Yields:
        A temporary directory beside `path`. It is synced and renamed when the block ends, removed when it raises.

    Replacing takes two renames. A process killed between them leaves the older directory beside its place, where
    `verify_manifest` finds it and puts it back.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    temporary = beside(path, NEW)
    temporary.mkdir()
    replaced = []
    try:
        yield temporary
        if inputs is not None:
            _write_manifest(temporary, inputs)
        for folder, _, names in os.walk(temporary):
            for name in names:
                _sync(Path(folder, name))
            _sync(Path(folder))
        # Two processes may write the same artefact: whoever comes second moves the first one's away and tries again.
        while True:
            try:
                os.rename(temporary, path)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            aside = beside(path, OLD)
            with contextlib.suppress(FileNotFoundError):
                os.rename(path, aside)
                replaced.append(aside)
        _sync(path.parent)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        restore(path)
        _name_file(error, path)
        raise
    for aside in replaced:
        shutil.rmtree(aside, ignore_errors=True)


def restore(path: Path) -> bool:
    """Put back the newest version that an interrupted replacement left beside `path`, when `path` is missing. True if
    there is one now.
    """
    if path.exists():
        return True
    if candidates := older_versions(path):
        with contextlib.suppress(OSError):
            os.rename(candidates[-1], path)
    return path.exists()


def _name_file(error: BaseException, path: Path) -> None:
    """Have an error of writing say which artefact it was: by itself that of a full disk says nothing."""
    if getattr(error, "filename", None) is None:
        error.filename = str(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write one file, all or nothing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path, NEW)
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        _name_file(error, path)
        raise
    _sync(path.parent)


def write_json(path: str | os.PathLike, value: object) -> None:
    """Write a value as JSON, all or nothing, without the secrets of settings that were read. NumPy scalars and arrays
    become plain numbers and lists.
    """
    write_bytes(path, (json.dumps(hide_known(plain(value)), indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: str | os.PathLike, remedy: str = "delete it and run again") -> Any:
    """Read a JSON file; what is not JSON is a DamagedArtefact, whose message ends with the `remedy`."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no JSON, no text, a number without end, brackets without end
        raise DamagedArtefact(f"{path} is damaged: it is not valid JSON ({error}); {remedy}") from error


def write_record(path: str | os.PathLike, value: Mapping[str, Any]) -> None:
    """Write facts as JSON with a checksum of them, all or nothing; a checksum of what they were before is dropped."""
    value = {key: entry for key, entry in plain(value).items() if key != CHECKSUM}
    write_json(path, {**value, CHECKSUM: content_hash(value)})


def read_record(path: str | os.PathLike, remedy: str = "delete it and run again") -> dict[str, Any]:
    """Read what `write_record` wrote; anything else is a DamagedArtefact, whose message ends with the `remedy`."""
    value = read_json(path, remedy)
    checksum = value.pop(CHECKSUM, None) if isinstance(value, dict) else None
    with contextlib.suppress(RecursionError):
        if checksum is not None and checksum == content_hash(value):
            return value
    raise DamagedArtefact(f"{path} is damaged: its checksum does not fit; {remedy}")


def _write_manifest(directory: Path, inputs: dict) -> None:
    """Close an artefact: record the size and sha256 of each of its files."""
    files = {
        file.relative_to(directory).as_posix(): {"size": file.stat().st_size, "sha256": file_hash(file)}
        for file in sorted(directory.rglob("*"))
        if file.is_file() and file != directory / MANIFEST
    }
    write_record(directory / MANIFEST, {"format": FORMAT_VERSION, "inputs": hide_known(plain(inputs)), "files": files})


def verify_manifest(directory: str | os.PathLike) -> dict:
    """Check each file of an artefact against its manifest.

    Returns:
        The manifest: `format`, `inputs` and `files` (name -> size and sha256).

    Raises:
        DamagedArtefact: naming the file that is missing, cut short or changed. Files it does not list are ignored.
    """
    directory = Path(directory)
    restore(directory)
    path = directory / MANIFEST
    if not path.is_file():
        raise DamagedArtefact(f"{path} is missing, so {directory} is not a complete artefact; run its stage again")
    manifest = read_record(path, f"delete {directory} and run again")
    if manifest.get("format") != FORMAT_VERSION:
        raise DamagedArtefact(
            f"{path} has format {manifest.get('format')} and this version reads format {FORMAT_VERSION}; "
            f"delete {directory} and run again"
        )
    for name, entry in manifest["files"].items():
        file = directory / name
        if not file.is_file():
            raise DamagedArtefact(f"{file} is missing; delete {directory} and run again")
        if file.stat().st_size != entry["size"]:
            raise DamagedArtefact(
                f"{file} is damaged: {file.stat().st_size} bytes instead of {entry['size']}; "
                f"delete {directory} and run again"
            )
        if file_hash(file) != entry["sha256"]:
            raise DamagedArtefact(f"{file} is damaged: its content changed; delete {directory} and run again")
    return manifest


def stage_is_current(directory: str | os.PathLike, inputs: dict) -> bool:
    """True if the artefact is whole and was computed from these inputs, so that its stage may be skipped.

    A damaged artefact counts as not current, with a warning in the log: the caller builds it again.
    """
    if not restore(Path(directory)):
        return False
    try:
        return verify_manifest(directory)["inputs"] == hide_known(plain(inputs))
    except DamagedArtefact as error:
        logger.warning("%s; building it again", error)
        return False
