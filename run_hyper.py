"""Search a model's settings: `python run_hyper.py --dataset=ml-100k --n_trials=20`, see `--help`."""

import sys

from recbole_navigen.cli.hyper import hyper

if __name__ == "__main__":
    sys.exit(hyper())
