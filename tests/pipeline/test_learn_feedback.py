"""What users said trains the writer, and is kept only where users it did not learn from agree."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import write_atomic
from tiny_settings import NAVIGEN, REINFORCE

from recbole_navigen.cli.feedback import feedback
from recbole_navigen.config import Config
from recbole_navigen.config.reinforcement import refuse_unfit_stages, reinforce_settings
from recbole_navigen.errors import InputError
from recbole_navigen.generation.records import write_records
from recbole_navigen.pipeline import learn_feedback as learning
from recbole_navigen.quick_start import Recommender, run_generate, run_navigen
from recbole_navigen.quick_start.run import find_run
from recbole_navigen.reinforcement.preference_pairs import (
    answer_log_probs,
    edited_plan,
    feedback_of,
    preference_loss,
    split_users,
)
from recbole_navigen.supervision.feedback_lines import read_feedback

SHORT = {"show_progress": False, "use_gpu": False, "epochs": 1, "MAX_ITEM_LIST_LENGTH": 8, "state": "ERROR"}
USERS = [f"u{number}" for number in range(24)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Runs whose writers write plans and free text."""
    folder = tmp_path_factory.mktemp("run")
    data = write_atomic(folder / "dataset", "tiny", users=40, items=60)
    settings = {**NAVIGEN, **SHORT, "data_path": str(data), "checkpoint_dir": str(folder / "saved")}
    settings |= {"training_stages": ["align", "finetune", "write"], "train_batch_size": 16}
    own = {"plan": {}, "text": {"instruction_form": "text", "writer_steps": 40, "instruction_tokens": 90}}
    return {
        form: run_navigen("NaviGen", "tiny", config_dict={**settings, **more})["run_dir"] for form, more in own.items()
    }


def said(run: str, folder: Path) -> list[dict]:
    """Feedback on what a run wrote: a third is kept, a third edited, a third discarded."""
    records = run_generate(run=run, users=USERS, output=folder, drafts=2, think=False)
    if records[0].plan is None:  # a writer of few steps writes no words
        scenes = ["river", "castle", "train"]
        records = [replace(one, instruction=f"A {scenes[place % 3]} in the rain.") for place, one in enumerate(records)]
        write_records(folder / "instructions.jsonl", records)
    metadata = [
        {"user": one.user, "media": "image", "status": "done", "sha256": one.user, "instruction": one.instruction}
        for one in records
    ]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metadata))
    for number, one in enumerate(records):
        verdict = ("keep", "edit", "discard")[number % 3]
        more = [f"--instruction={one.instruction} Pencil sketch, at dusk."] if verdict == "edit" else []
        assert feedback([str(folder), verdict, one.user, *more]) == 0
    return read_feedback(folder / "feedback.jsonl")


@pytest.mark.parametrize("form", ["plan", "text"])
def test_the_writer_learns_from_feedback(runs, form: str, tmp_path: Path, capsys, monkeypatch) -> None:
    lines = said(runs[form], tmp_path)
    assert all(line["history"] and line["aim"] for line in lines)
    author = Recommender.load(runs[form], device="cpu").author
    table = Recommender.load(runs[form], device="cpu").table
    found = feedback_of(author, table.item_tokens, table.known_terms, lines, 0)
    # Every answer is what its user was shown, and what was accepted stands before what was rejected.
    verdicts = {line["user"]: line["verdict"] for line in lines}
    assert found.pairs
    for accepted, rejected in found.pairs:
        assert verdicts[accepted.user] in ("keep", "edit") and verdicts[rejected.user] in ("edit", "discard")
        assert accepted.tokens != rejected.tokens or accepted.user != rejected.user
    assert sum(verdicts[one.user] == "discard" for _, one in found.pairs) + found.left_out.total() >= 8
    if form == "text":  # both texts of a pair stand at one place, and say other things there
        for accepted, rejected in found.pairs:
            assert (accepted.history, accepted.item, accepted.terms) == (
                rejected.history,
                rejected.item,
                rejected.terms,
            )
        assert len(found.edits) == 8 and author.renderer.vocabulary.raw_answer(found.edits[0].tokens).endswith(
            'dusk."}'
        )
    learned, kept_out = split_users(lines, 0.25, 3)
    assert not {line["user"] for line in learned} & {line["user"] for line in kept_out} and len(kept_out) == 6

    # The log-probabilities are those of the writer's own distribution over instructions.
    totals, counts = answer_log_probs(author, author.model, [pair[0] for pair in found.pairs])
    alone = torch.stack([answer_log_probs(author, author.model, [pair[0]])[0][0] for pair in found.pairs])
    assert torch.allclose(totals, alone, atol=1e-3) and (totals < 0).all() and (counts >= 1).all()

    # What it learns is kept where held-out users agree: here the same lines stand on both sides.
    monkeypatch.setattr(learning, "split_users", lambda lines, share, seed: (lines, lines))
    weights = {name: value.clone() for name, value in author.model.state_dict().items()}
    assert feedback([str(tmp_path), "learn", f"--run={runs[form]}", "--steps=40"]) == 0
    assert "kept" in capsys.readouterr().out
    record = json.loads((Path(runs[form]) / "feedback.json").read_text())
    after = Recommender.load(runs[form], device="cpu").author
    changed = any(not torch.equal(value, weights[name]) for name, value in after.model.state_dict().items())
    assert record["kept"] == changed
    if record["kept"]:
        assert record["preference"][1] > record["preference"][0] and record["likelihood"][1] >= record["likelihood"][0]
        assert record["lower"] > 0


def test_what_does_not_help_others_is_not_kept(runs, tmp_path: Path, monkeypatch) -> None:
    """Held-out users say the opposite: the writer stays as it was, bit for bit."""
    said(runs["text"], tmp_path)
    lines = [line for line in read_feedback(tmp_path / "feedback.jsonl") if line["verdict"] == "edit"]
    swapped = [{**line, "instruction": line["edited"], "edited": line["instruction"]} for line in lines]
    monkeypatch.setattr(learning, "split_users", lambda lines, share, seed: (lines, swapped))
    (tmp_path / "feedback.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = Recommender.load(runs["text"], device="cpu").author.model.state_dict()
    outcome = learning.learn_beside(runs["text"], tmp_path / "feedback.jsonl", {"steps": 10, "eval_every": 5}, False)
    assert not outcome.kept and "not kept" in outcome.sentence
    after = Recommender.load(runs["text"], device="cpu").author.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_an_edit_becomes_the_plan_that_says_most_of_it(runs) -> None:
    planner = Recommender.load(runs["plan"], device="cpu").author.planner
    brief = planner.brief([1, 2, 3], [4, 5], [0.6, 0.4], "image", ())
    plan = brief.fitted({}, lambda phrases: phrases[0])
    assert edited_plan(brief, plan, "") == plan
    aspect = next(name for name in brief.aspects if len(brief.candidates(name, {**plan})) > 1 and name == "mood")
    other = next(phrase for phrase in brief.candidates(aspect, plan) if phrase != plan[aspect])
    assert edited_plan(brief, plan, f"all of it {other}, please")[aspect] == other


def test_an_edit_stands_behind_the_terms_that_it_says(runs) -> None:
    recommender = Recommender.load(runs["text"], device="cpu")
    one, other = list(dict.fromkeys(own[0] for own in recommender.table.terms))[:2]
    line = {"user": "u1", "verdict": "edit", "media": "image", "sha256": "1", "domain": "generic", "plan": None}
    line |= {"history": recommender.item_tokens[:2], "aim": recommender.item_tokens[3], "terms": [one, "kept"]}
    line |= {"instruction": f"a picture of {one}", "edited": f"a picture of {other}"}
    table = recommender.table
    found = feedback_of(recommender.author, table.item_tokens, table.known_terms, [line], 0)
    ((accepted, rejected),) = found.pairs
    assert accepted.terms == rejected.terms == (other, "kept") and found.edits == [accepted]
    assert (accepted.text, rejected.text) == (line["edited"], line["instruction"])


def test_the_loss_is_that_of_the_paper() -> None:
    accepted, rejected, start = torch.tensor([-3.0, -1.0]), torch.tensor([-5.0, -1.0]), torch.tensor([-4.0, -2.0])
    margins = 0.5 * ((accepted - start) - (rejected - start)).numpy()
    assert preference_loss(accepted, rejected, (start, start), 0.5).item() == pytest.approx(
        float(np.mean(np.log1p(np.exp(-margins))))
    )


def test_the_stage_of_a_run_reads_the_file(tmp_path: Path, runs) -> None:
    said(runs["text"], tmp_path)
    file = tmp_path / "feedback.jsonl"
    data = write_atomic(tmp_path / "dataset", "tiny", users=40, items=60)
    settings = {**NAVIGEN, **SHORT, "data_path": str(data), "checkpoint_dir": str(tmp_path / "saved")}
    settings |= {"training_stages": ["align", "finetune", "write", "reinforce"], "instruction_form": "text"}
    settings |= {"instruction_tokens": 90, "reinforce": {**REINFORCE, "tasks": ["cid2ins"], "feedback": str(file)}}
    result = run_navigen("NaviGen", "tiny", config_dict=settings)
    assert (Path(result["run_dir"]) / "feedback.json").is_file()
    assert find_run(Config("NaviGen", "tiny", config_dict=settings)) == Path(result["run_dir"])
    file.write_text(file.read_text() + "\n")  # what was said since makes another run
    assert find_run(Config("NaviGen", "tiny", config_dict=settings)) is None
    with pytest.raises(InputError, match=r"feedback=nowhere\.jsonl is no file"):
        reinforce_settings({"feedback": "nowhere.jsonl"})
    wrong = {"training_stages": ["finetune", "reinforce"], "reinforce": {"feedback": str(file)}, "lora": False}
    with pytest.raises(InputError, match="put `write` before reinforce"):
        refuse_unfit_stages(wrong)


def test_what_cannot_be_learned_from_is_one_sentence(runs, tmp_path: Path, capsys) -> None:
    line = {"verdict": "keep", "user": "u1", "media": "image", "sha256": "0", "terms": ["drama"], "edited": None}
    (tmp_path / "feedback.jsonl").write_text(json.dumps(line) + "\n")
    assert feedback([str(tmp_path), "learn", f"--run={runs['text']}"]) == 2
    assert "the feedback has 0 pairs to learn from" in capsys.readouterr().err
    assert feedback([str(tmp_path), "learn"]) == 2 and "give both or neither" in capsys.readouterr().err
    assert feedback([str(tmp_path), "learn", "u1", f"--run={runs['text']}"]) == 2
    assert feedback([str(tmp_path), "learn", "--run=nowhere"]) == 2 and "not the folder" in capsys.readouterr().err
