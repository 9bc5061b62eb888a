"""Faces of rooms: names are imported when they are asked for, and the garbage collector is left as it was."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recbole_navigen.faces import face

MODULE = "import gc\nenabled = gc.isenabled()\n"


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with one module that notes whether the collector ran while it was imported, and one that fails."""
    folder = tmp_path / "a_room"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "inside.py").write_text(MODULE)
    (folder / "broken.py").write_text("raise ImportError('broken')\n")
    monkeypatch.syspath_prepend(tmp_path)
    was = gc.isenabled()
    yield "a_room"
    (gc.enable if was else gc.disable)()
    for name in [name for name in sys.modules if name.partition(".")[0] == "a_room"]:
        del sys.modules[name]


def test_the_collector_pauses_for_an_import_and_goes_on(room: str) -> None:
    attribute, names, _ = face(room, {"inside": "enabled", "broken": "nothing"})
    gc.enable()
    assert attribute("enabled") is False and gc.isenabled() and names() == ["enabled", "nothing"]
    with pytest.raises(ImportError, match="broken"):
        attribute("nothing")
    assert gc.isenabled() and gc.get_freeze_count() == 0


def test_a_collector_that_is_off_stays_off(room: str) -> None:
    attribute, _, _ = face(room, {"inside": "enabled"})
    gc.disable()
    assert attribute("enabled") is False and not gc.isenabled()


def test_what_the_user_froze_stays_frozen(room: str) -> None:
    attribute, _, _ = face(room, {"inside": "enabled"})
    gc.enable()
    gc.freeze()
    try:
        attribute("enabled")
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
