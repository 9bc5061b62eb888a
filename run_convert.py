"""Turn a downloaded data set into atomic files: `python run_convert.py ml-1m ml-1m.zip --name=ml-1m`, see `--help`."""

import sys

from recbole_navigen.cli.convert import convert

if __name__ == "__main__":
    sys.exit(convert())
