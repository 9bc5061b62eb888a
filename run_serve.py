"""Serve a finished run over HTTP: `python run_serve.py --run=saved/RUN`, see `--help`."""

import sys

from recbole_navigen.cli.serve import serve

if __name__ == "__main__":
    sys.exit(serve())
