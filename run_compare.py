"""Compare models: `python run_compare.py --dataset=ml-100k --models=Pop,SASRec,NaviGen --seeds=3`, see `--help`."""

import sys

from recbole_navigen.cli.compare import compare

if __name__ == "__main__":
    sys.exit(compare())
