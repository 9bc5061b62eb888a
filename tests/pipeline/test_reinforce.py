"""Reinforcement in a run: what is drawn, what is kept, and that every stage survives a kill."""

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from small_model import item_policy, small_model
from small_navigen import build
from tiny_settings import REINFORCE, STAGES
from tiny_settings import REINFORCED as FAST

from recbole_navigen.artefacts import read_json
from recbole_navigen.config import Config
from recbole_navigen.config.reinforcement import refuse_unfit_stages, reinforce_settings
from recbole_navigen.config.shipped import described as described_for
from recbole_navigen.config.shipped import section
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.errors import InputError
from recbole_navigen.language.adapters import add_lora, merge_lora, without_lora
from recbole_navigen.language.answer import Answer
from recbole_navigen.pipeline import reinforce as reinforcing
from recbole_navigen.pipeline import write as writing
from recbole_navigen.quick_start import Recommender, run_generate, run_navigen
from recbole_navigen.reinforcement import grpo
from recbole_navigen.reinforcement.objective import ADVANTAGES, AVERAGES
from recbole_navigen.reinforcement.policies import InstructionPolicy
from recbole_navigen.reinforcement.rewards import (
    REWARDS,
    Case,
    JudgeScorer,
    MediaScorer,
    TermScorer,
    instruction_rewards,
    novelty,
)
from recbole_navigen.reinforcement.scorers import SCORERS, refuse_unknown_scorer
from recbole_navigen.runs.load import load_navigen
from recbole_navigen.supervision.interfaces import Judgement
from recbole_navigen.training.checkpoint import load_checkpoint
from recbole_navigen.training.instruction_rows import split_by_user
from recbole_navigen.training.sft import NaviGenTrainer


# log c of the factor of repeats: rare, fitted to nothing, and frequent.
@pytest.mark.parametrize("log_factor", [0.0, -2.0, 3.0])
@pytest.mark.parametrize(("decoder", "history"), [("tree", "pooled"), ("tree", "dual"), ("tokens", "dual")])
def test_items_are_drawn_from_the_distribution_whose_probabilities_are_given(decoder, history, log_factor):
    policy, lm = item_policy(decoder=decoder, history=history)
    lm.repeats.log_factor.fill_(log_factor)
    policy.moments = policy.moments[1:2]  # behind items 4 and 9
    draws = torch.Generator().manual_seed(5)
    rollout = policy.roll(1, 6000, torch.Generator().manual_seed(1), draws)
    log_probs = policy.log_probs(rollout, lm)
    read = torch.tensor([[4, 9]])
    exact = policy.model.ranking.log_probs(policy.model.renderer.cid2cid(read, torch.tensor([2])), read)
    items = rollout.items[0] - 1
    assert torch.allclose(log_probs, exact[0, items], atol=1e-4)
    assert torch.allclose(log_probs, rollout.log_probs, atol=1e-4)
    expected = exact[0].double().exp().numpy() * 6000
    counts = np.bincount(items.numpy(), minlength=len(expected))
    rare = expected < 5
    merged = [np.append(values[~rare], values[rare].sum()) for values in (counts, expected)]
    assert chisquare(merged[0], merged[1] * merged[0].sum() / merged[1].sum()).pvalue > 1e-3
    assert rollout.owner.tolist() == list(range(6000))
    target = lm.codes[2].numpy()
    sampled = lm.codes[rollout.items[0]].numpy()
    right = np.logical_and.accumulate(sampled == target, axis=1)
    assert rollout.rewards[0] == pytest.approx(right @ np.array([0.5, 0.3, 0.2]))


def test_adapters_come_and_go():
    lm, renderer = small_model()
    rendered = renderer.cid2cid(torch.tensor([[4, 9]]), torch.tensor([2]))
    names, before = set(lm.state_dict()), lm.read(rendered).state
    add_lora(lm.backbone.lm, 2, 4)
    learned = [(name, p) for name, p in lm.named_parameters() if p.requires_grad and "backbone.lm.model" in name]
    assert learned and all("lora_" in name for name, _ in learned)
    with torch.no_grad():
        for _, parameter in learned:
            parameter += 0.1
    changed = lm.read(rendered).state
    assert not torch.allclose(changed, before, atol=1e-3)
    with without_lora(lm.backbone.lm):
        assert torch.allclose(lm.read(rendered).state, before, atol=1e-6)
    merge_lora(lm.backbone.lm)
    assert torch.allclose(lm.read(rendered).state, changed, atol=1e-5) and set(lm.state_dict()) == names


class HalfJudge:
    """Serves every other review."""

    def judge(self, reviews):
        return [(Judgement(8, 5, 6, 10),) if place % 4 < 2 else None for place in range(len(reviews))]


WORDS = st.lists(st.sampled_from(["red", "blue", "ball"]), max_size=6)


def test_novelty_by_hand():
    texts = ["a red ball", "a red box", "ball", "so so so"]
    assert novelty([text.split() for text in texts]).tolist() == [0.5, 0.5, 0.0, 0.5]


@given(st.lists(WORDS, min_size=2, max_size=5))
def test_novelty_is_what_a_text_adds_to_the_different_pairs_of_all(texts):
    def different(some):
        return len({pair for text in some for pair in pairwise(text)})

    for place, (text, found) in enumerate(zip(texts, novelty(texts), strict=True)):
        added = different(texts) - different(texts[:place] + texts[place + 1 :])
        assert found * max(len(text) - 1, 1) == pytest.approx(added)


def test_what_a_judge_cannot_score_is_left_out_and_counted():
    text = '{"target_tid": ["red"], "target_ins": "a blue river at dawn"}'
    cases = [Case(text, False, ("red", "war"), "film", "image")] * 4
    scored = instruction_rewards(cases, JudgeScorer(HalfJudge()))
    assert scored.failed == 2 and np.isnan(scored.rewards).tolist() == [False, True, False, True]
    expected = 0.25 * (0.8 + 0.8 + 0.8 + 2 / 3)
    assert scored.rewards[0] == pytest.approx(expected)
    without = instruction_rewards(cases, JudgeScorer(HalfJudge()), triangle=False)
    assert without.rewards[0] == pytest.approx(0.25 * 0.8)
    # A thought that was asked for and is missing, and an answer that is none.
    bad = [Case(text, True, ("red",), "film", "image"), Case("no", False, ("red",), "film", "image")]
    found = instruction_rewards(bad, JudgeScorer(HalfJudge()))
    assert found.rewards[0] == pytest.approx(0.5 * 0.25 * (0.8 + 0.8 + 0.8 + 1.0 + 1.0)) and found.rewards[1] == 0
    literal = TermScorer()([Answer(("red",), "a red river", None)], [cases[0]])[0]
    assert literal["ins_gold"] == 0.5 and literal["ins_pred"] == 1.0


def test_a_scorer_may_add_a_part_and_give_it_a_weight():
    """`clip`, of a stand-in that draws nothing; where it fails, the answer counts as not judged."""
    seen = []

    def fit(instructions, terms, media):
        seen.extend(zip(instructions, terms, media, strict=True))
        return [0.5, None]

    text = '{"target_tid": ["red"], "target_ins": "a blue river at dawn"}'
    cases = [Case(text, False, ("red", "war"), "film", "video")] * 2
    plain = instruction_rewards(cases, TermScorer())
    scored = instruction_rewards(cases, MediaScorer(TermScorer(), fit), weights={"clip": 0.4, "copied": 0.0})
    assert seen[0] == ("a blue river at dawn", "red, war", "video")
    assert scored.rewards[0] == pytest.approx(plain.rewards[0] + 0.2) and np.isnan(scored.rewards[1])
    assert scored.failed == 1 and scored.parts["clip"][0] == 0.5 and np.isnan(scored.parts["clip"][1])
    with pytest.raises(InputError, match="weighs 'clip', but the scorer gives only quality"):
        instruction_rewards(cases, TermScorer(), weights={"clip": 0.4})


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"tasks": ["cid2tid"]}, "each entry of reinforce.tasks must be one of cid2cid, cid2ins, not 'cid2tid'"),
        ({"tasks": []}, "reinforce.tasks is an empty list"),
        ({"reward": "papr"}, "reinforce.reward must be one of prefix, paper, not 'papr'"),
        ({"advantage": "rank"}, "advantage must be one of group, batch, none"),
        ({"average": "x"}, "average must be one of tokens, samples"),
        ({"steps": 0}, "steps must be a whole number of at least 1"),
        ({"group": 1}, "group must be a whole number of at least 2, not 1"),
        ({"resample": -1}, "resample must be a whole number of at least 0"),
        ({"clip": -3}, "clip must be a number above 0, not -3"),
        ({"kl": -1}, "kl must be a number of at least 0"),
        ({"max_kl": -1}, "max_kl must be a number above 0"),
        ({"max_diversity_loss": 2}, "max_diversity_loss must be a number of at least 0 and at most 1"),
        ({"learning_rate": 0}, "learning_rate must be a number above 0"),
        ({"prompts": 32, "accumulation": 3}, "accumulation=3 must divide prompts=32"),
        ({"accumulation": 2, "instruction_prompts": 3}, "accumulation=2 must divide instruction_prompts=3"),
        ({"reward": "paper", "triangle": False}, "reward=paper is the released formula as it stands"),
        ({"behind": "last"}, "behind must be one of next, expected"),
        ({"weights": {"clip": "much"}}, "reinforce.weights.clip must be a number, not 'much'"),
        ({"stepz": 3}, "stepz"),
    ],
)
def test_bad_settings_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        reinforce_settings(wrong)


PLAIN = {"training_stages": STAGES, "lora": False}


@pytest.mark.parametrize(
    "model, own, message",
    [
        ({"lora": True}, {"lora_rank": 4}, "lora_rank=4 puts adapters on a body that has some"),
        ({"training_stages": ["finetune", "reinforce"]}, {"tasks": ["cid2ins"]}, "needs a writer; put `write`"),
        ({}, {"reward": "papr"}, "not 'papr'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_training(model, own, message):
    refuse_unfit_stages({**PLAIN, "reinforce": {}})
    with pytest.raises(InputError, match=message):
        refuse_unfit_stages({**PLAIN, **model, "reinforce": own})


@pytest.mark.parametrize("stages", [["reinforce", "finetune"], ["align"], ["finetune", "rest"]])
def test_bad_stages_are_refused(stages):
    with pytest.raises(InputError, match="training_stages="):
        refuse_unfit_stages({"training_stages": stages, "reinforce": {}})


def test_scorers_and_the_parts_they_do_not_give_are_refused_before_training():
    with pytest.raises(InputError, match="scorer='clip' is unknown; use embedding, terms, judge"):
        refuse_unknown_scorer({**PLAIN, "reinforce": {"scorer": "clip"}})
    with pytest.raises(InputError, match=r"unknown setting `clip` of reinforce\.weights"):
        refuse_unknown_scorer({**PLAIN, "reinforce": {"weights": {"clip": 0.25}}})
    refuse_unknown_scorer({**PLAIN, "reinforce": {"weights": {"copied": 0.0}}})


def test_the_choices_of_the_yaml_are_those_of_the_code():
    described = section("reinforce")
    for name, code in (("reward", REWARDS), ("advantage", ADVANTAGES), ("average", AVERAGES)):
        assert set(described[name].kinds[0].choices) == set(code)
    assert described["scorer"].default in SCORERS
    assert set(described_for("NaviGen")["training_stages"].kinds[0].inner[0].choices) == set(STAGES)


@pytest.mark.parametrize(("metric", "single"), [("NDCG@5", True), ("MRR@5", True), ("ItemCoverage@5", False)])
def test_next_items_are_validated_user_by_user(tiny, metric, single):
    metrics = ["NDCG", "MRR", "ItemCoverage"]
    _, (train_data, valid_data, _), _, trainer = build(tiny, valid_metric=metric, metrics=metrics)
    trainer.eval_collector.data_collect(train_data)
    values, result = reinforcing._validate_items(trainer, valid_data)()
    users = len(valid_data._dataset.inter_feat)
    assert len(values) == (users if single else 1) and values.mean() == pytest.approx(result[metric.lower()], abs=1e-4)
    assert not single or len(np.unique(values)) > 1


def test_a_run_with_adapters_is_loaded_like_any_other(tiny, monkeypatch):
    """And its result says what reinforcement reached, here whatever that is, not what it began with."""
    monkeypatch.setattr(grpo, "paired_gain", lambda after, before: (1.0, 1.0))
    settings = {**FAST, "data_path": str(tiny), "training_stages": ["align", "finetune", "reinforce"]}
    settings["reinforce"] = {**REINFORCE, "lora_rank": 2, "tasks": ["cid2cid"]}
    result = run_navigen("NaviGen", "tiny", config_dict=settings)
    run = result["run_dir"]
    config = Config("NaviGen", "tiny", config_dict=settings)
    train_data, valid_data, _ = data_preparation(config, create_dataset(config))
    trainer = NaviGenTrainer(config, load_navigen(config, train_data._dataset, run))
    assert trainer.evaluate(valid_data, load_best_model=False) == pytest.approx(result["best_valid_result"], abs=1e-6)
    assert result["best_valid_score"] == read_json(Path(run) / "result.json")["best_valid_score"]
    assert result["best_valid_score"] == load_checkpoint(Path(run) / "checkpoint")["best_valid_score"]
    assert result["best_valid_score"] != max(row["score"] for row in result["validations"])
    assert len(Recommender.load(run).recommend(["i1"], 3)) == 3
    log = [json.loads(line) for line in (Path(run) / "reinforce.jsonl").read_text().splitlines()]
    assert "cid2cid valid recall@10" in log[0]
    assert sum("cid2cid reward" in entry for entry in log) == 4 and not any("cid2ins reward" in entry for entry in log)
    written = run_generate("tiny", config_dict=settings, n_users=1)
    assert written[0].instruction


@pytest.mark.parametrize("behind", ["expected", "next"])
def test_instructions_are_validated_as_users_get_them_for_users_nothing_has_learned_from(tiny, monkeypatch, behind):
    """On the way the run breaks off once its weights are in place, and goes on, also with a metric that needs the
    training data.
    """
    learned, asked = [], []
    monkeypatch.setattr(writing, "train_writer", lambda writer, rows, *args: learned.append(rows) or 1.0)
    own_write = InstructionPolicy.write

    def write(self, drawn, group, think, draws):
        asked.append((self.rows, list(drawn)))
        return own_write(self, drawn, group, think, draws)

    monkeypatch.setattr(InstructionPolicy, "write", write)
    own = {**REINFORCE, "tasks": ["cid2ins"], "steps": 1, "eval_draws": 3, "resample": 0, "behind": behind}
    metrics = ["Recall", "NDCG", "ItemCoverage"]
    settings = {**FAST, "data_path": str(tiny), "epochs": 1, "reinforce": own, "metrics": metrics}
    draw = reinforcing._draw
    monkeypatch.setattr(reinforcing, "_draw", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_navigen("NaviGen", "tiny", config_dict=settings)
    monkeypatch.setattr(reinforcing, "_draw", draw)
    calls = len(asked)
    run = run_navigen("NaviGen", "tiny", config_dict=settings)["run_dir"]
    assert len(asked) == calls == 3 + 1 + 3 and read_json(Path(run) / "writer/settings.json")["held_out"] == 0.1

    # 1. Moments of a tenth of the users, which neither the writer nor reinforcement has learned from.
    (taught,), (watched, places), (reinforced, _) = learned, asked[0], asked[3]
    moments = [
        {(tuple(history), item) for history, item in zip(rows.histories, rows.items, strict=True)}
        for rows in (taught, reinforced, watched)
    ]
    assert moments[0] == moments[1] and not moments[0] & moments[2]
    assert 2 <= len(watched) <= 6 < len(taught)  # of 6 users, those whose instructions are short enough
    assert places == list(range(min(4, len(watched))))

    # 2. Behind what the ranking model expects, not behind what came next, unless that is wanted for what is learned.
    recommender = Recommender.load(run)
    tokens = recommender.table.item_tokens

    def expected(histories):
        return [aim.item for aim in recommender.aims([[tokens[item - 1] for item in history] for history in histories])]

    assert [tokens[item - 1] for item in watched.chosen] == expected([watched.histories[place] for place in places])
    if behind == "next":
        assert reinforced.chosen == reinforced.items
    else:
        assert [tokens[item - 1] for item in reinforced.chosen] == expected(reinforced.histories)
        assert reinforced.chosen != reinforced.items


def test_users_are_held_out_whole():
    rows = [SimpleNamespace(row=place // 3, target=place % 3) for place in range(60)]
    learned, kept_out = split_by_user(rows, 0.1, 7)
    held = {row.row for row in kept_out}
    assert len(held) == 2 and len(kept_out) == 6 and len(learned) == 54
    assert not held & {row.row for row in learned}
    assert split_by_user(rows, 0.1, 7) == (learned, kept_out) != split_by_user(rows, 0.1, 8)
