"""The command `navigen-fairness`, `python run_fairness.py`.

Only the standard library is imported before the arguments are parsed, so that `--help` answers at once.
"""

from collections.abc import Sequence

from recbole_navigen.cli.command_line import CommandLine
from recbole_navigen.cli.shared import bare_arguments, bare_command_line, command

EPILOG = """\
Who gets what from a finished run of any model: exposure and NDCG by thirds of popularity and by groups of users:
  %(prog)s --run=saved/NaviGen-ml-100k-... --columns=gender,age --output=fairness
And what instructions of NaviGen show beside what their users chose:
  %(prog)s --run=saved/NaviGen-ml-100k-... --instructions=made/instructions.jsonl
"""


def parser() -> CommandLine:
    """Return the parser of `navigen-fairness`."""
    commands = bare_command_line(
        "run_fairness",
        "%(prog)s [-h] --run DIR [--columns NAMES] [--instructions FILE] [--n_users N] [--k K] [--output DIR] "
        "[--device DEVICE] [--debug]",
        "Report exposure, quality and diversity by groups of items and users.",
        EPILOG,
    )
    commands.add_argument("--run", metavar="DIR", required=True, help="a finished run of any model")
    commands.add_argument("--columns", metavar="NAMES", default="", help="columns of the user file, with commas")
    commands.add_argument("--instructions", metavar="FILE", help="instructions.jsonl of run_generate")
    commands.add_argument("--n_users", type=int, metavar="N", help="how many users, in the order of the data (all)")
    commands.add_argument("--k", type=int, default=10, help="items a user (default: %(default)s)")
    commands.add_argument("--output", metavar="DIR", help="where to write fairness.html and fairness.json")
    commands.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    commands.add_argument("--no-progress", action="store_false", dest="show_progress", help="show no bar")
    return commands


@command
def fairness(argv: Sequence[str] | None = None) -> None:
    """Run `navigen-fairness`."""
    arguments = bare_arguments(parser(), argv)
    arguments["columns"] = [name.strip() for name in arguments["columns"].split(",") if name.strip()]
    from recbole_navigen.runs.layout import refuse_unfinished

    refuse_unfinished(arguments["run"])  # before torch is imported
    from recbole_navigen.quick_start.fairness_report import run_fairness

    run_fairness(**arguments)
