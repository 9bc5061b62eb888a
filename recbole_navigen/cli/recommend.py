"""The command `navigen-recommend`, `python run_recommend.py`.

Only the standard library is imported before the arguments are parsed, so that `--help` answers at once.
"""

from collections.abc import Sequence

from recbole_navigen.cli.command_line import CommandLine
from recbole_navigen.cli.shared import bare_arguments, bare_command_line, command

EPILOG = """\
A finished run of any model, NaviGen or RecBole's, recommends to users of its data set:
  %(prog)s --run=saved/SASRec-ml-100k-... --k=10 --n_users=5
  %(prog)s --run=saved/NaviGen-ml-100k-... --k=20 --users=196,186
  %(prog)s --run=saved/NaviGen-ml-100k-... --k=20 --users=all --output=top20.parquet
Somebody new says what they like, and so may users beside their histories (NaviGen only):
  %(prog)s --run=saved/NaviGen-ml-100k-... --preferences="slow noir, 1950s, not horror"
  %(prog)s --run=saved/NaviGen-ml-100k-... --preferences="comedy:2, not war" --users=196
Or they are asked, three questions whose answers tell the most:
  %(prog)s --run=saved/NaviGen-ml-100k-... --ask=3
The file has one line for each item of each user: user, rank, item, title, score. Its ending says how it is written:
.parquet, .csv or .jsonl. The same command goes on with a file that was not finished.
"""


def parser() -> CommandLine:
    """Return the parser of `navigen-recommend`."""
    commands = bare_command_line(
        "run_recommend",
        "%(prog)s [-h] --run DIR [--users all|FILE|IDS] [--n_users N] [--k K] [--output FILE] "
        "[--exclude_history | --include_history] [--held_out] [--preferences TEXT] "
        "[--ask N [--about terms|items]] "
        "[--batch_size N] [--device DEVICE] [--debug]",
        "Recommend items to users of a finished run: printed, or as a file.",
        EPILOG,
    )
    commands.add_argument("--run", metavar="DIR", required=True, help="a finished run of any model, or a saved model")
    commands.add_argument("--users", metavar="WHO", help="all, a file with one raw id a line, or raw ids with commas")
    commands.add_argument("--n_users", type=int, metavar="N", help="how many users, in the order of the data")
    commands.add_argument("--k", type=int, default=10, help="items a user (default: %(default)s)")
    commands.add_argument("--output", metavar="FILE", help="FILE.parquet, FILE.csv or FILE.jsonl; without it, printed")
    hide = commands.add_mutually_exclusive_group()
    hide.add_argument(
        "--exclude_history",
        action="store_true",
        default=None,
        help="leave out what a user had (default: as the run was tested)",
    )
    hide.add_argument("--include_history", action="store_false", dest="exclude_history", help="leave nothing out")
    commands.add_argument(
        "--held_out", action="store_true", help="recommend before each user's last item, as the test did"
    )
    commands.add_argument(
        "--preferences",
        metavar="TEXT",
        help="what is liked, with commas: 'noir, 1950s, not horror'; 'noir:2' asks for a list of it; without users: of "
        "somebody new",
    )
    commands.add_argument("--ask", type=int, metavar="N", help="ask so many questions first, of one user or a new one")
    commands.add_argument("--about", default="terms", help="what is asked for: terms, or pairs of items (%(default)s)")
    commands.add_argument("--batch_size", type=int, default=256, metavar="N", help="users at once (%(default)s)")
    commands.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    commands.add_argument("--no-progress", action="store_false", dest="show_progress", help="show no bar")
    return commands


@command
def recommend(argv: Sequence[str] | None = None) -> None:
    """Run `navigen-recommend`."""
    arguments = bare_arguments(parser(), argv)
    from recbole_navigen.config.raw_ids import asked_users
    from recbole_navigen.runs.layout import is_saved_model, refuse_unfinished

    if not is_saved_model(arguments["run"]):
        refuse_unfinished(arguments["run"])
    asked_users(arguments["users"], arguments["n_users"])  # before torch is imported
    from recbole_navigen.quick_start.recommend import run_recommend

    run_recommend(**arguments)
