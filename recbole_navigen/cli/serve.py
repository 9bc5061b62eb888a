"""The command `navigen-serve`, `python run_serve.py`.

Only the standard library is imported before the arguments are parsed, so that `--help` answers at once.
"""

from collections.abc import Sequence

from recbole_navigen.cli.command_line import CommandLine
from recbole_navigen.cli.shared import bare_arguments, bare_command_line, command

EPILOG = """\
A finished run of any model answers over HTTP until SIGTERM or Ctrl-C; requests under way are answered first:
  %(prog)s --run=saved/NaviGen-ml-100k-... --port=8000
  curl -s localhost:8000/recommend -H 'Content-Type: application/json' -d '{"history": ["50", "181"], "k": 5}'
  curl -s localhost:8000/instruct -H 'Content-Type: application/json' -d '{"user": "196", "media": "image"}'
With --feedback=DIR users may also say what became of the media that run_generate made in DIR, and it counts at once:
  curl -s localhost:8000/feedback -H 'Content-Type: application/json' -d '{"user": "196", "verdict": "keep"}'
The page /docs describes the requests. There is no login: let others in through a proxy that has one.
"""


def parser() -> CommandLine:
    """Return the parser of `navigen-serve`."""
    commands = bare_command_line(
        "run_serve",
        "%(prog)s [-h] --run DIR [--host HOST] [--port PORT] [--device DEVICE] [--max_history N] [--max_k N] "
        "[--feedback DIR] [--max_batch N] [--max_waiting N] [--graceful_seconds S] [--check] [--debug]",
        "Serve recommendations and instructions of a finished run over HTTP.",
        EPILOG,
    )
    commands.add_argument("--run", metavar="DIR", required=True, help="a finished run of any model, saved/RUN")
    commands.add_argument("--host", default="127.0.0.1", help="where to listen; 0.0.0.0 for other machines, too")
    commands.add_argument("--port", type=int, default=8000, help="0 for a free one (default: %(default)s)")
    commands.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    for name, default, text in (
        ("max_history", 1000, "items of a history in a request"),
        ("max_k", 1000, "items that a request may ask for"),
        ("max_batch", 64, "requests that are answered together"),
        ("max_waiting", 512, "requests that may wait; more get status 503"),
        ("graceful_seconds", 0, "how long the last requests have after SIGTERM; 0: as long as it takes"),
    ):
        commands.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{text} (%(default)s)")
    commands.add_argument(
        "--feedback", metavar="DIR", help="folder of run_generate: /feedback takes what users say of its media"
    )
    commands.add_argument("--check", action="store_true", help="load the run, listen, and end")
    return commands


@command
def serve(argv: Sequence[str] | None = None) -> None:
    """Run `navigen-serve`."""
    arguments = bare_arguments(parser(), argv)
    from recbole_navigen.runs.layout import refuse_unfinished

    refuse_unfinished(arguments["run"])  # before torch is imported
    from recbole_navigen.quick_start.serve import run_serve

    run_serve(**arguments)
