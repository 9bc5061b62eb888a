"""From a download to a run: atomic files, settings and a report out of the files that researchers download.

    navigen-convert amazon2023 Video_Games.jsonl.gz meta_Video_Games.jsonl.gz --name=games --core=5

`sources` opens files and archives, `layouts` reads their records, `formats` says what they mean, `ingest` turns rows
into numbers, `reduce` drops duplicates and takes the core, `describe` reads items and users, `write` and `report`
write. Nothing here imports torch or RecBole, and only the standard library is imported before a conversion begins.
"""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__, {"convert_source": "convert", "spec": "Format Field Interactions Attributes", "options": "Options"}
)
