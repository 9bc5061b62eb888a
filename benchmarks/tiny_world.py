"""Write the recommendation data set of the tiny world (`worlds/tiny_world.py`), as atomic files with pictures.

python benchmarks/tiny_world.py FOLDER [--users=32000] [--items=2200]
"""

import argparse
from pathlib import Path

from worlds.tiny_world import write_data

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the tiny world's recommendation data set.")
    parser.add_argument("folder")
    parser.add_argument("--users", type=int, default=32_000)
    parser.add_argument("--items", type=int, default=2200)
    arguments = parser.parse_args()
    written = write_data(arguments.folder, arguments.users, items=arguments.items)
    print(f"{len(written)} items and {arguments.users} users are in {Path(arguments.folder) / 'tiny-world'}")
