"""The command `navigen-feedback`, `python run_feedback.py`.

Only the standard library is imported before the arguments are parsed, so that `--help` answers at once.
"""

from collections.abc import Sequence

from recbole_navigen.cli.command_line import CommandLine
from recbole_navigen.cli.shared import bare_arguments, bare_command_line, command

EPILOG = """\
What a user says of an image or video that run_generate made in DIR, kept in DIR/feedback.jsonl:
  %(prog)s DIR keep 196
  %(prog)s DIR edit 196 --instruction="the same street at night, in the rain"
  %(prog)s DIR discard 186 --media=video
The buttons of DIR/report.html save a file, which is read by
  %(prog)s DIR --page=page-feedback.jsonl
The writer of the run learns from all of it, and keeps that only where users it did not learn from agree:
  %(prog)s DIR learn --run=saved/NaviGen-ml-100k-...
The next run_generate --feedback=DIR/feedback.jsonl lets what was kept and edited join the user's preferences.
"""


def parser() -> CommandLine:
    """Return the parser of `navigen-feedback`."""
    commands = bare_command_line(
        "run_feedback",
        "%(prog)s [-h] DIR (keep|edit|discard USER [--instruction TEXT] [--media image|video] | --page FILE | "
        "learn --run DIR [--steps N]) [--debug]",
        "Say what became of a user's image or video: kept, edited or discarded.",
        EPILOG,
    )
    commands.add_argument("folder", metavar="DIR", help="folder of run_generate, with metadata.jsonl")
    commands.add_argument("verdict", metavar="keep|edit|discard|learn", nargs="?", help="what the user did with it")
    commands.add_argument("user", metavar="USER", nargs="?", help="raw id of the user")
    commands.add_argument("--instruction", metavar="TEXT", help="of an edit: what should have been made")
    commands.add_argument("--media", choices=("image", "video"), help="which one, where the user has both")
    commands.add_argument("--page", metavar="FILE", help="what the buttons of the page saved")
    commands.add_argument("--run", metavar="DIR", help="with learn: the run whose writer learns, saved/RUN")
    commands.add_argument("--steps", type=int, metavar="N", help="with learn: steps of training")
    return commands


@command
def feedback(argv: Sequence[str] | None = None) -> None:
    """Run `navigen-feedback`."""
    arguments = bare_arguments(parser(), argv)
    from recbole_navigen.errors import InputError
    from recbole_navigen.generation.feedback_file import FEEDBACK, add_feedback, add_page_feedback
    from recbole_navigen.visible import visible

    page, run, steps = (arguments.pop(name) for name in ("page", "run", "steps"))
    where = f"in {arguments['folder']}/{FEEDBACK}"
    if (arguments["verdict"] == "learn") != (run is not None) or (steps is not None and run is None):
        raise InputError(
            "a writer learns by `DIR learn --run=saved/RUN`; give both or neither, and --steps only there."
        )
    if run is not None:
        if any(arguments[name] is not None for name in ("user", "instruction", "media")) or page is not None:
            raise InputError("learn reads all that was said in the folder; leave out what is of one user.")
        from recbole_navigen.runs.layout import refuse_unfinished

        refuse_unfinished(run)
        from recbole_navigen.quick_start.learn import run_learn

        run_learn(arguments["folder"], run, steps)
        return
    if page is not None:
        if any(arguments[name] is not None for name in ("verdict", "user", "instruction", "media")):
            raise InputError("a page says who and what by itself; leave verdict and user out beside --page.")
        count = len(add_page_feedback(arguments["folder"], page))
        print(visible(f"{count} new line{'' if count == 1 else 's'} {where}"))
        return
    if arguments["user"] is None:
        raise InputError("navigen-feedback needs a verdict and a user, such as keep 196; or --page=FILE.")
    line = add_feedback(**arguments)
    print(visible(f"{line['verdict']}: the {line['media']} of user {line['user']}, {where}"))
