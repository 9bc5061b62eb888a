"""Bad inputs for all commands and the Python API: each must end in one sentence, before anything is trained.

    python benchmarks/bad_inputs.py [--only=KIND] [--show] [--share=0.1 --seed=7] [--list]

Kinds are generated: from the description of the settings, from tables of faults, from the files that a run leaves, from
the signatures of the Python API. Each input is tried in a process of its own, forked from one that has imported
everything, in a working directory of its own. Where training, writing or drawing would begin, the input counts as
accepted; one that should not have been is tried a second time without that end, to see what becomes of it. A sample
goes through the real commands. Good inputs stand beside the bad ones: they must be accepted and mean what they say.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from bad_input_kinds import all_inputs
from bad_input_world import Input, World, build
from common import Bar, write_results

ROOT = Path(__file__).parent.parent
COMMANDS = {"navigen": "run_navigen", "compare": "run_compare", "hyper": "run_hyper", "generate": "run_generate"}
LONGEST = 400  # characters of a sentence
PATIENCE, PATIENCE_AFTER = 60, 90  # seconds until an input counts as hung, without and with training
SAMPLE = 6  # inputs of each command that go through the real one
FAULTS = ("traceback", "hung", "accepted", "late", "vague", "refused", "changed")
_PATHS = re.compile(r"(/[\w.~+-]+){3,}")


class WorkBegins(BaseException):
    """What would take long begins here. Not an `Exception`, so that nobody catches it."""


@dataclass(slots=True)
class Seen:
    """What was seen of an accepted input: the settings of its run (see `Config`), and what its call returned."""

    configs: list[Any] = field(default_factory=list)
    result: Any = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an input.

    Attributes:
        how: sentence, damaged, accepted, crash or hung. sentence: the message, or the error's last line.
        began: the work that had begun before, if any. lines: of standard error. seconds: it took.
    """

    how: str
    sentence: str = ""
    began: str = ""
    lines: tuple[str, ...] = ()
    seconds: float = 0.0


@contextlib.contextmanager
def observed(seen: Seen, began: list[str], stops: bool, writing: bool) -> Iterator[None]:
    """Note where work begins, writing too where it counts as work, and end there if it `stops`; note runs' settings."""
    import recbole_navigen.quick_start.recommender as recommender
    from recbole_navigen.config import Config
    from recbole_navigen.quick_start.run import run_navigen
    from recbole_navigen.quick_start.separate import RunFailed, SeparateRuns
    from recbole_navigen.quick_start.stages import Stages

    stage, write, construct = Stages.__call__, recommender.written_drafts, Config.__init__

    def begin(name: str) -> None:
        began.append(name)
        if stops:
            raise WorkBegins(name)

    def noted_stage(self: Stages, name: str) -> Any:
        if name != "data":
            begin(name)
        return stage(self, name)

    def noted_writing(*arguments: Any) -> Any:
        if writing:
            begin("instructions")
        return write(*arguments)

    def noted_settings(self: Config, *arguments: Any, **named: Any) -> None:
        construct(self, *arguments, **named)
        seen.configs.append(self)

    def run_here(self: SeparateRuns, model: str, dataset: str, settings: dict, progress: Any, judge: Any = None) -> str:
        callback = None if judge is None else lambda epoch, score: judge(epoch, score)
        try:
            return run_navigen(model, dataset, config_dict=settings, callback=callback)["run_dir"]
        except Exception as error:
            raise RunFailed(str(error), traceback.format_exc()) from error

    with (
        mock.patch.object(Stages, "__call__", noted_stage),
        mock.patch.object(recommender, "written_drafts", noted_writing),
        mock.patch.object(Config, "__init__", noted_settings),
        mock.patch.object(SeparateRuns, "__call__", run_here),
    ):
        yield


def attempt(given: Input, world: World, place: Path, stops: bool) -> Outcome:
    """Try an input in this process, which is good for nothing afterwards."""
    seen, began, code = Seen(), [], 0
    world.enter(place)
    os.environ.update(given.environment)
    if given.files is not None:
        given.files(world)
    try:
        with observed(seen, began, stops, writing=not callable(given.call)):
            if callable(given.call):
                seen.result = given.call(world)
            else:
                code = command(given.call[0])(list(given.call[1:]))
    except WorkBegins:
        pass
    except BaseException as error:
        how = {"InputError": "sentence", "DamagedArtefact": "damaged"}.get(type(error).__name__, "crash")
        if isinstance(error, SystemExit) and error.code == 2 and not callable(given.call):
            return Outcome("sentence", "", " ".join(began))  # what argparse says stands on standard error
        sentence = str(error) if how != "crash" else f"{type(error).__name__}: {error} [{_place(error)}]"
        return Outcome(how, sentence, " ".join(began))
    if code:
        return Outcome("sentence" if code == 2 else "damaged", "", " ".join(began))
    if given.check is not None:
        try:
            right = given.check(seen) is not False
            reason = "the check of what it means failed"
        except Exception as error:
            right, reason = False, f"{type(error).__name__}: {error} [{_place(error)}]"
        if not right:
            return Outcome("changed", reason, " ".join(began))
    return Outcome("accepted", "", " ".join(began))


def command(name: str) -> Callable[[list[str]], int]:
    """The function behind a command."""
    from recbole_navigen import __main__, commands

    return __main__.main if name == "navigen" else getattr(commands, name)


def _place(error: BaseException) -> str:
    """The last line of ours in a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "recbole_navigen" in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"


def forked(work: Callable[[], None], place: Path) -> int:
    """Start some work in a child whose output goes to files in `place`; returns its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    os.setsid()
    try:
        for stream, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def apart(work: Callable[[], None]) -> None:
    """Do something in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        child = forked(work, Path(place))
        if os.waitpid(child, 0)[1]:
            raise RuntimeError(Path(place, "stderr").read_text(errors="replace")[-4000:])


def outcomes(inputs: Sequence[Input], world: World, stops: bool, jobs: int, tell: Callable[[int, Outcome], None]):
    """Try inputs, `jobs` at a time; returns their outcomes in order, and tells each as it comes."""
    found: dict[int, Outcome] = {}
    waiting, running = list(range(len(inputs)))[::-1], {}
    patience = PATIENCE if stops else PATIENCE_AFTER
    while waiting or running:
        while waiting and len(running) < jobs:
            number = waiting.pop()
            place = Path(tempfile.mkdtemp(prefix="bad-"))

            def work(number: int = number, place: Path = place) -> None:
                outcome = attempt(inputs[number], world, place / "in", stops)
                (place / "outcome.json").write_text(json.dumps(asdict(outcome)))

            running[forked(work, place)] = (number, place, time.perf_counter())
        for child, (number, place, start) in list(running.items()):
            seconds = time.perf_counter() - start
            done, _ = os.waitpid(child, os.WNOHANG)
            if not done and seconds < patience:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            if not done:
                os.waitpid(child, 0)
            del running[child]
            found[number] = _read(place, bool(done), seconds)
            tell(number, found[number])
            shutil.rmtree(place, ignore_errors=True)
        time.sleep(0.005)
    return [found[number] for number in range(len(inputs))]


def _read(place: Path, done: bool, seconds: float) -> Outcome:
    """The outcome that a child left, with what it said on standard error."""
    said = (place / "stderr").read_text(errors="replace") if (place / "stderr").is_file() else ""
    lines = tuple(line for line in said.replace("\r", "\n").split("\n") if line.strip())[-30:]
    if not done:
        return Outcome("hung", f"no end within {seconds:.0f} s", lines=lines, seconds=seconds)
    if not (place / "outcome.json").is_file():
        return Outcome("crash", lines[-1] if lines else "the process died", lines=lines, seconds=seconds)
    left = json.loads((place / "outcome.json").read_text())
    return Outcome(**{**left, "lines": lines, "seconds": seconds})


def through_command(given: Input, world: World, place: Path) -> Outcome:
    """Try an input through the real command, in a new process."""
    name, *arguments = given.call
    with _in_folder(given, world, place / "in"):
        done = subprocess.run(
            [sys.executable, str(ROOT / f"{COMMANDS[name]}.py"), *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, **given.environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            check=False,
            timeout=2 * PATIENCE,
        )
    lines = tuple(line for line in done.stderr.split("\n") if line.strip())
    how = {0: "accepted", 1: "damaged", 2: "sentence"}.get(done.returncode, "crash")
    how = "crash" if any("Traceback" in line for line in lines) else how
    return Outcome(how, "", "", lines)


@contextlib.contextmanager
def _in_folder(given: Input, world: World, place: Path) -> Iterator[None]:
    before = Path.cwd()
    world.enter(place)
    try:
        if given.files is not None:
            given.files(world)
        yield
    finally:
        os.chdir(before)


def judged(given: Input, outcome: Outcome) -> tuple[str, str]:
    """What is wrong with an outcome: "" or one of FAULTS, and in what words."""
    if outcome.how in ("crash", "hung"):
        return ("traceback" if outcome.how == "crash" else "hung"), outcome.sentence
    if outcome.how == "changed":
        return "changed", outcome.sentence
    if outcome.how == "accepted":
        return ("accepted", outcome.began) if given.right is False else ("", "")
    sentence, problem = outcome.sentence, ""
    if not callable(given.call):
        # The command line: one line, the last one, and nothing of a traceback before it.
        errors = [line for line in outcome.lines if "error: " in line or "Traceback" in line]
        sentence = outcome.lines[-1] if outcome.lines else ""
        if len(errors) != 1 or not sentence.startswith("error: "):
            problem = "is not one line that begins with `error: `"
    if given.right:
        return "refused", sentence
    if outcome.began:
        return "late", f"after {outcome.began}: {sentence}"
    shown = _PATHS.sub("/PATH", sentence)
    if not problem and ("\n" in sentence or not 20 <= len(shown) <= LONGEST):
        problem = f"has {len(shown)} characters and {sentence.count(chr(10)) + 1} lines"
    if not problem and given.about and not any(word.lower() in sentence.lower() for word in given.about):
        problem = f"names none of {', '.join(given.about)}"
    return ("vague", f"{problem}: {sentence[:600]}") if problem else ("", sentence)


def rerun(given: Input) -> str:
    """The command that tries one input again, and what that input is."""
    again = f"python benchmarks/bad_inputs.py --only={shlex.quote(f'{given.kind}: {given.what}')} --show"
    if callable(given.call):
        return again
    return f"{again}  # {COMMANDS[given.call[0]]}.py {shlex.join(given.call[1:])}"


def chosen(inputs: Sequence[Input], only: str | None, share: float, seed: int) -> list[Input]:
    """The inputs of a kind, or one of them, or a share of all that a seed draws: of each kind at least one."""
    if only:
        return [given for given in inputs if f"{given.kind}: {given.what}".startswith(only)]
    if share >= 1:
        return list(inputs)
    draws, kinds = random.Random(seed), {}
    for number, given in enumerate(inputs):
        kinds.setdefault((given.kind, given.right), []).append(number)
    drawn = {n for own in kinds.values() for n in draws.sample(own, max(1, round(share * len(own))))}
    return [given for number, given in enumerate(inputs) if number in drawn]


def table_of(inputs: Sequence[Input], faults: Sequence[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Counts by kind: inputs, good ones among them, and each fault."""
    rows: dict[str, dict[str, int]] = {}
    for given, (fault, _) in zip(inputs, faults, strict=True):
        row = rows.setdefault(given.kind, dict.fromkeys(("bad", "good", *FAULTS), 0))
        row["good" if given.right else "bad"] += 1
        if fault:
            row[fault] += 1
    return rows


def try_all(inputs: Sequence[Input], world: World, jobs: int, show: bool = False) -> list[tuple[str, str]]:
    """Try inputs and judge them; those that were accepted wrongly are tried to the end."""

    def tell(number: int, outcome: Outcome) -> None:
        given = inputs[number]
        fault, words = judged(given, outcome)
        if show or fault:
            print(f"{fault or 'right':9s} {given.kind}: {given.what} [{outcome.seconds:.1f} s]\n          {words}")
        if show:
            print("\n".join(f"        | {line[:300]}" for line in outcome.lines[-12:]))

    faults = [judged(*pair) for pair in zip(inputs, outcomes(inputs, world, True, jobs, tell), strict=True)]
    wrong = [number for number, (fault, _) in enumerate(faults) if fault == "accepted"]
    ended = outcomes([inputs[number] for number in wrong], world, False, jobs, lambda number, outcome: None)
    for number, outcome in zip(wrong, ended, strict=True):
        fault, words = judged(inputs[number], outcome)
        faults[number] = (fault, words) if outcome.how != "changed" else ("accepted", words)
        print(f"to the end: {fault:9s} {inputs[number].kind}: {inputs[number].what}\n          {words}")
    return faults


def through_commands(inputs: Sequence[Input], world: World, seed: int, each: int) -> list[str]:
    """Bad inputs through the real commands: those that end otherwise than in one line and exit code 1 or 2."""
    draws, wrong = random.Random(seed), []
    for name in COMMANDS:
        own = [one for one in inputs if not callable(one.call) and one.call[0] == name and one.right is False]
        for given in draws.sample(own, min(each, len(own))):
            with tempfile.TemporaryDirectory() as place:
                fault, words = judged(given, through_command(given, world, Path(place)))
            if fault:
                wrong.append(f"{fault}: {rerun(given)}: {words}")
    return wrong


def warm() -> None:
    """Import what commands import, once for all children."""
    import diffusers
    import torch
    import transformers

    import recbole_navigen.quick_start.compare
    import recbole_navigen.quick_start.generate
    import recbole_navigen.quick_start.media
    import recbole_navigen.quick_start.pipeline
    import recbole_navigen.quick_start.tune  # noqa: F401

    torch.set_num_threads(1)
    _ = diffusers.AutoPipelineForText2Image, diffusers.StableDiffusionPipeline, diffusers.DiffusionPipeline
    _ = transformers.AutoModelForCausalLM, transformers.CLIPModel, transformers.BertModel


def main() -> None:
    parser = argparse.ArgumentParser(description="Try bad inputs on all commands and the Python API.")
    parser.add_argument("--only", help="a kind, or `KIND: WHAT`")
    parser.add_argument("--show", action="store_true", help="show what each input says")
    parser.add_argument("--list", action="store_true", help="name the inputs and end")
    parser.add_argument("--share", type=float, default=1.0, help="of the inputs, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--world", default="bad-inputs-world", help="folder for what inputs are tried on")
    given = parser.parse_args()
    start = time.perf_counter()
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    warm()
    world = build(Path(given.world).resolve(), apart)
    everything = all_inputs(world)
    inputs = chosen(everything, given.only, given.share, given.seed)
    if given.list:
        print("\n".join(f"{one.kind}: {one.what}" for one in inputs))
        return
    faults = try_all(inputs, world, given.jobs, given.show)
    rows = table_of(inputs, faults)
    for kind, row in rows.items():
        print(f"{kind:32s}", " ".join(f"{name} {count}" for name, count in row.items() if count))
    if given.only or given.share < 1:
        return
    real = through_commands(inputs, world, given.seed, SAMPLE)
    minutes = (time.perf_counter() - start) / 60
    total = {name: sum(row[name] for row in rows.values()) for name in ("bad", "good", *FAULTS)}
    write_results(
        "bad_inputs",
        [
            Bar("bad inputs", total["bad"], "at least 400", total["bad"] >= 400),
            Bar(
                "tracebacks, hung included",
                total["traceback"] + total["hung"],
                "0",
                not total["traceback"] + total["hung"],
            ),
            Bar("accepted", total["accepted"] + total["changed"], "0", not total["accepted"] + total["changed"]),
            Bar("refused after training began", total["late"], "0", not total["late"]),
            Bar("vague sentences", total["vague"], "0", not total["vague"]),
            Bar("good inputs refused", total["refused"], f"0 of {total['good']}", not total["refused"]),
            Bar("wrong ends of the real commands", len(real), f"0 of {SAMPLE * len(COMMANDS)}", not real),
            Bar("minutes", minutes, "under 10", minutes < 10),
        ],
        {
            "table": rows,
            "failures": [
                {"fault": fault, "kind": one.kind, "what": one.what, "words": words, "again": rerun(one)}
                for one, (fault, words) in zip(inputs, faults, strict=True)
                if fault
            ],
            "through_commands": real,
        },
    )


if __name__ == "__main__":
    main()
