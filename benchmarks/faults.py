"""kill -9 and SIGTERM in every stage of every command: whether the bytes are those without it, and the seconds lost.

    python benchmarks/faults.py
    python benchmarks/faults.py --moments=5 --seed=7

Each command runs once untouched. Then it is killed in one of its stages after the other, at a moment that is drawn from
the time which that stage took, and given again after each kill; what it leaves at last is compared with the untouched
one's, file by file (`harness.fault_runner.contents`). ml-100k, users with at most 30 ratings, small models, one thread.
It stands in benchmarks/runs/faults; a benchmark that was stopped goes on behind the last chain of kills.
"""

import argparse
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.common import Bar, begin, part, write_results
from harness.fault_runner import ROOT, Commands, Ended, Kill, contents, differing
from recbole_navigen.artefacts import content_hash, read_json

sys.path.append(str(ROOT / "tests" / "support"))
from small_endpoint import Endpoint, answer

FOLDER = ROOT / "benchmarks" / "runs" / "faults"
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM}
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 128 + signal.SIGTERM}
WITHIN = (0.05, 0.9)  # of a stage's time: where kills fall
EPOCH = r"INFO +epoch (\d+) training"
STARTED, FINISHED = "stage train started", "stage train finished"
RESUMED = r"Resume training from epoch (\d+)"


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a command by what is printed at its begin and at its end, both regular expressions.

    Of several at the begin, all are printed in their order. `again` is what a command prints that goes on in it; as at
    the begin if None.
    """

    name: str
    begin: str | tuple[str, ...]
    end: str
    again: str | None = None


def named(*names: str) -> list[Stage]:
    """Stages that say themselves when they start and finish."""
    return [Stage(name, f"stage {name} started", f"stage {name} finished") for name in names]


@dataclass(frozen=True, slots=True)
class Case:
    """A command with the stages in which it is killed, in their order."""

    name: str
    command: str
    arguments: Sequence[str]
    settings: dict[str, Any]
    stages: Sequence[Stage]


SHARED = {
    "user_inter_num_interval": "[0,30]",
    **dict.fromkeys(("use_gpu", "show_progress"), False),
    "state": "INFO",
    "save_seconds": 1.0,
}
SASREC = {"train_rows": "user", "hidden_size": 32, "inner_size": 32, "train_batch_size": 64}
SMALL = {
    **SHARED,
    "collaborative_config": {"SASRec": {**SASREC, "epochs": 5}},
    **dict.fromkeys(("hidden_size", "inner_size"), 32),
    "text_vocabulary": 600,
    "supervision": {"samples": 80, "rounds": 1},
    "writer_steps": 12,
    "instruction_tokens": 60,
    "thought_tokens": 60,
    "train_batch_size": 64,
    "mapping_batch_size": 16,
    "align_epochs": 2,
    "epochs": 4,
}
REINFORCE = {
    "steps": 4,
    "eval_every": 2,
    **dict.fromkeys(("prompts", "group", "eval_prompts"), 4),
    **dict.fromkeys(("instruction_prompts", "instruction_group"), 2),
    "eval_draws": 1,
}
ALL_STAGES = [
    *named("collaborative", "identifiers"),
    Stage("align", STARTED, "align epoch 1 training"),
    Stage("finetune", (STARTED, EPOCH), FINISHED, STARTED),
    *named("supervision", "write", "reinforce", "test"),
]
EPOCHS = [
    Stage("first epochs", STARTED, r"INFO +epoch 4 training"),
    Stage("last epochs", r"INFO +epoch [4-9] training", FINISHED, STARTED),
]


def cases(endpoint: str, models: Path) -> Iterator[Case]:
    """All commands; what comes later may need what an earlier one left.

    Args:
        endpoint: address of a language model. models: folder of a model of pictures and one of CLIP's kind.
    """
    data = ["--dataset=ml-100k", "--config_files", "own.yaml"]
    stages = {"training_stages": ["align", "finetune", "write", "reinforce"]}
    yield Case("NaviGen", "navigen", data, {**SMALL, **stages, "reinforce": REINFORCE}, ALL_STAGES)

    teacher = {"teacher": "openai", "judge": "template", "rounds": 0, "population": 2, "samples": 60}
    teacher["teacher_model"] = {"base_url": endpoint, "model": "tiny", "concurrency": 2}
    asking = {**SMALL, "epochs": 1, "training_stages": ["finetune", "write"], "writer_steps": 5, "supervision": teacher}
    yield Case("language model", "navigen", data, asking, named("supervision"))

    (run,) = (FOLDER / "NaviGen" / "whole" / "saved").glob("NaviGen-*")
    pictures = [f"--run={run}", "--n_users=12", "--held_out", "--output=out", "--generation_batch_size=2", "--no-think"]
    pictures += [f"--image_model={models / 'image'}", f"--clip_model={models / 'clip'}", "--image_steps=12"]
    written = Stage("instructions", "instructions: +0%", "media: +0%")
    yield Case("media", "generate", pictures, {}, [written, Stage("media", "media: +0%", "media: +100%")])

    averaged = {**SHARED, **SASREC, "epochs": 8, "average_epochs": 2.0}
    yield Case("SASRec", "navigen", ["--model=SASRec", *data], averaged, EPOCHS)
    yield Case("BPR", "navigen", ["--model=BPR", *data], {**SHARED, "train_batch_size": 128, "epochs": 8}, EPOCHS)

    sweep = ["--model=BPR", *data, "--params_file=space.yaml", "--sampler=grid", "--pruner=none"]
    sweep += ["--storage=journal:study.log", "--output=report"]
    trial = Stage("second trial", "1 of 2: trial", "2 of 2: trial")
    yield Case("sweep", "hyper", sweep, {**SHARED, "epochs": 8}, [trial])

    two = {**SHARED, "epochs": 8, "models": {"BPR": {"embedding_size": 16}, "SASRec": SASREC}}
    second = Stage("second run", "run 1 of 2: .* done", "run 2 of 2: .* done")
    yield Case("comparison", "compare", data, two, [second])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--moments", type=int, default=2, help="chains of kills for each command and signal")
    parser.add_argument("--seed", type=int, default=2020, help="of the moments")
    given = parser.parse_args()
    begin(FOLDER, vars(given))
    from worlds import tiny_models

    # What they draw is nothing: that they draw the same is what counts.
    sizes = {"width": 32, "layers": 1, "latent_width": 8, "channels": 16, "pairs": 16, "frames": 16, "pictures": 4}
    steps = {"clips": 1, "clip_steps": 3, "autoencoder_steps": 3, "image_steps": 2}
    tiny_models.build(FOLDER / "models", tiny_models.Sizes(**sizes, **steps), parts=("clip", "autoencoder", "image"))
    server, chains, wholes = Endpoint(_slowly), [], {}
    with Commands() as commands:
        for case in cases(f"http://127.0.0.1:{server.server_port}/v1", FOLDER / "models"):
            folder = FOLDER / case.name
            whole = part(FOLDER / f"{case.name}-whole.json", lambda c=case, f=folder: _whole(commands, c, f / "whole"))
            wholes[case.name] = whole["seconds"]
            for name, sent in SIGNALS.items():
                for moment in range(given.moments):
                    rng = random.Random(content_hash(given.seed, case.name, name, moment))
                    place = folder / f"{name}-{moment}"
                    chains.append(
                        part(
                            FOLDER / f"{case.name}-{name}-{moment}.json",
                            lambda c=case, s=sent, p=place, r=rng, w=whole: _chain(commands, c, s, p, r, w),
                        )
                    )
                    print(case.name, name, moment, chains[-1]["differing"] or "equal", flush=True)
    kills = [kill for chain in chains for kill in chain["kills"]]
    table: dict[str, dict[str, Any]] = {}
    for kill in kills:
        table.setdefault(f"{kill['command']}: {kill['stage']}", {}).setdefault(kill["signal"], []).append(kill["lost"])
    repeated = max(kill["epochs_repeated"] for kill in kills)
    unequal = [chain for chain in chains if chain["differing"]]
    write_results(
        "faults",
        [
            Bar(f"chains of kills, of {len(chains)}, that left other bytes", len(unequal), "0", not unequal),
            Bar(f"kills, of {len(kills)}, that ended otherwise than they should", *_zero(kills, "wrong_end")),
            Bar(
                "epochs that a kill had repeated at most, the one it was in aside", repeated, "at most 1", repeated <= 1
            ),
            Bar("seconds lost by a kill, mean", sum(kill["lost"] for kill in kills) / len(kills), "reported", True),
        ],
        {
            "seconds_untouched": wholes,
            "table": {
                row: {f"{name}: seconds lost": ", ".join(f"{s:.1f}" for s in values) for name, values in own.items()}
                for row, own in table.items()
            },
            "chains": chains,
            "notes": [
                "Seconds lost: what a stage took in the process that was killed and in the next one, less what it took "
                "untouched; below 0 where the machine was faster then. Starting again (imports, data) is not counted, "
                "but for sweeps and comparisons, which start processes of their own."
            ],
        },
    )


def _zero(kills: Sequence[dict[str, Any]], key: str) -> tuple[int, str, bool]:
    count = sum(kill[key] for kill in kills)
    return count, "0", count == 0


def _slowly(_: int, messages: list[dict[str, str]]) -> str:
    time.sleep(0.05)
    return answer(messages)


def _prepared(case: Case, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(yaml.safe_dump(case.settings, sort_keys=False))
    (folder / "space.yaml").write_text("embedding_size: [16, 32]\n")


def _whole(commands: Commands, case: Case, folder: Path) -> dict[str, Any]:
    """Run a command untouched: seconds of all of it and of its stages."""
    _prepared(case, folder)
    ended = commands(case.command, case.arguments, folder)
    if ended.code:
        raise SystemExit(f"{case.name} ended with {ended.code}:\n{ended.printed}")
    return {
        "seconds": ended.seconds,
        "stages": {stage.name: ended.between(stage.begin, stage.end) for stage in case.stages},
    }


def _chain(
    commands: Commands, case: Case, sent: signal.Signals, folder: Path, rng: random.Random, whole: dict[str, Any]
) -> dict[str, Any]:
    """Kill a command in each of its stages, let it end, and compare what it leaves with what the untouched one left."""
    _prepared(case, folder)
    runs: list[Ended] = []
    moments = []
    for stage in case.stages:
        moments.append(rng.uniform(*WITHIN))
        kill = Kill(sent, stage.begin, moments[-1] * whole["stages"][stage.name], stage.end)
        runs.append(commands(case.command, case.arguments, folder, kill))
    runs.append(commands(case.command, case.arguments, folder))
    if runs[-1].code:
        raise SystemExit(f"{case.name} ended with {runs[-1].code} after its kills:\n{runs[-1].printed}")
    kills = []
    for place, stage in enumerate(case.stages):
        killed, after = runs[place], runs[place + 1]
        spent = killed.between(stage.begin, stage.end) + after.between(stage.again or stage.begin, stage.end)
        kills.append(
            {
                "command": case.name,
                "stage": stage.name,
                "signal": sent.name,
                "moment": round(moments[place], 3),
                "lost": round(spent - whole["stages"][stage.name], 3),
                "epochs_repeated": _repeated(killed, after, stage),
                "wrong_end": killed.code != CODES[sent],
                "code": killed.code,
            }
        )
    return {"differing": differing(_left(FOLDER / case.name / "whole"), _left(folder)), "kills": kills}


def _repeated(killed: Ended, after: Ended, stage: Stage) -> int:
    """Epochs that were through in a stage when it was killed, and were trained again."""
    trained = _numbers(killed.since(stage.begin), EPOCH)
    first = _numbers(after.lines, RESUMED) or _numbers(after.lines, EPOCH)
    return max(0, trained[-1] + 1 - first[0]) if trained and first else 0


def _numbers(lines: Sequence[tuple[float, str]], wanted: str) -> list[int]:
    return [int(found.group(1)) for _, line in lines if (found := re.search(wanted, line))]


def _left(folder: Path) -> dict[str, Any]:
    """What a command left: its runs, by their settings; what they share; and media."""
    found: dict[str, Any] = {}
    for started in folder.glob("saved/*/started.json"):
        name = f"{read_json(started)['model']} {content_hash(read_json(started))[:8]}"
        found |= {f"{name}/{file}": value for file, value in contents(started.parent).items()}
    for shared in (folder / "saved" / "cache", folder / "out"):
        found |= {f"{shared.name}/{file}": value for file, value in contents(shared).items()}
    found.pop("out/report.html", None)  # counts what was there already
    return found


if __name__ == "__main__":
    main()
