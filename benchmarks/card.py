"""README's picture: what the first users of the tiny world had, what NaviGen asked for, what was made of it, what came.

    python benchmarks/generation.py --data_path=FOLDER && python benchmarks/card.py FOLDER

The users are the first ones of the file, whoever they are. Writes docs/images/tiny-world.png.
"""

import argparse
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from recbole_navigen.generation.records import FILE, read_records
from worlds import tiny_navigen

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "tiny-world.png"
USERS, LAST = 3, 5  # rows, and items of a history that are shown


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, help="of generation.py")
    folder = parser.parse_args(argv).folder
    records = read_records(folder / "instructions" / "image" / FILE)[:USERS]
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(USERS, LAST + 2, figsize=(9.5, 1.7 * USERS), layout="constrained", squeeze=False)
    for record, row in zip(records, rows, strict=True):
        had = [folder / tiny_navigen.DATASET / "images" / f"{item}.png" for item in record.history[-LAST:]]
        came = folder / tiny_navigen.DATASET / "images" / f"{record.target}.png"
        shown = folder / "media" / "NaviGen" / "images" / f"{record.user}.png"
        for axes, file in zip(row, [*had, shown, came], strict=True):
            axes.imshow(np.asarray(Image.open(file)), interpolation="nearest")
            axes.set_axis_off()
        row[LAST].set_title(textwrap.fill(record.instruction, 24), fontsize=7)
    for place, heading in ((0, f"the last {LAST} of the history"), (LAST + 1, "what came next")):
        rows[0, place].set_title(heading, fontsize=7, loc="left", style="italic")
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
