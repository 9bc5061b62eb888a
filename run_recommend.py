"""Recommend with a finished run of any model: `python run_recommend.py --run=saved/RUN --n_users=5`, see `--help`."""

import sys

from recbole_navigen.cli.recommend import recommend

if __name__ == "__main__":
    sys.exit(recommend())
