"""Train and test NaviGen or a baseline: `python run_navigen.py --dataset=ml-100k`, see `--help`."""

import sys

from recbole_navigen.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
