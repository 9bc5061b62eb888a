"""Report who gets what from a finished run: `python run_fairness.py --run=DIR`, see `--help`."""

import sys

from recbole_navigen.cli.fairness import fairness

if __name__ == "__main__":
    sys.exit(fairness())
