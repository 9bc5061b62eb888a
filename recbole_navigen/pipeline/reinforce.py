"""What follows a ranking model: a writer, and the stage `reinforce`, GRPO on the finished model and on its writer."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.data.dataloader import AbstractDataLoader
from recbole.evaluator import DataStruct

from recbole_navigen.artefacts import read_record, write_bytes, write_record
from recbole_navigen.bars import tqdm
from recbole_navigen.config import Config, ReinforceSettings
from recbole_navigen.data import NaviGenDataset
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.instruction_scores import diversity
from recbole_navigen.evaluation.ranks import METRICS, metric_values
from recbole_navigen.language.answer import parse_answer
from recbole_navigen.model.author import Author
from recbole_navigen.model.calibration import calibrate, validation_targets
from recbole_navigen.model.navigen import NaviGen
from recbole_navigen.pipeline.learn_feedback import feedback_stage
from recbole_navigen.pipeline.supervision import supervision_stage
from recbole_navigen.pipeline.write import save_weights, train_beside
from recbole_navigen.presentation.page import to_html
from recbole_navigen.presentation.plots import curve_plot
from recbole_navigen.reinforcement.grpo import PROGRESS, Grpo, Learner, Validate
from recbole_navigen.reinforcement.policies import InstructionPolicy, ItemPolicy, Policy
from recbole_navigen.reinforcement.scorers import SCORERS
from recbole_navigen.runs.layout import CHECKPOINT, REINFORCE_PAGE, REINFORCED
from recbole_navigen.runs.load import load_writer
from recbole_navigen.runs.stages import Stages
from recbole_navigen.runs.trained import TrainedModel
from recbole_navigen.serving.recommender import Recommender
from recbole_navigen.training.checkpoint import load_checkpoint, save_checkpoint
from recbole_navigen.training.instruction_rows import InstructionRows, split_by_user
from recbole_navigen.training.sft import NaviGenTrainer

SEARCHED = 256  # histories whose expected items are searched between two moves of the bar
# What the page shows: title of a plot -> names in the log, without the task before them.
PLOTS = {
    "score on validation": ("valid score",),
    "recall on validation": ("valid recall@10",),
    "reward": ("reward", "valid quality", "valid ins_gold", "valid ins_pred", "valid pred_gold"),
    "distance to the supervised model, nats an action": ("kl",),
    "entropy, nats an action": ("entropy",),
    "diversity (distinct-2)": ("valid distinct_2",),
    "answers that name a term of the target": ("copied", "valid copied"),
    "tokens of an answer": ("length", "valid length"),
}

logger = logging.getLogger(__name__)


def later_stages(
    config: Config, trainer: NaviGenTrainer, part: NaviGenDataset, valid_data: AbstractDataLoader, stages: Stages
) -> None:
    """Run the stages that `training_stages` names after the ranking model: `write` and `reinforce`."""
    named = set(config["training_stages"]) & {"write", "reinforce"}
    if named:
        trainer.model.load_state_dict(load_checkpoint(trainer.saved_model_file)["state_dict"])
        trainer.model.eval()
    if "write" in named:
        train_beside(config, config["run_dir"], trainer.model, part, stages)
    if "reinforce" in named:
        settings = ReinforceSettings.of(config)
        if settings.feedback is None or "cid2cid" in settings.tasks:
            reinforce(config, trainer, part, valid_data, stages)
        if settings.feedback is not None:
            feedback_stage(config, trainer.model, stages)


def reinforce(
    config: Config,
    trainer: NaviGenTrainer,
    part: NaviGenDataset,
    valid_data: AbstractDataLoader,
    stages: Stages,
    variant: Callable[[Policy], Policy] = lambda policy: policy,
    ended: Callable[[Sequence[Learner]], None] = lambda learners: None,
) -> None:
    """Run the stage. The checkpoint and the writer of the run hold what validated best, which may be what they held.

    Args:
        config: settings of the run. trainer: of the finished ranking model, which stands at its best epoch.
        part: the training split. valid_data: the validation split.
        stages: records what it took. variant: puts another policy in place of each, for comparisons.
        ended: is shown all learners at the weights of the last step, for comparisons.
    """
    settings = ReinforceSettings.of(config)
    model, run_dir, learners = trainer.model, Path(config["run_dir"]), []
    if (run_dir / REINFORCED).exists():
        done = read_record(run_dir / REINFORCED, f"delete {run_dir} and run again")
        with stages("reinforce") as stage:
            stage.metric, stage.spared = done["metric"], done["seconds"]
            shutil.rmtree(run_dir / PROGRESS, ignore_errors=True)
        return
    if "cid2cid" in settings.tasks:
        policy = variant(ItemPolicy(model, part.sequences, settings.reward))
        own = (settings.prompts, settings.group, settings.learning_rate)
        learners.append(Learner(policy, *own, _validate_items(trainer, valid_data)))
    writes = "cid2ins" in settings.tasks and settings.feedback is None
    written = load_writer(run_dir, model.lm, model.table) if writes else None
    if writes and written is None:
        logger.warning("no instructions are reinforced: the run has no writer; put `write` into training_stages")
    if written is not None:
        rows = supervision_stage(config, part, model.table, stages)
        learner = _instruction_learner(config, settings, written, rows, part, model)
        learner.policy = variant(learner.policy)
        learners.append(learner)
    if not learners:
        raise InputError("reinforce has nothing to learn; give it tasks: [cid2cid], or a writer.")
    with stages("reinforce") as stage:
        grpo = Grpo(learners, settings, run_dir, model.device, config["save_seconds"])
        log = grpo.train(config["show_progress"])
        ended(learners)
        grpo.keep_best()
        for learner in learners:
            if learner.improved:
                save_learned(run_dir, learner.policy, trainer, valid_data)
        _draw(log, run_dir)
        stage.metric, stage.spared = "; ".join(map(_outcome, learners)), grpo.seconds_before
        tasks = {
            learner.policy.name: {"kept": learner.improved, "start": learner.scores[0], "score": learner.scores[1]}
            for learner in learners
        }
        write_record(run_dir / REINFORCED, {"tasks": tasks, "metric": stage.metric, "seconds": round(grpo.seconds, 3)})
        shutil.rmtree(run_dir / PROGRESS, ignore_errors=True)


def save_learned(run_dir: Path, policy: Policy, trainer: NaviGenTrainer, valid_data: AbstractDataLoader) -> None:
    """Put the weights of a policy's module into a run; those of the ranking model calibrated and
    validated anew, as the trainer and the checkpoint then say.
    """
    if policy.name == "cid2ins":
        save_weights(run_dir, policy.module)
        return
    calibrate(trainer.model, validation_targets(valid_data))
    trainer.best_valid_result = trainer.evaluate(valid_data, load_best_model=False)
    trainer.best_valid_score = trainer.exact_result[trainer.valid_metric]
    learned = {
        "state_dict": trainer.model.state_dict(),
        "best_valid_score": trainer.best_valid_score,
        "best_valid_result": trainer.best_valid_result,
    }
    save_checkpoint(run_dir / CHECKPOINT, **{**load_checkpoint(run_dir / CHECKPOINT), **learned})


def _outcome(learner: Learner) -> str:
    """What became of a task, in words."""
    start, kept = learner.scores
    verdict = f"{start:.4f} -> {kept:.4f}" if learner.improved else f"no gain over {start:.4f}, not kept"
    return f"{learner.policy.name} {verdict}" + (f" ({learner.stopped})" if learner.stopped else "")


def _validate_items(trainer: NaviGenTrainer, valid_data: AbstractDataLoader) -> Validate:
    """Validation as the ranking model's own: `valid_metric` of each user; every metric is logged."""
    lm = trainer.model.lm

    def validate() -> tuple[np.ndarray, dict[str, float]]:
        # It is calibrated for the score alone: what is drawn from keeps its own until the stage ends.
        buffers = {name: value.clone() for name, value in lm.named_buffers() if name in lm.state_dict()}
        calibrate(trainer.model, validation_targets(valid_data))
        values, result = _user_values(trainer, valid_data)
        for name, value in lm.named_buffers():
            if name in buffers:
                value.copy_(buffers[name])
        trainer.model.eval()
        return values, result

    return validate


def _user_values(trainer: NaviGenTrainer, valid_data: AbstractDataLoader) -> tuple[np.ndarray, dict[str, float]]:
    """`valid_metric` of each user, (P,), and all metrics; one value for all where it does not follow from the rank of
    one target a user.
    """
    evaluate, seen = trainer.evaluator.evaluate, []

    def watched(found: DataStruct) -> dict[str, float]:
        seen.extend([found.get("rec.topk")] if "rec.topk" in found else [])
        return evaluate(found)

    trainer.evaluator.evaluate = watched
    try:
        result = trainer.evaluate(valid_data, load_best_model=False)
    finally:
        trainer.evaluator.evaluate = evaluate
    metric = trainer.config["valid_metric"].lower()
    if metric.partition("@")[0] not in METRICS or not seen or (seen[0][:, -1] != 1).any():
        return np.array([trainer.exact_result[metric]]), result
    hits = seen[0][:, :-1].bool()
    ranks = torch.where(hits.any(dim=1), hits.int().argmax(dim=1), hits.shape[1])
    return metric_values(metric, ranks.cpu().numpy()), result


def _instruction_learner(
    config: Config, settings: ReinforceSettings, written: Author, rows: Sequence, part: NaviGenDataset, model: NaviGen
) -> Learner:
    """Instructions, learned from what the writer learned from, and validated on those of users it never saw, behind the
    item that the ranking model expects.
    """
    author, renderer, writer_settings = written.model, written.renderer, written.settings
    if not writer_settings["held_out"]:
        raise InputError(
            "the writer of this run has learned the instructions of all users, and none are left to validate on; "
            "train it in a run whose training_stages name write and reinforce."
        )
    author.to(config["device"])
    learned, kept_out = (
        InstructionRows.of(written, some, part.sequences)
        for some in split_by_user(rows, writer_settings["held_out"], writer_settings["seed"])
    )
    prompts = list(range(min(settings.eval_prompts, len(kept_out))))
    recommender = Recommender(TrainedModel(model.table, model.lm, model.renderer, config.public(), "", written))

    def expect(rows: InstructionRows, count: int) -> None:
        # Of all rows before the first step: what is expected is the supervised model's, also after a kill.
        read = [[item - 1 for item in history] for history in rows.histories[:count]]
        parts = tqdm(
            range(0, len(read), SEARCHED), desc="items expected next", disable=not config["show_progress"], leave=False
        )
        aims = [aim for first in parts for aim in recommender.aimed(read[first : first + SEARCHED])]
        rows.chosen = [aim.index + 1 for aim in aims]
        if rows.planner is not None:
            rows.expect([aim.best.terms for aim in aims], [(aim.items, aim.probabilities) for aim in aims])

    expect(kept_out, len(prompts))
    if settings.behind == "expected":
        expect(learned, len(learned))
    scorer = SCORERS[settings.scorer](config, model.table.terms)
    # A writer that may name what comes next is not to be fined for it.
    weights = {**({"copied": 0.0} if writer_settings["name_terms"] else {}), **settings.weights}
    given = (scorer, settings.reward, settings.triangle, weights)
    policy, watched = (
        InstructionPolicy(author, renderer, some, model.table.terms, *given) for some in (learned, kept_out)
    )

    def validate() -> tuple[np.ndarray, dict[str, float]]:
        draws = torch.Generator(author.special_rows.device).manual_seed(config["seed"])
        think = writer_settings["think_share"] > 0
        rollouts = [watched.write(prompts, 1, think, draws) for _ in range(settings.eval_draws)]
        rewards = np.concatenate([rollout.rewards for rollout in rollouts], axis=1)
        judged = np.isfinite(rewards)
        values = np.where(judged, rewards, 0.0).sum(axis=1) / np.where(judged.any(axis=1), judged.sum(axis=1), np.nan)
        means = [rollout.means() for rollout in rollouts]
        names = dict.fromkeys(name for row in means for name in row if name != "reward")
        seen = {name: float(np.mean([row[name] for row in means if name in row])) for name in names}
        words = [parse_answer(text).target_ins.lower().split() for rollout in rollouts for text in rollout.texts]
        return values, {**diversity(words), **seen}

    shape = (settings.instruction_prompts, settings.instruction_group, settings.instruction_learning_rate)
    return Learner(policy, *shape, validate)


def _draw(log: Sequence[Mapping[str, Any]], run_dir: Path) -> None:
    """What happened, step by step, as one page."""
    names = list(dict.fromkeys(name for entry in log for name in entry if name != "step"))
    plots = []
    for title, wanted in PLOTS.items():
        curves = {
            name: points
            for name in names
            if name.partition(" ")[2] in wanted
            and (points := {entry["step"]: entry[name] for entry in log if name in entry})
        }
        if curves:
            plots.append(curve_plot(title, "step", title, curves))
    facts = {"run": run_dir.name, "steps": str(max(entry["step"] for entry in log))}
    write_bytes(run_dir / REINFORCE_PAGE, to_html("Reinforcement", facts, (), plots).encode())
