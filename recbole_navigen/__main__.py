"""The command: `navigen`, `python -m recbole_navigen` and `python run_navigen.py` are the same.

Only the standard library is imported before the arguments are parsed, so that `--help` answers at once.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from recbole_navigen import __version__
from recbole_navigen.errors import DamagedArtefact, InputError

EPILOG = """\
Any setting of properties/overall.yaml, properties/model/MODEL.yaml or RecBole may be given as --key=value:
  %(prog)s --dataset=ml-100k
  %(prog)s --model=SASRec --epochs=20 --topk=[5,10]
  %(prog)s --dataset=mine --data_path=/data --config_files mine.yaml
Results, checkpoint and settings go to saved/MODEL-DATASET-TIME/, the log to log/MODEL/.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the named arguments; everything else is a setting."""
    commands = argparse.ArgumentParser(
        prog="run_navigen",
        usage="%(prog)s [-h] [--model MODEL] [--dataset DATASET] [--config_files FILE ...] [--debug] [--key=value ...]",
        description="Train and test NaviGen, or any model of RecBole, on a data set of atomic files.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands.add_argument("--model", "-m", help="name of the model: NaviGen (default), SASRec, LightGCN, Pop, ...")
    commands.add_argument("--dataset", "-d", help="name of the data set (default: ml-100k, which needs no download)")
    commands.add_argument("--config_files", nargs="+", default=[], metavar="FILE", help="yaml files, later ones win")
    commands.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands.add_argument("--version", action="version", version=f"recbole-navigen {__version__}")
    return commands


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; None takes those of the process.

    Returns:
        0 on success, 2 on bad input, 1 on a damaged artefact.
    """
    arguments, settings = parser().parse_known_args(argv)
    try:
        from recbole_navigen.quick_start.run import run_navigen

        run_navigen(arguments.model, arguments.dataset, split_files(arguments.config_files), argv=settings)
    except (InputError, DamagedArtefact) as error:
        if arguments.debug:
            traceback.print_exc()
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    return 0


def split_files(names: Sequence[str]) -> list[str]:
    """Read `--config_files a.yaml b.yaml` and RecBole's `--config_files "a.yaml b.yaml"` alike."""
    return [file for name in names for file in ([name] if Path(name).exists() else name.split())]


if __name__ == "__main__":
    sys.exit(main())
