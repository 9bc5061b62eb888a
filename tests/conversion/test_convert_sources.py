"""Archives and streams: what is whole is read alike, what is cut off is refused, whatever it is packed in."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from recbole_navigen.cli.convert import convert
from recbole_navigen.conversion import archives as sources
from recbole_navigen.conversion.archives import find_files, natural
from recbole_navigen.errors import InputError

RATINGS = "".join(
    f"{user}::{item}::5::{978300760 + 60 * item}\n" for user in range(9) for item in range(user, user + 5)
)
MOVIES = "".join(f"{item}::Tale {item} (1995)::Drama|War\n" for item in range(20))


def tar(mode: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        for name, text in (("ml-1m/ratings.dat", RATINGS), ("ml-1m/movies.dat", MOVIES), ("ml-1m/README", "words")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return data.getvalue()


def zipped() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/ml-1m/._ratings.dat", "not this")
        archive.writestr("ml-1m/ratings.dat.gz", gzip.compress(RATINGS.encode()))
        archive.writestr("ml-1m/movies.dat", MOVIES)
    return data.getvalue()


def zst(data: bytes) -> bytes:
    """Two frames, one behind the other, as parallel writers make them."""
    codec = pa.Codec("zstd")
    return b"".join(codec.compress(part, asbytes=True) for part in (data[:100], data[100:]))


ARCHIVES = {
    "zip": zipped,
    "tar": lambda: tar("w"),
    "tar.gz": lambda: tar("w:gz"),
    "tar.bz2": lambda: tar("w:bz2"),
    "tar.xz": lambda: tar("w:xz"),
    "tar.zst": lambda: zst(tar("w")),
}
STREAMS = {"": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zst}


@pytest.fixture
def expected(own_folder: Path) -> dict[str, bytes]:
    (own_folder / "plain").mkdir()
    (own_folder / "plain" / "ratings.dat").write_text(RATINGS)
    (own_folder / "plain" / "movies.dat").write_text(MOVIES)
    assert convert(["ml-1m", "plain", "--name=plain"]) == 0
    return atomic("plain")


def atomic(name: str) -> dict[str, bytes]:
    folder = Path("dataset") / name
    return {suffix: (folder / f"{name}{suffix}").read_bytes() for suffix in (".inter", ".item")}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_is_read_as_it_is(kind: str, expected: dict[str, bytes], own_folder: Path) -> None:
    (own_folder / f"ml-1m.{kind}").write_bytes(ARCHIVES[kind]())
    assert convert(["ml-1m", f"ml-1m.{kind}", "--name=packed"]) == 0
    assert atomic("packed") == expected


@pytest.mark.parametrize("kind", STREAMS)
def test_what_a_file_is_its_first_bytes_say(kind: str, expected: dict[str, bytes], own_folder: Path) -> None:
    (own_folder / "ratings.dat.wrong").write_bytes(STREAMS[kind](RATINGS.encode()))
    (own_folder / "movies.dat").write_bytes(STREAMS[kind](MOVIES.encode()))
    (own_folder / "ratings.dat.wrong").rename(own_folder / "ratings.dat")
    assert convert(["ml-1m", "ratings.dat", "movies.dat", "--name=packed"]) == 0
    assert atomic("packed") == expected


def refused(path: Path) -> bool:
    """Whether reading all of a file, and of the archive it is, ends in an InputError."""
    try:
        for file in find_files([path]):
            with file.open() as stream:
                while stream.read(1 << 16):
                    pass
    except InputError as error:
        assert path.name in str(error)
        return True
    return False


@pytest.mark.parametrize("library", ["isal", "standard"])
def test_a_gz_cut_at_any_byte_is_refused(library: str, own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if library == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setattr(sources, "_GZIP", gzip.GzipFile)
    whole = gzip.compress(RATINGS.encode())
    path = own_folder / "ratings.dat.gz"
    path.write_bytes(whole)
    assert not refused(path)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert refused(path), size


@pytest.mark.parametrize("kind", [*STREAMS, *ARCHIVES])
def test_what_is_cut_off_is_refused(kind: str, own_folder: Path) -> None:
    if not kind:
        pytest.skip("a plain file ends where it ends")
    whole = ARCHIVES[kind]() if kind in ARCHIVES else STREAMS[kind](RATINGS.encode())
    path = own_folder / f"packed.{kind}"
    path.write_bytes(whole)
    assert not refused(path)
    end = len(whole.rstrip(b"\0")) + 1 if kind == "tar" else len(whole)  # of a tar, zeros at the end are padding
    for size in sorted({*range(0, end, max(end // 60, 1)), 8, 12, end - 1}):
        path.write_bytes(whole[:size])
        assert refused(path), size


def test_a_gz_with_a_flipped_bit_is_refused(own_folder: Path) -> None:
    whole = bytearray(gzip.compress(RATINGS.encode()))
    for place in range(20, len(whole), 37):
        damaged = whole.copy()
        damaged[place] ^= 4
        (own_folder / "ratings.dat.gz").write_bytes(damaged)
        assert refused(own_folder / "ratings.dat.gz"), place


def test_a_cut_off_download_leaves_nothing_behind(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own_folder / "ratings.dat.gz").write_bytes(gzip.compress(RATINGS.encode())[:-9])
    assert convert(["ml-1m", "ratings.dat.gz", "--name=cut", "--bad_lines=skip"]) == 2
    assert "the download is not whole" in capsys.readouterr().err
    assert [file.name for file in own_folder.iterdir()] == ["ratings.dat.gz"]


def test_a_folder_with_several_downloads_is_refused(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("Books", "Games"):
        (own_folder / f"{name}.jsonl").write_text('{"user_id": "a", "parent_asin": "b", "timestamp": 1600000000000}\n')
    assert convert(["amazon2023", ".", "--name=both"]) == 2
    said = capsys.readouterr().err
    assert "Books.jsonl" in said and "Games.jsonl" in said and "name those that are meant" in said
    assert convert(["amazon2023", "Books.jsonl", "Games.jsonl", "--name=both"]) == 0


def test_files_with_other_names_are_known_by_their_content(own_folder: Path) -> None:
    (own_folder / "a.txt").write_text(
        '{"user_id": "a", "parent_asin": "b", "rating": 5.0, "timestamp": 1600000000000}\n'
    )
    (own_folder / "b.txt").write_text('{"parent_asin": "b", "title": "Kite", "store": null, "categories": []}\n')
    assert convert(["amazon2023", "b.txt", "a.txt", "--name=renamed"]) == 0
    assert "b\tKite" in (own_folder / "dataset" / "renamed" / "renamed.item").read_text()


def test_parts_come_in_order_of_their_numbers() -> None:
    assert sorted(["part10", "part9", "part", "part9b"], key=natural) == ["part", "part9", "part9b", "part10"]


def test_text_that_was_saved_as_utf8_since_is_read_so(own_folder: Path) -> None:
    (own_folder / "ratings.dat").write_text("1::1::5::978300760\n")
    (own_folder / "movies.dat").write_text("1::Été (1998)::Drama\n", encoding="utf-8")
    assert convert(["ml-1m", ".", "--name=saved"]) == 0
    assert "1\tÉté\t1998" in (own_folder / "dataset" / "saved" / "saved.item").read_text(encoding="utf-8")
