"""A writer learns from what users said of its media, and keeps that only if the feedback of held-out users agrees."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from recbole_navigen.artefacts import write_record
from recbole_navigen.bars import tqdm
from recbole_navigen.config import Config, ReinforceSettings
from recbole_navigen.config.reinforcement import reinforce_settings
from recbole_navigen.errors import InputError
from recbole_navigen.interruption import heed
from recbole_navigen.model.author import Author
from recbole_navigen.model.navigen import NaviGen
from recbole_navigen.pipeline.write import save_weights
from recbole_navigen.reinforcement.objective import paired_gain
from recbole_navigen.reinforcement.policies import body_parameters
from recbole_navigen.reinforcement.preference_pairs import (
    HELD_OUT,
    JudgedAnswer,
    answer_log_probs,
    feedback_of,
    preference_loss,
    split_users,
)
from recbole_navigen.runs.layout import FEEDBACK_LEARNED
from recbole_navigen.runs.load import load_trained, load_writer
from recbole_navigen.runs.stages import Stages
from recbole_navigen.runs.trained import TrainedModel
from recbole_navigen.supervision.feedback_lines import read_feedback
from recbole_navigen.training.schedule import rate

AT_ONCE = 32  # answers of a validation


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of the feedback.

    Attributes:
        kept: whether the writer has changed.
        preference: mean over held-out pairs of log sigmoid(accepted - rejected), of log-probabilities a token, before
            and for what is kept. likelihood: mean log-probability a token of what was accepted, the same.
        lower: the lower end of the 95% interval of the gain of the preference.
        pairs, edits, held_out: how many were learned from, and pairs that were kept from it.
        left_out: reason -> lines that could not be learned from.
    """

    kept: bool
    preference: tuple[float, float]
    likelihood: tuple[float, float]
    lower: float
    pairs: int
    edits: int
    held_out: int
    left_out: Mapping[str, int]

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        start, end = self.preference
        verdict = (
            f"held-out preference {start:.4f} -> {end:.4f}, kept"
            if self.kept
            else f"no sure gain over {start:.4f}, not kept"
        )
        lost = "".join(f"; {count} lines left out ({reason})" for reason, count in self.left_out.items())
        return f"{self.pairs} pairs and {self.edits} edits, {self.held_out} pairs held out: preference {verdict}{lost}"


def learn_beside(
    run: str | Path, file: str | Path, section: Mapping[str, Any] | None = None, show_progress: bool = True
) -> Learned:
    """Let the writer of a finished run learn from a file of feedback.

    Args:
        run: the run's folder; its writer changes if that helps. file: `feedback.jsonl`.
        section: settings of properties/reinforce.yaml: `steps`, `eval_every`, `feedback_batch`, ...
        show_progress: whether a bar is shown.
    """
    lines = read_feedback(file)
    trained = load_trained(run)
    if trained.writer is None:
        raise InputError(f"{run} has no writer; run_generate --run={run} trains one.")
    settings = ReinforceSettings(seed=trained.settings["seed"], **reinforce_settings(section))
    return learn_feedback(trained, lines, settings, run, show_progress)


def learn_feedback(
    trained: TrainedModel,
    lines: Sequence[Mapping[str, Any]],
    settings: ReinforceSettings,
    run: str | Path,
    show_progress: bool,
) -> Learned:
    """Train a run's writer on feedback, and save it if it is better on the feedback of users it did not learn from.

    Args:
        trained: with the writer. lines: from `read_feedback`. run: the folder.
    """
    # 1. What there is to learn, and what it is validated on.
    author, seed, table = trained.writer, settings.seed, trained.table
    learned, kept_out = (
        feedback_of(author, table.item_tokens, table.known_terms, own, seed)
        for own in split_users(lines, HELD_OUT, seed)
    )
    left_out = dict(learned.left_out + kept_out.left_out)
    if not learned.pairs or not kept_out.pairs:
        why = "".join(f"; {count} lines: {reason}" for reason, count in left_out.items())
        raise InputError(
            f"the feedback has {len(learned.pairs)} pairs to learn from and {len(kept_out.pairs)} of other users to "
            f"validate on, and needs some of both; collect more{why}."
        )
    model = author.model.eval()
    parameters, batch = body_parameters(model), settings.feedback_batch
    start = [_log_probs(author, learned.pairs, side)[0] for side in (0, 1)]
    before = _validate(author, kept_out.pairs)
    best, values, weights, improved = before, before, copy.deepcopy(model.state_dict()), False

    # 2. Steps, of which those are kept that validate best.
    optimizer = torch.optim.AdamW(parameters, lr=settings.instruction_learning_rate, weight_decay=0.0)
    draws, steps = np.random.default_rng(seed), settings.steps
    warmup = int(settings.warmup_ratio * steps)
    with tqdm(total=steps, desc="learn feedback", ncols=100, disable=not show_progress) as bar:
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.instruction_learning_rate * rate(step, steps, warmup, "cosine")
            rows = draws.integers(len(learned.pairs), size=batch)
            accepted, rejected = (
                answer_log_probs(author, model, [learned.pairs[row][side] for row in rows])[0] for side in (0, 1)
            )
            loss = preference_loss(accepted, rejected, tuple(side[rows] for side in start), settings.feedback_beta)
            if learned.edits and settings.feedback_sft:
                edits = [learned.edits[row] for row in draws.integers(len(learned.edits), size=batch)]
                totals, tokens = answer_log_probs(author, model, edits)
                loss = loss - settings.feedback_sft * totals.sum() / tokens.sum()
            optimizer.zero_grad()
            loss.backward(inputs=parameters)
            torch.nn.utils.clip_grad_norm_(parameters, settings.clip_grad_norm)
            optimizer.step()
            heed()
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
            bar.update()
            if (step + 1) % settings.eval_every == 0 or step + 1 == steps:
                model.eval()  # what was cached of other weights is forgotten
                values = _validate(author, kept_out.pairs)
                sure = paired_gain(values[0], before[0])[1] > 0 and values[1].mean() >= before[1].mean()
                if sure and values[0].mean() > best[0].mean():
                    best, weights, improved = values, copy.deepcopy(model.state_dict()), True

    # 3. The outcome.
    model.load_state_dict(weights)
    model.eval()
    if improved:
        save_weights(run, model)
    outcome = Learned(
        improved,
        (float(before[0].mean()), float(best[0].mean())),
        (float(before[1].mean()), float(best[1].mean())),
        paired_gain((best if improved else values)[0], before[0])[1],
        len(learned.pairs),
        len(learned.edits),
        len(kept_out.pairs),
        left_out,
    )
    record = {name: getattr(outcome, name) for name in Learned.__slots__}
    write_record(Path(run) / FEEDBACK_LEARNED, {**record, "left_out": dict(left_out)})
    return outcome


def feedback_stage(config: Config, model: NaviGen, stages: Stages) -> None:
    """The part of the stage `reinforce` that `reinforce: {feedback: FILE}` names.

    Args:
        config: of the run. model: the ranking model at its best epoch. stages: records what it took.
    """
    settings = ReinforceSettings.of(config)
    run, lines = Path(config["run_dir"]), read_feedback(settings.feedback)
    if (run / FEEDBACK_LEARNED).exists():
        return
    with stages("feedback") as stage:
        author = load_writer(run, model.lm, model.table)
        author.model.to(config["device"])
        trained = TrainedModel(model.table, model.lm, model.renderer, config.public(), "", author)
        stage.metric = learn_feedback(trained, lines, settings, run, config["show_progress"]).sentence


def _validate(author: Author, pairs: Sequence[tuple[JudgedAnswer, JudgedAnswer]]) -> tuple[np.ndarray, np.ndarray]:
    """Log sigmoid(accepted - rejected) of each pair, and log-probability a token of what was accepted. (P,) each."""
    accepted, rejected = (totals / tokens for totals, tokens in (_log_probs(author, pairs, side) for side in (0, 1)))
    return logsigmoid(accepted - rejected).cpu().numpy(), accepted.cpu().numpy()


@torch.no_grad()
def _log_probs(author: Author, pairs: Sequence[tuple[JudgedAnswer, JudgedAnswer]], side: int) -> tuple[Tensor, Tensor]:
    """`answer_log_probs` of one side of all pairs."""
    own = [pair[side] for pair in pairs]
    parts = [
        answer_log_probs(author, author.model, own[place : place + AT_ONCE]) for place in range(0, len(own), AT_ONCE)
    ]
    totals, tokens = zip(*parts, strict=True)
    return torch.cat(totals), torch.cat(tokens)
