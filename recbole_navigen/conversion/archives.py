"""Files as they were downloaded: plain, gz, bz2, xz, zst, in a zip, tar or folder. Nothing is unpacked to disk.

What a file is, its first bytes say, not its name. A stream that ends before its end is an InputError, whatever it is
made of.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from recbole_navigen.errors import InputError

try:
    from isal import igzip, isal_zlib

    _GZIP, _GZIP_ERRORS = igzip.GzipFile, (isal_zlib.error,)
except ImportError:
    _GZIP, _GZIP_ERRORS = gzip.GzipFile, ()

_BROKEN = (EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, *_GZIP_ERRORS)
_SUFFIX = re.compile(r"\.(?:gz|gzip|bz2|xz|zst|zstd)$", re.IGNORECASE)
_ARCHIVE = re.compile(r"\.(?:zip|tar|tgz|tbz2?|txz|tar\.\w+)$", re.IGNORECASE)
_MAGIC = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"PK\x03\x04")  # gz, bz2, xz, zst, zip
_HEAD = 512
_TAR_END = 1024  # zero bytes that end every tar file


class _Guarded(io.RawIOBase):
    """A stream whose troubles are named: what is cut off or damaged raises an InputError that says which file."""

    def __init__(self, stream: IO[bytes], label: str, seen: Callable[[int], None] | None = None):
        self._stream, self._label, self._seen = stream, label, seen

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._stream.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:
        with named(self._label):
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        if self._seen:
            self._seen(len(data))
        return len(data)


@contextlib.contextmanager
def named(label: str) -> Iterator[None]:
    """Turn what decompressors and archives raise into one sentence about the file."""
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:  # zipfile, of passwords and methods it does not know
        raise InputError(f"{label} cannot be read: {error}; unpack it and name the file inside") from error
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, gzip.BadGzipFile):
            raise
        words = str(error) or type(error).__name__
        raise InputError(
            f"{label} is cut off or damaged ({words}): the download is not whole; get it again, no part of it is used"
        ) from error


def _opened(stream: IO[bytes], label: str) -> io.BufferedReader:
    """A readable stream, decompressed if its first bytes say that it is compressed."""
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream, 1 << 18)
    head = buffered.peek(_HEAD)[:8]
    if 0 < len(head) < 6 and any(magic.startswith(head) for magic in _MAGIC):
        raise InputError(f"{label} is cut off after {len(head)} bytes: the download is not whole; get it again")
    if head.startswith(_MAGIC[0]):
        inner: Any = _GZIP(fileobj=buffered, mode="rb")
    elif head.startswith(_MAGIC[1]):
        inner = bz2.BZ2File(buffered)
    elif head.startswith(_MAGIC[2]):
        inner = lzma.LZMAFile(buffered)  # noqa: SIM115
    elif head.startswith(_MAGIC[3]):
        import pyarrow

        inner = pyarrow.CompressedInputStream(pyarrow.PythonFile(buffered, mode="r"), "zstd")
    else:
        return buffered
    return io.BufferedReader(_Guarded(inner, label), 1 << 20)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file to read.

    Attributes:
        path: of the file or archive on disk. member: its name inside the archive, None for a plain file.
        named: whether the user named this very file, not the folder or archive it lies in.
        size: compressed bytes, for the progress bar.
    """

    path: Path
    member: str | None
    named: bool
    size: int

    @property
    def label(self) -> str:
        """The name of the file in messages."""
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"

    @property
    def name(self) -> str:
        """Its name without folders and without the suffix of a compression."""
        base = (self.member or self.path.name).replace("\\", "/").rpartition("/")[2]
        return _SUFFIX.sub("", base)

    @contextlib.contextmanager
    def open(self, seen: Callable[[int], None] | None = None) -> Iterator[BinaryIO]:
        """Read the file from its start, decompressed; `seen` hears how many bytes were read from disk."""
        with open(self.path, "rb") as raw, contextlib.ExitStack() as stack:
            if self.path.stat().st_size == 0:
                raise InputError(f"{self.path} is empty: the download is not whole; get it again")
            outer = io.BufferedReader(_Guarded(raw, str(self.path), seen), 1 << 18)
            if self.member is None:
                yield _opened(outer, self.label)
            elif outer.peek(4)[:4] == _MAGIC[4]:
                with named(str(self.path)):
                    archive = stack.enter_context(zipfile.ZipFile(outer))
                    member = stack.enter_context(archive.open(self.member))
                yield _opened(_Guarded(member, self.label), self.label)
            else:
                stream = _opened(outer, str(self.path))
                archive = stack.enter_context(tarfile.open(fileobj=stream, mode="r|"))
                entry = next(entry for entry in archive if entry.name == self.member)
                yield _opened(_Guarded(archive.extractfile(entry), self.label), self.label)


class _Tail:
    """A stream that remembers its last bytes: a tar file whose end is missing is known by them."""

    def __init__(self, stream: IO[bytes]):
        self._stream, self.last = stream, b""

    def read(self, count: int) -> bytes:
        data = self._stream.read(count)
        self.last = (self.last + data)[-_TAR_END:]
        return data


def _members(path: Path) -> list[tuple[str, int]] | None:
    """Names and sizes of the files in an archive; None if the file is no archive."""
    with open(path, "rb") as raw:
        outer = io.BufferedReader(_Guarded(raw, str(path)))
        if outer.peek(4)[:4] == _MAGIC[4]:
            with named(str(path)), zipfile.ZipFile(outer) as archive:
                return [(entry.filename, entry.compress_size) for entry in archive.infolist() if not entry.is_dir()]
        if not outer.peek(1):
            return None
        stream = _opened(outer, str(path))
        if stream.peek(_HEAD)[257:262] != b"ustar":
            return None
        # Read through to its end once, so that a cut-off archive is refused before anything of it is used.
        tail = _Tail(stream)
        with named(str(path)), tarfile.open(fileobj=tail, mode="r|") as archive:
            entries = [(entry.name, entry.size) for entry in archive if entry.isreg()]
        while tail.read(1 << 20):
            pass
        if tail.last.strip(b"\0") or len(tail.last) < _TAR_END:
            raise InputError(f"{path} is cut off: its end is missing, so the download is not whole; get it again")
        return entries


def natural(text: str) -> list[tuple[int, str]]:
    """A sort key that puts `part2` before `part10`."""
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", text) if piece]


def _hidden(name: str) -> bool:
    pieces = name.replace("\\", "/").split("/")
    return any(piece.startswith((".", "__MACOSX")) and piece not in (".", "..") for piece in pieces)


def find_files(paths: Sequence[str | Path]) -> list[SourceFile]:
    """Every file that the given paths hold, in the order given; inside folders and archives in natural order of names.

    Args:
        paths: files, archives and folders.
    """
    files: list[SourceFile] = []
    for given in paths:
        path = Path(given).expanduser()
        if path.is_dir():
            inner = [file for file in path.rglob("*") if file.is_file() and not _hidden(str(file.relative_to(path)))]
            for file in sorted(inner, key=lambda file: natural(str(file.relative_to(path)))):
                files += _expanded(file, is_named=False)
        elif path.is_file():
            files += _expanded(path, is_named=True)
        else:
            raise InputError(f"there is no file or folder {path.absolute()}; name what you downloaded")
    if not files:
        raise InputError(f"{' and '.join(map(str, paths))} holds no file; name what you downloaded")
    return files


def _expanded(path: Path, is_named: bool) -> list[SourceFile]:
    members = None
    is_archive = _ARCHIVE.search(path.name) is not None
    if is_named or is_archive:
        members = _members(path)
    if is_archive and members is None:
        raise InputError(f"{path} is no archive, as its name says: the download is not whole; get it again")
    if members is None:
        return [SourceFile(path, None, is_named, path.stat().st_size)]
    inside = sorted((m for m in members if not _hidden(m[0])), key=lambda member: natural(member[0]))
    return [SourceFile(path, name, False, size) for name, size in inside]
