"""Feedback on the tiny world: what users keep, edit and discard makes the next instructions more their own.

    python benchmarks/feedback.py [--users=400] [--speakers=80] [--silent=80] [--seed=0]

NaviGen learns to rank and to write from some users. Others, whom no training saw, are written for after the first half
of what they did. The second half is their taste: the commonest value of each attribute. Speakers judge every
instruction by the attributes that a picture shows: they keep what matches in all, edit the first wrong attribute where
most are right, and discard the rest; silent users say nothing. Reported is the share of attributes that match:

    round 0                 nobody has said anything
    rounds 1, 2, 3          what speakers said joins their preferences at once, with no training
    trained                 the writer has also learned from all that was said (`navigen-feedback DIR learn`), which it
                            keeps only where held-out feedback gets better; silent users must not lose by it
"""

import argparse
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from generation import sequences
from harness.common import Bar, write_results
from recbole_navigen.artefacts import content_hash
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.generation.feedback_file import append_lines, said_preferences
from recbole_navigen.pipeline.learn_feedback import learn_beside
from recbole_navigen.quick_start import Recommender
from recbole_navigen.serving.answers import Instruction
from recbole_navigen.serving.preferences import Preferences
from recbole_navigen.supervision.feedback_lines import FEEDBACK, read_feedback
from worlds import tiny_navigen
from worlds import tiny_world as world

RUNS = Path(__file__).resolve().parent / "runs" / "feedback"
ROUNDS = 3
RIGHT = 3  # attributes that must be right for an edit to be worth somebody's while
STILL = len(world.STILL)
SETTINGS = {"writer_steps": 1200, "show_progress": False}
ROWS = 2000  # instructions to learn from


def taste_of(events: Sequence[str], scenes: dict[str, np.ndarray]) -> np.ndarray:
    """The commonest value of each attribute. Shape (6,)."""
    values = np.stack([scenes[item] for item in events])
    return np.array([np.bincount(column).argmax() for column in values.T])


def verdict(text: str, taste: np.ndarray) -> tuple[str, str | None]:
    """What a user with some taste does with an instruction, and the text that an edit makes of it."""
    shown = world.named(text)
    wrong = np.flatnonzero(shown[:STILL] != taste[:STILL])
    if not len(wrong):
        return "keep", None
    if STILL - len(wrong) < RIGHT:
        return "discard", None
    values = world.ATTRIBUTES[world.NAMES[wrong[0]]]
    wanted = values[taste[wrong[0]]]
    if shown[wrong[0]] < 0:
        return "edit", f"{text}, {wanted}"
    return "edit", re.sub(rf"\b{values[shown[wrong[0]]]}\b", wanted, text)


def accuracy(texts: Sequence[str], tastes: np.ndarray) -> np.ndarray:
    """Share of the attributes that match, by user. (B,)."""
    return world.accuracy(np.stack([world.named(text) for text in texts]), tastes)


def written(
    recommender: Recommender, histories: Sequence[Sequence[str]], said: Sequence[Preferences]
) -> list[Instruction]:
    """One instruction a user, in the most probable words."""
    return recommender.instruct(
        histories, "image", think=False, temperature=0.0, pool=tiny_navigen.POOL, preferences=list(said)
    )


def line_of(user: str, history: Sequence[str], own: Instruction, taste: np.ndarray, number: int) -> dict[str, Any]:
    """What a user says, as `navigen-feedback` writes it."""
    said, edited = verdict(own.instruction, taste)
    line = {"time": float(number), "verdict": said, "user": user, "media": "image", "file": None}
    line |= {"sha256": content_hash(user, number), "instruction": own.instruction, "edited": edited}
    line |= {
        "terms": list(own.terms),
        "domain": own.domain,
        "history": list(history),
        "aim": own.aim.item,
        "plan": None,
    }
    return line


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=400, help="that are learned from")
    parser.add_argument("--speakers", type=int, default=80)
    parser.add_argument("--silent", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)

    # 1. The world, the run, and the users that it never saw.
    folder = RUNS / f"{given.users}-{given.seed}"
    scenes = world.write_data(folder, given.users, given.speakers + given.silent, items=600, seed=given.seed)
    run = tiny_navigen.train(folder, SETTINGS, max(1, ROWS // given.users))
    recommender = Recommender.load(run, device="cpu")
    known, terms = set(recommender.item_tokens), recommender.table.known_terms
    events = {
        user: [item for item in own if item in known]
        for user, own in sequences(folder / "tiny-world" / "held-out.inter").items()
    }
    users = list(events)
    speakers, silent = users[: given.speakers], users[given.speakers :]
    histories = {user: own[: len(own) // 2] for user, own in events.items()}
    tastes = {user: taste_of(own[len(own) // 2 :], scenes) for user, own in events.items()}

    def measured(
        model: Recommender, whom: Sequence[str], said: dict[str, Preferences]
    ) -> tuple[np.ndarray, list[Instruction]]:
        own = written(model, [histories[user] for user in whom], [said.get(user, Preferences()) for user in whom])
        return accuracy([one.instruction for one in own], np.stack([tastes[user] for user in whom])), own

    # 2. Rounds: what is said counts at once.
    file = folder / FEEDBACK
    file.unlink(missing_ok=True)
    said: dict[str, Preferences] = {}
    rounds, verdicts = [], []
    for number in range(ROUNDS + 1):
        values, own = measured(recommender, speakers, said)
        rounds.append(values)
        if number < ROUNDS:
            lines = [
                line_of(user, histories[user], one, tastes[user], number)
                for user, one in zip(speakers, own, strict=True)
            ]
            append_lines(file, *lines)
            verdicts.append(
                {kind: sum(line["verdict"] == kind for line in lines) for kind in ("keep", "edit", "discard")}
            )
            space = recommender.preference_space
            said = {user: space.matched(one) for user, one in said_preferences(read_feedback(file), terms).items()}

    # 3. Training, and what it does to speakers and to those who said nothing.
    learned = folder / "learned"
    shutil.rmtree(learned, ignore_errors=True)
    shutil.copytree(run, learned)
    outcome = learn_beside(learned, file, {"eval_every": 25}, show_progress=False)
    after = Recommender.load(learned, device="cpu")
    before = {
        "speakers": rounds[-1],
        "speakers, nothing said": rounds[0],
        "silent": measured(recommender, silent, {})[0],
    }
    trained = {
        "speakers": measured(after, speakers, said)[0],
        "speakers, nothing said": measured(after, speakers, {})[0],
        "silent": measured(after, silent, {})[0],
    }

    # 4. Bars.
    bars = []
    for number in range(1, ROUNDS + 1):
        lead = bootstrap(rounds[number] - rounds[0])
        text = f"accuracy of speakers, round {number} - round 0, at once, interval {lead.low:.4f} to {lead.high:.4f}"
        bars.append(Bar(text, lead.mean, "above 0", lead.low > 0))
    for name, values in trained.items():
        lead = bootstrap(values - before[name])
        text = f"accuracy of {name}, trained - before, interval {lead.low:.4f} to {lead.high:.4f}"
        bars.append(Bar(text, lead.mean, "not below 0", lead.mean >= 0))
    details = {
        "users": vars(given),
        "accuracy": {f"round {number}": float(values.mean()) for number, values in enumerate(rounds)}
        | {f"{name}, before training": float(values.mean()) for name, values in before.items()}
        | {f"{name}, trained": float(values.mean()) for name, values in trained.items()},
        "verdicts": verdicts,
        "training": json.loads((learned / "feedback.json").read_text()),
        "outcome": outcome.sentence,
    }
    write_results("feedback", bars, details)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
