"""The command `navigen-compare`, `python run_compare.py`.

Only the standard library is imported before the arguments are parsed, so that `--help` answers at once.
"""

from collections.abc import Sequence

from recbole_navigen.cli.command_line import CommandLine
from recbole_navigen.cli.shared import command, command_line, refuse_torchrun, split_files
from recbole_navigen.errors import InputError

EPILOG = """\
Any setting may be given as --key=value, for all models that know it:
  %(prog)s --dataset=ml-100k --models=Pop,ItemKNN,LightGCN,GRU4Rec,SASRec,NaviGen --seeds=3
  %(prog)s --dataset=mine --data_path=/data --models=SASRec,NaviGen --epochs=20 --topk=[10,50]
  %(prog)s --dataset=ml-100k --config_files variants.yaml
  %(prog)s --runs saved/SASRec-ml-100k-... saved/NaviGen-ml-100k-...
A config file may give single models settings of their own, and name variants of one model:
  models:
    SASRec: {train_rows: user, epochs: 50}
    "SASRec (prefix rows)": {model: SASRec}
Runs go to saved/MODEL-DATASET-TIME/ and are found again: a comparison that was stopped goes on where it stood.
The comparison goes to saved/compare-DATASET-TIME/: report.html, table.md, table.tex, table.csv, comparison.json.
"""


def parser() -> CommandLine:
    """Return the parser of `navigen-compare`."""
    commands = command_line(
        "run_compare",
        "%(prog)s [-h] [--models NAME,NAME] [--dataset DATASET] [--seeds N] [--config_files FILE ...] "
        "[--runs DIR ...] [--debug] [--key=value ...]",
        "Train models on identical splits over several seeds and compare them user by user.",
        EPILOG,
    )
    commands.add_argument("--models", "-m", help="names of models or of entries of the section `models`, with commas")
    commands.add_argument("--seeds", metavar="N", help="how many, from the seed of the settings on, or [7,9]")
    commands.add_argument("--runs", nargs="+", metavar="DIR", help="compare these finished runs, train nothing")
    return commands


@command
def compare(argv: Sequence[str] | None = None) -> int:
    """Run `navigen-compare`; 1 if a run failed."""
    arguments, settings = parser().split(argv)
    refuse_torchrun("run_compare.py")
    from recbole_navigen.config.entries import gather_entries
    from recbole_navigen.config.reading import expanded, parse_value

    if arguments.runs:
        if arguments.models or arguments.dataset or arguments.seeds or arguments.config_files:
            raise InputError("--runs compares finished runs; leave out --models, --dataset, --seeds and --config_files")
        from recbole_navigen.quick_start.compare import compare_runs

        return int(compare_runs(list(map(expanded, arguments.runs)), settings)["failed"] > 0)
    models = [name.strip() for name in arguments.models.split(",")] if arguments.models else None
    seeds = parse_value("seeds", arguments.seeds) if arguments.seeds else 1
    if isinstance(seeds, bool) or not isinstance(seeds, int | list):
        raise InputError(f"--seeds={arguments.seeds} is neither a number of seeds nor a list such as [2020,2025]")
    files = split_files(arguments.config_files)
    gather_entries(models, arguments.dataset, files, {}, settings)  # before torch is imported
    from recbole_navigen.quick_start.compare import run_compare

    return int(run_compare(models, arguments.dataset, seeds, files, argv=settings)["failed"] > 0)
