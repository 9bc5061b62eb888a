"""The stage `reinforce` of a run: GRPO on the finished ranking model and on the writer beside it."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_navigen.artefacts import write_bytes, write_json
from recbole_navigen.config import Config
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.instructions import diversity
from recbole_navigen.evaluation.page import to_html
from recbole_navigen.evaluation.plots import curve_plot
from recbole_navigen.language.parsing import parse_answer
from recbole_navigen.model.fitting import fit_mixture
from recbole_navigen.quick_start.pipeline import supervision_stage
from recbole_navigen.quick_start.stages import Stages
from recbole_navigen.quick_start.supervised import roles_of
from recbole_navigen.quick_start.training_stages import reinforce_settings
from recbole_navigen.quick_start.writing import load_writer, save_weights
from recbole_navigen.supervision.space import TermSpace
from recbole_navigen.supervision.template_judge import TemplateJudge
from recbole_navigen.training.checkpoint import load_checkpoint, save_checkpoint
from recbole_navigen.training.grpo import PROGRESS, Grpo, Learner, Validate
from recbole_navigen.training.instructions import InstructionRows
from recbole_navigen.training.policies import InstructionPolicy, ItemPolicy, Policy
from recbole_navigen.training.rewards import JudgeScorer, Scorer, TermScorer
from recbole_navigen.training.sft import NaviGenTrainer

PAGE, DONE = "reinforce.html", "reinforced.json"  # of a run's folder
# What the page shows: title of a plot -> names in the log, without the task before them.
PLOTS = {
    "score on validation": ("valid score",),
    "reward": ("reward", "valid quality", "valid ins_gold", "valid ins_pred", "valid pred_gold"),
    "distance to the supervised model, nats an action": ("kl",),
    "entropy, nats an action": ("entropy",),
    "diversity (distinct-2)": ("valid distinct_2",),
    "answers that name a term of the target": ("copied", "valid copied"),
    "tokens of an answer": ("length", "valid length"),
}
HELD_OUT = 0.1  # of the instructions: they are validated on and not learned

logger = logging.getLogger(__name__)


def reinforce(
    config: Config,
    trainer: NaviGenTrainer,
    dataset: Any,
    part: Any,
    valid_data: Any,
    stages: Stages,
    variant: Callable[[Policy], Policy] = lambda policy: policy,
) -> None:
    """Run the stage. The checkpoint and the writer of the run hold what validated best, which may be what they held.

    Args:
        config: settings of the run. trainer: of the finished ranking model, which stands at its best epoch.
        dataset: for raw user ids. part: the training split. valid_data: the validation split.
        stages: records what it took. variant: puts another policy in place of each, for comparisons.
    """
    settings = {**reinforce_settings(config["reinforce"]), "seed": config["seed"]}
    model, run_dir, learners = trainer.model, Path(config["run_dir"]), []
    if (run_dir / DONE).exists():
        return
    if "cid2cid" in settings["tasks"]:
        kind = settings["policy"] or ("codes" if model.lm.dense is None else "mixture")
        policy = variant(ItemPolicy(model, part.sequences, kind, settings["reward"]))
        learners.append(Learner(policy, settings["prompts"], settings["group"], _validate_items(trainer, valid_data)))
    written = load_writer(run_dir, model.lm, model.table) if "cid2ins" in settings["tasks"] else None
    if "cid2ins" in settings["tasks"] and written is None:
        logger.warning("no instructions are reinforced: the run has no writer; put `write` into training_stages")
    if written is not None:
        rows = supervision_stage(config, dataset, part, model.table, stages)
        learner = _instruction_learner(config, settings, written, rows, part, model.table.terms)
        learner.policy = variant(learner.policy)
        learners.append(learner)
    if not learners:
        raise InputError("reinforce has nothing to learn; give it tasks: [cid2cid], or a writer.")
    with stages("reinforce") as stage:
        grpo = Grpo(learners, settings, run_dir, model.device)
        log = grpo.train(config["show_progress"])
        stage.metric = "; ".join(_outcome(learner, log) for learner in learners)
        for learner in learners:
            if not learner.improved:
                continue
            if learner.policy.name == "cid2cid":
                fit_mixture(model, valid_data)
                state = load_checkpoint(trainer.saved_model_file)
                save_checkpoint(trainer.saved_model_file, **{**state, "state_dict": model.state_dict()})
            else:
                save_weights(run_dir, learner.policy.module)
        _draw(log, run_dir)
        outcome = {learner.policy.name: {"kept": learner.improved, "score": learner.score} for learner in learners}
        write_json(run_dir / DONE, outcome)
        shutil.rmtree(run_dir / PROGRESS, ignore_errors=True)


def _outcome(learner: Learner, log: Sequence[Mapping[str, Any]]) -> str:
    """What became of a task, in words."""
    name = f"{learner.policy.name} valid score"
    start = next(entry[name] for entry in log if name in entry)
    verdict = f"{start:.4f} -> {learner.score:.4f}" if learner.improved else f"no gain over {start:.4f}, not kept"
    return f"{learner.policy.name} {verdict}" + (f" ({learner.stopped})" if learner.stopped else "")


def _validate_items(trainer: NaviGenTrainer, valid_data: Any) -> Validate:
    lm = trainer.model.lm

    def validate() -> tuple[float, dict[str, float]]:
        # Shares are fitted for the score alone: what is drawn from keeps its own until the stage ends.
        kept = {name: value.clone() for name, value in lm.named_buffers() if name in lm.state_dict()}
        fit_mixture(trainer.model, valid_data)
        result = trainer.evaluate(valid_data, load_best_model=False)
        for name, value in lm.named_buffers():
            if name in kept:
                value.copy_(kept[name])
        trainer.model.eval()
        score = result[trainer.config["valid_metric"].lower()]
        return score, {"score": score}

    return validate


def _instruction_learner(
    config: Config, settings: Mapping[str, Any], written: tuple, rows: Sequence, part: Any, terms: Sequence
) -> Learner:
    author, renderer, own = written
    author.to(config["device"])
    order = np.random.default_rng(config["seed"]).permutation(len(rows))
    held = max(2, round(HELD_OUT * len(rows)))
    learned, kept_out = (
        InstructionRows(
            [rows[place] for place in places],
            part.sequences,
            renderer,
            own["MAX_ITEM_LIST_LENGTH"],
            own["think_share"],
            own["choose_item"],
        )
        for places in (order[held:], order[:held])
    )
    scorer = _scorer(config, settings["scorer"], terms)
    given = (scorer, settings["reward"], settings["triangle"])
    policy = InstructionPolicy(author, renderer, learned, terms, *given)
    watched = InstructionPolicy(author, renderer, kept_out, terms, *given)

    def validate() -> tuple[float, dict[str, float]]:
        drawn = list(range(min(settings["eval_prompts"], len(kept_out))))
        draws = torch.Generator(author.special_rows.device).manual_seed(config["seed"])
        rollout = watched.write(drawn, 1, own["think_share"] > 0, draws)
        means = rollout.means()
        score = means.pop("reward", 0.0)
        words = [parse_answer(text).target_ins.lower().split() for text in rollout.texts]
        return score, {"score": score, **diversity(words), **means}

    return Learner(policy, settings["instruction_prompts"], settings["instruction_group"], validate)


def _scorer(config: Config, name: str, terms: Sequence[Sequence[str]]) -> Scorer:
    if name == "terms":
        return TermScorer()
    if name == "embedding":
        return JudgeScorer(TemplateJudge(TermSpace(terms)))
    return JudgeScorer(roles_of(config, terms).judge)


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
    write_bytes(run_dir / PAGE, to_html("Reinforcement", facts, (), plots).encode())
