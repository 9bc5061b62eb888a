"""Folders of finished runs, changed for a test."""

from pathlib import Path

from recbole_navigen.artefacts import read_record, write_record


def change(folder: Path, **values: object) -> None:
    """Rewrite some of a run's result.json."""
    write_record(folder / "result.json", {**read_record(folder / "result.json"), **values})
