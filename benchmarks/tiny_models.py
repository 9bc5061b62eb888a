"""Train the small models of the tiny world (`worlds/tiny_models.py`) and save them as Hugging Face folders.

python benchmarks/tiny_models.py FOLDER
"""

import argparse
import json

from worlds.tiny_models import build

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the tiny world's CLIP, image and video models.")
    parser.add_argument("folder")
    print(json.dumps(build(parser.parse_args().folder), indent=2))
