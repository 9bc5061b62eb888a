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
The next run_generate --feedback=DIR/feedback.jsonl lets the terms of kept media join the user's preferences.
"""


def parser() -> CommandLine:
    """Return the parser of `navigen-feedback`."""
    commands = bare_command_line(
        "run_feedback",
        "%(prog)s [-h] DIR keep|edit|discard USER [--instruction TEXT] [--media image|video] [--debug]",
        "Say what became of a user's image or video: kept, edited or discarded.",
        EPILOG,
    )
    commands.add_argument("folder", metavar="DIR", help="folder of run_generate, with metadata.jsonl")
    commands.add_argument("verdict", metavar="keep|edit|discard", help="what the user did with it")
    commands.add_argument("user", metavar="USER", help="raw id of the user")
    commands.add_argument("--instruction", metavar="TEXT", help="of an edit: what should have been made")
    commands.add_argument("--media", choices=("image", "video"), help="which one, where the user has both")
    return commands


@command
def feedback(argv: Sequence[str] | None = None) -> None:
    """Run `navigen-feedback`."""
    given = bare_arguments(parser(), argv)
    from recbole_navigen.generation.feedback_file import FEEDBACK, add_feedback
    from recbole_navigen.visible import visible

    line = add_feedback(**given)
    print(visible(f"{line['verdict']}: the {line['media']} of user {line['user']}, in {given['folder']}/{FEEDBACK}"))
