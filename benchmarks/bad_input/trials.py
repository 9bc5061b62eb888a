"""Trying inputs: each in a process of its own that ends where work would begin, some through the real command."""

import contextlib
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from bad_input.world import Input, World, recommender
from harness.fault_runner import of_command

ROOT = Path(__file__).parents[2]
COMMANDS = {"navigen": "run_navigen", "compare": "run_compare", "hyper": "run_hyper", "generate": "run_generate"}
PATIENCE, PATIENCE_AFTER = 60, 90  # seconds until an input counts as hung, without and with training


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
    import recbole_navigen.pipeline.collaborative as pipeline
    import recbole_navigen.serving.recommender as recommender
    from recbole_navigen.config import Config
    from recbole_navigen.quick_start.run import run_navigen
    from recbole_navigen.quick_start.separate import RunFailed, SeparateRuns
    from recbole_navigen.runs.stages import Stages

    stage, write, construct = Stages.__call__, recommender.written_drafts, Config.__init__
    trainer = pipeline.get_trainer

    def begin(name: str) -> None:
        began.append(name)
        if stops:
            raise WorkBegins(name)

    def noted_stage(self: Stages, name: str) -> Any:
        # The collaborative stage begins with its data and its model, which may be refused.
        if name not in ("data", "collaborative"):
            begin(name)
        return stage(self, name)

    def noted_trainer(*arguments: Any) -> Any:
        begin("collaborative")
        return trainer(*arguments)

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
        mock.patch.object(pipeline, "get_trainer", noted_trainer),
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
                code = of_command(given.call[0])(list(given.call[1:]))
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


def apart(*works: Callable[[], None]) -> None:
    """Do several things at once, each in a process of its own."""
    with tempfile.TemporaryDirectory() as root:
        places = [Path(root, str(number)) for number in range(len(works))]
        for place in places:
            place.mkdir()
        children = [forked(work, place) for work, place in zip(works, places, strict=True)]
        codes = [os.waitpid(child, 0)[1] for child in children]
        for place in (place for place, code in zip(places, codes, strict=True) if code):
            raise RuntimeError((place / "stderr").read_text(errors="replace")[-4000:])


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


def through_commands(inputs: Sequence[Input], world: World, jobs: int) -> list[Outcome]:
    """Try inputs through the real commands, in new processes."""
    with tempfile.TemporaryDirectory(prefix="bad-") as root, ThreadPoolExecutor(jobs) as pool:
        places = [Path(root, str(number)) for number in range(len(inputs))]
        before = Path.cwd()
        for given, place in zip(inputs, places, strict=True):
            world.enter(place)
            if given.files is not None:
                given.files(world)
            os.chdir(before)
        return list(pool.map(_through_command, inputs, places))


def _through_command(given: Input, place: Path) -> Outcome:
    name, *arguments = given.call
    done = subprocess.run(
        [sys.executable, str(ROOT / f"{COMMANDS[name]}.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=place,
        env={**os.environ, **given.environment, "PYTHONPATH": str(ROOT), "PWD": str(place)},
        check=False,
        timeout=2 * PATIENCE,
    )
    lines = tuple(line for line in done.stderr.split("\n") if line.strip())
    how = {0: "accepted", 1: "damaged", 2: "sentence"}.get(done.returncode, "crash")
    return Outcome("crash" if any("Traceback" in line for line in lines) else how, "", "", lines)


def import_all() -> None:
    """Import what commands import, once for all children."""
    import torch
    from diffusers import AnimateDiffPipeline, StableDiffusionPipeline  # noqa: F401
    from transformers import BertModel, CLIPImageProcessorPil, CLIPModel, Qwen3ForCausalLM  # noqa: F401

    import recbole_navigen.generation.media_head
    import recbole_navigen.pipeline.train
    import recbole_navigen.quick_start.compare
    import recbole_navigen.quick_start.generate
    import recbole_navigen.quick_start.hyper  # noqa: F401

    torch.set_num_threads(1)


def warm(world: World) -> None:
    """Do once, for all children, what takes long at its first time: models are loaded, and runs compared."""
    from recbole_navigen.encoders.sentences import SentenceSpace
    from recbole_navigen.generation.media_head import MediaHead
    from recbole_navigen.generation.settings import generation_settings
    from recbole_navigen.language.backbone import pretrained_lm, pretrained_tokenizer
    from recbole_navigen.quick_start.compare import compare_runs

    media = {name: str(world.models / name.partition("_")[0]) for name in ("clip_model", "image_model", "video_model")}
    MediaHead({"i1": "a tale"}, world.folder / "cache", generation_settings(media), ("image", "video"), False)
    SentenceSpace(str(world.models / "encoder"))(["a text"])
    pretrained_lm(str(world.models / "backbone"))
    pretrained_tokenizer(str(world.models / "backbone"))
    recommender(world).instruct([["i1", "i2"]], drafts=1)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
        os.chdir(folder)
        compare_runs([world.navigen, world.baseline])  # draws with what is slow to import
        os.chdir(before)
    gc.collect()
    gc.freeze()  # children share what is there, for as long as nobody looks through it
