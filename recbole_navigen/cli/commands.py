"""What the commands share, and the commands `navigen-compare`, `navigen-generate` and `navigen-hyper` (`python
run_compare.py`, `python run_generate.py`, `python run_hyper.py`).

Only the standard library is imported before the arguments are parsed, so that `--help` answers at once.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from recbole_navigen import __version__
from recbole_navigen.cli.arguments import CommandLine
from recbole_navigen.errors import DamagedArtefact, InputError, machine_trouble
from recbole_navigen.interruption import Terminated, heed, interruptible
from recbole_navigen.language.tags import DRAFTS, DRAWS, TEMPERATURE, TOP_P
from recbole_navigen.processes import size
from recbole_navigen.redaction import hide

COMPARE_EPILOG = """\
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
GENERATE_EPILOG = """\
The run is the newest finished one of these settings; without one, it is trained first, as run_navigen would:
  %(prog)s --dataset=ml-100k --users=5
  %(prog)s --dataset=ml-100k --users=196,186 --media=video --temperature=0 --output=instructions
  %(prog)s --run=saved/NaviGen-ml-100k-... --users=all --output=instructions
--output writes DIR/instructions.jsonl, one user a line, DIR/result.json and DIR/report.html. --held_out scores the
instructions against the items that were kept out, beside simple writers. With a model, media are made, and scored too:
  %(prog)s --users=50 --held_out --output=DIR --image_model=FOLDER_OR_HUB_ID --clip_model=FOLDER_OR_HUB_ID
Instructions that are written, and perhaps edited, are made into media by any model:
  %(prog)s --instructions=DIR/instructions.jsonl --output=OTHER --image_model=FOLDER_OR_HUB_ID
All settings of media: properties/generation.yaml.
"""
HYPER_EPILOG = """\
Any setting may be given as --key=value, for all trials:
  %(prog)s --dataset=ml-100k --n_trials=20
  %(prog)s --model=SASRec --train_rows=user --epochs=30 --n_trials=50 --pruner=hyperband
  %(prog)s --model=LightGCN --params_file=hyper.test --sampler=grid
  %(prog)s --n_trials=40 --sampler=nsga2              (valid metric against test users per second)
Workers share a study by its storage; start the same command as often as you like, on any machine that reaches it:
  %(prog)s --n_trials=100 --storage=sqlite:///sweep.db
  %(prog)s --n_trials=100 --storage=journal:sweep.log
  %(prog)s --n_trials=100 --storage=postgresql+psycopg://USER@HOST/DATABASE
The report goes to saved/hyper-MODEL-DATASET-TIME/ or --output: best.yaml, trials.csv, sweep.html and plots.
"""


def command_line(name: str, usage: str, description: str, epilog: str) -> CommandLine:
    """Return a parser with the arguments that all commands have; what it does not know is a setting."""
    commands = CommandLine(
        prog=name,
        usage=usage,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands.add_argument("--dataset", "-d", help="name of the data set (default: ml-100k, which needs no download)")
    commands.add_argument(
        "--config_files", nargs="+", action="extend", default=[], metavar="FILE", help="yaml files, later ones win"
    )
    commands.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands.add_argument("--version", action="version", version=f"recbole-navigen {__version__}")
    return commands


def exit_code(run: Callable[[], int], argv: Sequence[str] | None) -> int:
    """Run a command; bad input, damaged artefacts, a full disk and Ctrl-C become one line on standard error.

    Args:
        run: the command. argv: its arguments, None for those of the process; `--debug` shows the traceback too.

    Returns:
        What the command returns, 2 on bad input or where the machine does not let it write, 1 on a damaged artefact,
        130 on Ctrl-C, 143 after SIGTERM and, without a word, 141 where nobody reads the output any more (`| head`), as
        a shell counts.
    """
    debug = "--debug" in (sys.argv if argv is None else argv)
    threading.excepthook = _quiet_on_trouble
    try:
        with interruptible():
            code = run()
            heed()
        sys.stdout.flush()
        return code
    except Terminated as error:
        sentence = "ended by SIGTERM; what is finished is kept, the same command goes on from it"
        return _said(error, sentence, 128 + signal.SIGTERM, debug)
    except (InputError, DamagedArtefact) as error:
        return _said(error, str(error), 2 if isinstance(error, InputError) else 1, debug)
    except KeyboardInterrupt as error:
        return _said(
            error, "interrupted; what was finished is whole, and the same command goes on from there", 130, debug
        )
    except BrokenPipeError:
        # Python flushes its streams once more when it ends.
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                with contextlib.suppress(OSError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return 141
    except Exception as error:
        if (trouble := machine_trouble(error)) is None:  # a fault of ours, shown whole but for secrets
            print(hide(traceback.format_exc()), end="", file=sys.stderr)
            return 1
        return _said(error, trouble, 2, debug)


def _said(error: BaseException, sentence: str, code: int, debug: bool) -> int:
    if debug:
        print(hide("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    print(f"error: {hide(' '.join(sentence.split()))}", file=sys.stderr)
    return code


def _quiet_on_trouble(error: Any) -> None:
    """What becomes of an error in another thread: what the main thread meets too, and says in words, is not shown."""
    if error.exc_value is None or machine_trouble(error.exc_value) is None:
        threading.__excepthook__(error)


def refuse_torchrun(command: str) -> None:
    """Refuse a command that `torchrun` has started several times over."""
    if size() > 1:
        raise InputError(
            f"{command} was started by torchrun as {size()} processes; start it once. torchrun is for run_navigen.py"
        )


def split_files(names: Sequence[str]) -> list[str]:
    """Read `--config_files a.yaml b.yaml` and RecBole's `--config_files "a.yaml b.yaml"` alike."""
    return [file for name in names for file in ([name] if Path(name).exists() else name.split())]


def compare_parser() -> CommandLine:
    """Return the parser of `navigen-compare`."""
    commands = command_line(
        "run_compare",
        "%(prog)s [-h] [--models NAME,NAME] [--dataset DATASET] [--seeds N] [--config_files FILE ...] "
        "[--runs DIR ...] [--debug] [--key=value ...]",
        "Train models on identical splits over several seeds and compare them user by user.",
        COMPARE_EPILOG,
    )
    commands.add_argument("--models", "-m", help="names of models or of entries of the section `models`, with commas")
    commands.add_argument("--seeds", metavar="N", help="how many, from the seed of the settings on, or [7,9]")
    commands.add_argument("--runs", nargs="+", metavar="DIR", help="compare these finished runs, train nothing")
    return commands


def compare(argv: Sequence[str] | None = None) -> int:
    """Run `navigen-compare`.

    Args:
        argv: arguments without the program's name; None takes those of the process.

    Returns:
        0 on success, 1 if a run failed, otherwise see `exit_code`.
    """

    def run() -> int:
        arguments, settings = compare_parser().split(argv)
        refuse_torchrun("run_compare.py")
        from recbole_navigen.config.entries import gather_entries
        from recbole_navigen.config.reading import expanded, parse_value

        if arguments.runs:
            if arguments.models or arguments.dataset or arguments.seeds or arguments.config_files:
                raise InputError(
                    "--runs compares finished runs; leave out --models, --dataset, --seeds and --config_files"
                )
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

    return exit_code(run, argv)


def generate_parser() -> CommandLine:
    """Return the parser of `navigen-generate`."""
    commands = command_line(
        "run_generate",
        "%(prog)s [-h] [--users N] [--output DIR] [--run DIR] [--instructions FILE] [--media image|video|mixed] "
        "[--held_out] [--no-think] [--temperature T] [--top_p P] [--drafts N] [--dataset DATASET] "
        "[--config_files FILE ...] [--debug] [--key=value ...]",
        "Write a personal instruction for an image or video model for each of some users.",
        GENERATE_EPILOG,
    )
    commands.add_argument("--users", metavar="N", help="how many, or raw ids with commas, or all (default: 5)")
    commands.add_argument("--output", metavar="DIR", help="where to write instructions.jsonl, result.json, report.html")
    commands.add_argument("--run", metavar="DIR", help="a finished run of NaviGen, saved/RUN; it gets a writer")
    commands.add_argument("--instructions", metavar="FILE", help="make media of the instructions in this file")
    commands.add_argument("--media", default="image", choices=("image", "video", "mixed"), help="what is to be made")
    commands.add_argument("--held_out", action="store_true", help="keep each user's last item out, to score against it")
    commands.add_argument("--no-think", dest="think", action="store_false", help="answer without reasoning")
    commands.add_argument(
        "--temperature",
        type=float,
        default=TEMPERATURE,
        metavar="T",
        help="0: most probable words; 1: draw (%(default)s)",
    )
    commands.add_argument(
        "--top_p", type=float, default=TOP_P, metavar="P", help="draw among words that hold this share (%(default)s)"
    )
    commands.add_argument(
        "--drafts", type=int, default=DRAFTS, metavar="N", help="write N instructions and keep the best (%(default)s)"
    )
    commands.add_argument("--sampling_seed", type=int, default=0, metavar="S", help="of the draws")
    return commands


def generate(argv: Sequence[str] | None = None) -> int:
    """Run `navigen-generate`.

    Args:
        argv: arguments without the program's name; None takes those of the process.

    Returns:
        0 on success, otherwise see `exit_code`.
    """

    def run() -> int:
        arguments, settings = generate_parser().split(argv)
        refuse_torchrun("run_generate.py")
        from recbole_navigen.config.calls import checked
        from recbole_navigen.config.given import gather
        from recbole_navigen.generation.settings import generation_settings, refuse_absent, split_generation

        if arguments.run and (arguments.dataset or arguments.config_files):
            raise InputError("--run names a finished run; leave out --dataset and --config_files")
        own, others = split_generation(settings)  # before torch is imported
        refuse_absent(generation_settings(own))
        for name in ("temperature", "top_p", "drafts"):
            checked(name, DRAWS[name], getattr(arguments, name))
        if not arguments.run and not arguments.instructions:
            gather("NaviGen", arguments.dataset, split_files(arguments.config_files), argv=others)
        from recbole_navigen.quick_start.generate import run_generate

        run_generate(
            arguments.dataset,
            split_files(arguments.config_files),
            argv=settings,
            users=arguments.users,
            output=arguments.output,
            run=arguments.run,
            media=arguments.media,
            think=arguments.think,
            temperature=arguments.temperature,
            top_p=arguments.top_p,
            drafts=arguments.drafts,
            seed=arguments.sampling_seed,
            held_out=arguments.held_out,
            instructions=arguments.instructions,
        )
        return 0

    return exit_code(run, argv)


def hyper_parser() -> CommandLine:
    """Return the parser of `navigen-hyper`."""
    commands = command_line(
        "run_hyper",
        "%(prog)s [-h] [--model MODEL] [--dataset DATASET] [--params_file FILE] [--n_trials N] [--storage STORAGE] "
        "[--sampler NAME] [--pruner NAME] [--output DIR] [--config_files FILE ...] [--debug] [--key=value ...]",
        "Search the settings of a model that make its valid_metric best.",
        HYPER_EPILOG,
    )
    commands.add_argument("--model", "-m", help="name of the model: NaviGen (default), SASRec, LightGCN, ...")
    commands.add_argument("--params_file", metavar="FILE", help="search space, default properties/sweep/MODEL.yaml")
    commands.add_argument("--n_trials", type=int, default=20, metavar="N", help="of all workers together (default: 20)")
    commands.add_argument("--storage", help="where the study is kept: journal:FILE or a database's URL; default memory")
    commands.add_argument("--study", metavar="NAME", help="of the study in its storage (default: MODEL-DATASET)")
    commands.add_argument("--sampler", default="tpe", help="tpe (default), random, grid, cmaes or nsga2")
    commands.add_argument("--pruner", default="median", help="median (default), hyperband, halving or none")
    commands.add_argument("--output", metavar="DIR", help="where the report is written")
    commands.add_argument("--heartbeat", type=int, default=30, metavar="S", help="seconds between signs of life")
    return commands


def hyper(argv: Sequence[str] | None = None) -> int:
    """Run `navigen-hyper`.

    Args:
        argv: arguments without the program's name; None takes those of the process.

    Returns:
        0 on success, 1 if no trial succeeded, otherwise see `exit_code`.
    """

    def run() -> int:
        arguments, settings = hyper_parser().split(argv)
        refuse_torchrun("run_hyper.py")
        from recbole_navigen.config.given import gather
        from recbole_navigen.tuning.search_space import read_space, refuse_bad_values, shipped_space

        given = gather(arguments.model, arguments.dataset, split_files(arguments.config_files), argv=settings)
        file = arguments.params_file or shipped_space(given.model)
        refuse_bad_values(read_space(file), given.described, str(file))  # before torch is imported
        from recbole_navigen.quick_start.hyper import run_hyper

        result = run_hyper(
            arguments.model,
            arguments.dataset,
            arguments.params_file,
            arguments.n_trials,
            split_files(arguments.config_files),
            argv=settings,
            storage=arguments.storage,
            study=arguments.study,
            sampler=arguments.sampler,
            pruner=arguments.pruner,
            output=arguments.output,
            heartbeat=arguments.heartbeat,
        )
        return int(result["best"] is None)

    return exit_code(run, argv)
