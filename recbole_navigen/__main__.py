"""The command: `navigen`, `python -m recbole_navigen` and `python run_navigen.py` are the same.

Only the standard library is imported before the arguments are parsed, so that `--help` answers at once.
"""

import sys
from collections.abc import Sequence

from recbole_navigen.cli.command_line import CommandLine
from recbole_navigen.cli.shared import command, command_line, split_files

EPILOG = """\
Any setting of properties/overall.yaml, properties/model/MODEL.yaml or RecBole may be given as --key=value:
  %(prog)s --dataset=ml-100k
  %(prog)s --model=SASRec --epochs=20 --topk=[5,10]
  %(prog)s --dataset=mine --data_path=/data --config_files mine.yaml
Results, checkpoint and settings go to saved/MODEL-DATASET-TIME/, the log to log/MODEL/.
"""


def parser() -> CommandLine:
    """Return the parser of the named arguments; everything else is a setting."""
    commands = command_line(
        "run_navigen",
        "%(prog)s [-h] [--model MODEL] [--dataset DATASET] [--config_files FILE ...] [--debug] [--key=value ...]",
        "Train and test NaviGen, or any model of RecBole, on a data set of atomic files.",
        EPILOG,
    )
    commands.add_argument("--model", "-m", help="name of the model: NaviGen (default), SASRec, LightGCN, Pop, ...")
    return commands


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    arguments, settings = parser().split(argv)
    files = split_files(arguments.config_files)
    from recbole_navigen.config.given import gather

    gather(arguments.model, arguments.dataset, files, argv=settings)  # before torch is imported
    from recbole_navigen.quick_start.run import run_navigen

    run_navigen(arguments.model, arguments.dataset, files, argv=settings)


if __name__ == "__main__":
    sys.exit(main())
