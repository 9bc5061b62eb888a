"""Bad inputs for all commands and the Python API: each must end in one sentence, before anything is trained.

    python benchmarks/bad_inputs.py [--only=KIND] [--show] [--share=0.1 --seed=7] [--list]

Kinds are generated: from the description of the settings, from tables of faults, from the files that a run leaves, from
the signatures of the Python API. Each input is tried in a process of its own, forked from one that has imported
everything, in a working directory of its own. Where training, writing or drawing would begin, the input counts as
accepted; one that should not have been is tried a second time without that end, to see what becomes of it. A sample
goes through the real commands. Good inputs stand beside the bad ones: they must be accepted and mean what they say.
"""

import argparse
import os
import random
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bad_input.kinds import all_inputs
from bad_input.trials import COMMANDS, Outcome, apart, import_all, outcomes, through_commands, warm
from bad_input.world import Input, World, build
from harness.common import Bar, write_results

LONGEST = 400  # characters of a sentence
SAMPLE = 4  # inputs of each command that go through the real one
FAULTS = ("traceback", "hung", "accepted", "late", "vague", "refused", "changed")
_PATHS = re.compile(r"(/[\w.~+-]+){3,}")


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
    """The inputs of a kind, or one of them, and of those a share that a seed draws: of each kind at least one."""
    if only:
        inputs = [given for given in inputs if f"{given.kind}: {given.what}".startswith(only)]
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


def sampled(inputs: Sequence[Input], seed: int, each: int) -> list[Input]:
    """Bad inputs of each command, to go through the real ones."""
    draws, found = random.Random(seed), []
    for name in COMMANDS:
        own = [one for one in inputs if not callable(one.call) and one.call[0] == name and one.right is False]
        found += draws.sample(own, min(each, len(own)))
    return found


def main() -> int:
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
    import_all()
    world = build(Path(given.world).resolve(), apart)
    everything = all_inputs(world)
    inputs = chosen(everything, given.only, given.share, given.seed)
    if given.list:
        print("\n".join(f"{one.kind}: {one.what}" for one in inputs))
        return 0
    warm(world)
    faults = try_all(inputs, world, given.jobs, given.show)
    rows = table_of(inputs, faults)
    for kind, row in rows.items():
        print(f"{kind:32s}", " ".join(f"{name} {count}" for name, count in row.items() if count))
    wrong = sum(bool(fault) for fault, _ in faults)
    if given.only or given.share < 1:
        print(f"{len(inputs)} inputs, {wrong} of them wrong")
        return int(wrong > 0)
    sample = sampled(inputs, given.seed, SAMPLE)
    ends = [judged(*pair) for pair in zip(sample, through_commands(sample, world, given.jobs), strict=True)]
    real = [f"{fault}: {rerun(one)}: {words}" for one, (fault, words) in zip(sample, ends, strict=True) if fault]
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
    return int(wrong > 0 or bool(real))


if __name__ == "__main__":
    sys.exit(main())
