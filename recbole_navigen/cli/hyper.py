"""The command `navigen-hyper`, `python run_hyper.py`.

Only the standard library is imported before the arguments are parsed, so that `--help` answers at once.
"""

from collections.abc import Sequence

from recbole_navigen.cli.command_line import CommandLine
from recbole_navigen.cli.shared import by_name, command, command_line, refuse_torchrun, split_files

EPILOG = """\
Any setting may be given as --key=value, for all trials:
  %(prog)s --dataset=ml-100k --n_trials=20 --confirm=3
  %(prog)s --model=SASRec --train_rows=user --epochs=30 --n_trials=50 --pruner=hyperband
  %(prog)s --model=LightGCN --params_file=hyper.test --sampler=grid
  %(prog)s --n_trials=40 --sampler=nsga2              (valid metric against test users per second)
Workers share a study by its storage; start the same command as often as you like, on any machine that reaches it:
  %(prog)s --n_trials=100 --storage=sqlite:///sweep.db
  %(prog)s --n_trials=100 --storage=journal:sweep.log
  %(prog)s --n_trials=100 --storage=postgresql+psycopg://USER@HOST/DATABASE
The report goes to saved/hyper-MODEL-DATASET-TIME/ or --output: best.yaml, trials.csv, sweep.html and plots.
"""


def parser() -> CommandLine:
    """Return the parser of `navigen-hyper`."""
    commands = command_line(
        "run_hyper",
        "%(prog)s [-h] [--model MODEL] [--dataset DATASET] [--params_file FILE] [--n_trials N] [--storage STORAGE] "
        "[--sampler NAME] [--pruner NAME] [--confirm N] [--output DIR] [--config_files FILE ...] [--debug] "
        "[--key=value ...]",
        "Search the settings of a model that make its valid_metric best.",
        EPILOG,
    )
    commands.add_argument("--model", "-m", help="name of the model: NaviGen (default), SASRec, LightGCN, ...")
    commands.add_argument("--params_file", metavar="FILE", help="search space, default properties/sweep/MODEL.yaml")
    commands.add_argument("--n_trials", type=int, default=20, metavar="N", help="of all workers together (default: 20)")
    commands.add_argument("--max_seconds", type=float, metavar="S", help="of all trials, after which no new one begins")
    commands.add_argument("--storage", help="where the study is kept: journal:FILE or a database's URL; default memory")
    commands.add_argument("--study", metavar="NAME", help="of the study in its storage (default: MODEL-DATASET)")
    commands.add_argument("--sampler", default="tpe", help="tpe (default), random, grid, cmaes or nsga2")
    commands.add_argument("--pruner", default="median", help="median (default), hyperband, halving or none")
    commands.add_argument("--output", metavar="DIR", help="where the report is written")
    commands.add_argument(
        "--confirm", type=int, default=0, metavar="N", help="run the best trial and the default on N other seeds, too"
    )
    commands.add_argument("--heartbeat", type=int, default=30, metavar="S", help="seconds between signs of life")
    return commands


@command
def hyper(argv: Sequence[str] | None = None) -> int:
    """Run `navigen-hyper`; 1 if no trial succeeded."""
    arguments, settings = parser().split(argv)
    files = split_files(arguments.config_files)
    refuse_torchrun("run_hyper.py")
    from recbole_navigen.config.given import gather
    from recbole_navigen.tuning.search_space import read_space, refuse_bad_values, shipped_space

    given = gather(arguments.model, arguments.dataset, files, argv=settings)
    file = arguments.params_file or shipped_space(given.model)
    refuse_bad_values(read_space(file), given.described, str(file))  # before torch is imported
    from recbole_navigen.quick_start.hyper import run_hyper

    result = run_hyper(config_file_list=files, argv=settings, **by_name(arguments))
    return int(result["best"] is None)
