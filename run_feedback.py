"""Say what became of a user's image or video: `python run_feedback.py DIR keep USER`, see `--help`."""

import sys

from recbole_navigen.cli.feedback import feedback

if __name__ == "__main__":
    sys.exit(feedback())
