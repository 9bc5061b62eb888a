"""Write personal instructions for an image or video model: `python run_generate.py --dataset=ml-100k`, see `--help`."""

import sys

from recbole_navigen.cli.generate import generate

if __name__ == "__main__":
    sys.exit(generate())
