"""`run_generate` from end to end: it trains once, then only writes."""

import html
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from small_media import small_clip
from tiny_settings import NAVIGEN

from recbole_navigen.cli.generate import generate
from recbole_navigen.config import Config
from recbole_navigen.config.media_metrics import NAMES
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.fluency import INSTRUCTIONS
from recbole_navigen.evaluation.simple_writers import ORACLE, POPULAR, SIMPLE
from recbole_navigen.generation.records import read_records
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.language.answer import parse_answer
from recbole_navigen.pipeline import write as writing
from recbole_navigen.pipeline.write import add_writer
from recbole_navigen.quick_start import Recommender, run_generate, run_navigen
from recbole_navigen.serving.agreement import Agreement
from recbole_navigen.supervision.rows import InstructionRow, Supervision
from recbole_navigen.supervision.template.term_space import TermSpace
from recbole_navigen.training import writer_steps
from recbole_navigen.training.checkpoint import load_checkpoint
from recbole_navigen.training.progress import Progress

# No sentence encoder and no language model, which take longer to load than all else here.
PLAIN = {"similarity_model": "tf-idf", "fluency_model": None}
SHORT = {"show_progress": False, "use_gpu": False, "epochs": 2, "MAX_ITEM_LIST_LENGTH": 8, "state": "ERROR"}


def test_a_run_is_trained_once_and_writes_for_anyone(tiny, capsys, monkeypatch):
    settings = {**NAVIGEN, **SHORT, "data_path": str(tiny), "train_batch_size": 16}
    first = run_generate("tiny", config_dict=settings, n_users=3, output="out", media="mixed")
    assert len(list(Path("saved").glob("NaviGen-*"))) == 1
    shown = capsys.readouterr().out
    assert shown.count("  for     Tale") == 3 and shown.count("  thinks  ") == 3
    rows = [json.loads(line) for line in Path("out/instructions.jsonl").read_text().splitlines()]
    assert read_records("out/instructions.jsonl") == first and [row["media"] for row in rows] == [
        "image",
        "video",
        "image",
    ]
    for row in rows:
        answer = parse_answer(row["answer"])
        assert (list(answer.target_tid), answer.target_ins) == (row["terms"], row["instruction"])
        assert row["aim"] not in row["history"] and row["aim_title"].startswith("Tale") and row["target"] is None
    page = Path("out/report.html").read_text()
    assert "stands for what is expected: Tale" in page and rows[0]["instruction"] in html.unescape(page)

    # The same settings find the run; a run can be named; writing alone trains nothing.
    monkeypatch.setattr("recbole_navigen.quick_start.run.run_navigen", None)
    again = run_generate("tiny", config_dict=settings, users="u3,u5", think=False)
    assert [record.user for record in again] == ["u3", "u5"] and again[0].reasoning is None
    run = next(Path("saved").glob("NaviGen-*"))
    assert generate([f"--run={run}", "--users=all", "--temperature=1", "--output=all"]) == 0
    assert len(Path("all/instructions.jsonl").read_text().splitlines()) == 60
    assert "the first 20 of 60 users are shown" in capsys.readouterr().out
    with pytest.raises(InputError, match="n_users must be a whole number of at least 1"):
        run_generate(run=run, n_users=0)
    with pytest.raises(InputError, match=r"n_users=3 says how many users, users=\['3'\] names one"):
        run_generate(run=run, users=3)
    assert generate([f"--run={run}", "--users=u999"]) == 2
    capsys.readouterr()
    assert generate([f"--run={run}", "--users=3"]) == 2 and "unknown user '3'" in capsys.readouterr().err
    assert generate([f"--run={run}", "--users=u3", "--n_users=3"]) == 2 and "keep one" in capsys.readouterr().err
    Path("who.txt").write_text("u5\nu3\n")
    assert generate([f"--run={run}", "--users=who.txt", "--drafts=1", "--output=listed"]) == 0
    assert [record.user for record in read_records("listed/instructions.jsonl")] == ["u5", "u3"]
    assert generate([f"--run={run}", "--dataset=tiny"]) == 2

    recommender = Recommender.load(run)
    drawn = [recommender.instruct([["i1", "i2"]], temperature=1.0, seed=seed)[0] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2] and drawn[0].log_probability < 0
    top = recommender.recommend(["i1", "i2"], 50, exclude_history=True)
    terms, tokens = recommender.table.terms, recommender.table.item_tokens
    agreement = Agreement(terms, TermSpace(terms).encode([" ".join(item) for item in terms]))
    gains = agreement.gains([tokens.index(item.item) for item in top], [item.probability for item in top])
    assert drawn[0].aim == top[int(gains.argmax())]
    chances = [tokens.index(item.item) for item in top], [item.probability for item in top]
    told = agreement.expected_terms(*chances, len(drawn[0].aim.terms))
    assert all(one.terms == told for one in drawn)
    assert all(one.plan["label"] in one.instruction and one.plan["subject"][1:] in one.instruction for one in drawn)
    assert recommender.instruct([["i1", "i2"]], pool=1)[0].aim == top[0]
    # Plans are drawn more widely than the model has them.
    assert recommender.instruct([["i1", "i2"]]) == recommender.instruct([["i1", "i2"]], temperature=2.0)
    # A pool beyond what is left is all that is left, and what one history gets does not depend on the others.
    longer = [["i1", "i2"], ["i1", "i2", "i3", "i2"]]
    # Words that are drawn hang on rounding, which a batch of another size may turn; the most probable ones do not.
    both = recommender.instruct(longer, pool=10**6, temperature=0.0)
    for history, found in zip(longer, both, strict=True):
        alone = recommender.instruct([history], pool=10**6, temperature=0.0)[0]
        assert found.log_probability == pytest.approx(alone.log_probability, abs=1e-3)
        assert replace(found, log_probability=0.0) == replace(alone, log_probability=0.0)
    for wrong, message in (({"media": "song"}, "media must be one of"), ({"domain": "books"}, "domain must be one of")):
        with pytest.raises(InputError, match=message):
            recommender.instruct([["i1"]], **wrong)


def test_a_run_without_the_task_says_so(tiny):
    settings = {**NAVIGEN, **SHORT, "task_weights": {"cid2cid": 1.0, "cid2tid": 0.0, "tid2cid": 0.0}}
    result = run_navigen("NaviGen", "tiny", config_dict={**settings, "data_path": str(tiny)})
    assert "supervision" not in json.loads((Path(result["run_dir"]) / "result.json").read_text())["seconds"]
    with pytest.raises(InputError, match="has not learned to write instructions"):
        Recommender.load(result["run_dir"]).instruct([["i1"]])


def test_instructions_become_media_that_are_scored_against_held_out_items(tiny, own_folder, capsys, monkeypatch):
    settings = {**NAVIGEN, **SHORT, "data_path": str(tiny), "train_batch_size": 16}
    pictures = own_folder / "pictures"
    pictures.mkdir()
    for number in range(1, 81):
        Image.new("RGB", (40, 32), (3 * number, 255 - 3 * number, 90)).save(pictures / f"i{number}.png")
    clip = small_clip(own_folder / "clip")
    media = {"image_model": "retrieval", "clip_model": clip, "item_images": str(pictures), "control_users": 2, **PLAIN}
    asked = {"config_dict": settings, "n_users": 6, "output": "out", "held_out": True}
    rows = run_generate("tiny", **asked, generation=media)
    shown = capsys.readouterr().out
    assert "'done': 6" in shown and "report.html" in shown
    histories = Recommender.load(next(Path("saved").glob("NaviGen-*")))
    for row in rows:
        assert [*row.history, row.target] == histories.history_of(row.user)
        assert (Path("out/images") / f"{row.user}.png").is_file()
    assert (Path("out/scores-image") / "pairs.parquet").is_file()
    page = Path("out/report.html").read_text()
    assert "CLIPScore" in page and "Evolution of one instruction" in page and "Training loss" in page
    assert "safety checker of images" in page and "none in retrieval" in page and "held out: Tale" in page
    # The metrics of the ranking and of the media stand in one result.
    run = next(Path("saved").glob("NaviGen-*"))
    tested = json.loads((run / "result.json").read_text())["test_result"]
    found = json.loads(Path("out/result.json").read_text())["test_result"]["image"]
    assert {name: found[name] for name in tested} == tested
    assert {name.lower() for name in NAMES} == set(found) - set(tested)

    # So do the scores of the instructions, beside those of simple writers.
    written = json.loads(Path("out/result.json").read_text())["instructions"]
    assert written["users"] == 6 and written["space"] == "tf-idf of words" and written["kinds"] == "genre"
    assert list(written["writers"]) == [INSTRUCTIONS, *SIMPLE] and list(written["minus"]) == list(SIMPLE)
    for own in written["writers"].values():
        assert own["valid"]["mean"] == 1 and own["target_similarity"]["low"] <= own["target_similarity"]["high"]
    assert written["writers"][ORACLE]["tid_f1"]["mean"] == pytest.approx(1)
    assert written["writers"][ORACLE]["target_similarity"]["mean"] == pytest.approx(1)
    assert written["writers"][POPULAR]["openings"] == 1
    assert written["fluency"] == {"unmeasured": "fluency_model is None"} and "Fluency is not measured" in page
    assert "Instructions and simple writers" in page and "five best titles" in shown

    # A second call keeps the files, and the command line reaches all of it; a reference picture joins the history. All
    # users again: in a batch of another size, rounding can turn a token of so untrained a model.
    given = [f"--{key}={'~' if value is None else value}" for key, value in media.items()]
    assert generate([f"--run={run}", "--n_users=6", "--held_out", "--output=out", *given]) == 0
    assert "'kept': 6" in capsys.readouterr().out
    again = run_generate("tiny", **asked, generation={**media, "reference_image": str(pictures / "i9.png")})
    assert len(again) == 6 and "report.html" in capsys.readouterr().out
    assert generate([f"--run={run}", "--n_users=3", *given]) == 2
    assert "set --output=DIR" in capsys.readouterr().err
    assert generate([f"--run={run}", "--n_users=3", "--media=video", "--output=out", *given]) == 2
    assert "there is no video_model" in capsys.readouterr().err
    assert generate([f"--run={run}", "--epochs=3"]) == 2

    # Extra scores reach the page and the result; a package that is missing is said before anything is written.
    monkeypatch.setitem(sys.modules, "skimage.metrics", SimpleNamespace(structural_similarity=lambda *_, **__: 0.25))
    more = [f"--run={run}", "--n_users=3", "--held_out", "--output=more", *given, "--extra_metrics=[ssim]"]
    assert generate(more) == 0
    assert json.loads(Path("more/result.json").read_text())["test_result"]["image"]["ssim"] == 0.25
    assert "Beside CLIP" in Path("more/report.html").read_text()
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    no = [f"--run={run}", "--n_users=3", "--output=no", *given, "--extra_metrics=[ssim]"]
    assert generate([*no, "--held_out"]) == 2
    assert "needs scikit-image" in capsys.readouterr().err and not Path("no").exists()

    # Without held-out items nothing is scored: what asks for scores is refused or said, and a guess is called one.
    assert generate(no) == 2 and "make media with --held_out" in capsys.readouterr().err and not Path("no").exists()
    assert generate([*no[:2], "--output=guess", *given]) == 0
    page = Path("guess/report.html").read_text()
    assert "stands for what is expected: Tale" in page and "held out: Tale" not in page
    assert not Path("guess/scores-image").exists()
    assert json.loads(Path("guess/result.json").read_text())["test_result"] == {}

    # One user of a kind is scored, too; a mean of one has no interval.
    assert generate([*no[:1], "--users=u3", "--held_out", "--output=one", *given]) == 0
    assert json.loads(Path("one/result.json").read_text())["test_result"]["image"]["clipscore"] > -1
    assert "CLIPScore" in Path("one/report.html").read_text() and ">nan" not in Path("one/report.html").read_text()

    # A run is no place for media: its result would be overwritten.
    result = (run / "result.json").read_bytes()
    for place in (run, run / "media"):
        assert generate([f"--run={run}", "--n_users=1", f"--output={place}", *given]) == 2
        assert "name one outside of it" in capsys.readouterr().err
        with pytest.raises(InputError, match="is in the folder of a run"):
            run_generate("tiny", config_dict=settings, n_users=1, output=place)
    assert (run / "result.json").read_bytes() == result and not (run / "media").exists()
    to_image = {"image_model": "x", "clip_model": clip, "reference_image": str(pictures / "i9.png")}
    with pytest.raises(InputError, match="image_to_image starts images and only videos"):
        run_generate(run=run, n_users=1, output="no", media="video", generation={**to_image, "image_to_image": True})


def test_a_run_without_a_writer_gets_one_and_its_file_is_edited_and_rendered(tiny, own_folder, capsys, monkeypatch):
    settings = {**NAVIGEN, **SHORT, "data_path": str(tiny)}
    run = Path(run_navigen("NaviGen", "tiny", config_dict=settings)["run_dir"])
    capsys.readouterr()
    plain = [f"--{key}={'~' if value is None else value}" for key, value in PLAIN.items()]
    assert generate([f"--run={run}", "--users=nobody"]) == 2 and not (run / "writer").exists()
    capsys.readouterr()
    assert generate([f"--run={run}", "--users=u3,u5,u7", "--held_out", "--output=out", *plain]) == 0
    assert "has no writer" in capsys.readouterr().out
    # It is the writer that the run's settings make: they find it, and nothing is trained again.
    monkeypatch.setattr("recbole_navigen.pipeline.write.train_writer", None)
    assert len(run_generate("tiny", config_dict=settings, users="u3")) == 1

    # One line is edited by hand, and another model makes the media, without the run and with it.
    file = Path("out/instructions.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[1] |= {"instruction": "a paper boat on a calm sea", "note": "mine"}
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    pictures = own_folder / "pictures"
    pictures.mkdir()
    for number in range(1, 81, 2):
        Image.new("RGB", (40, 32), (3 * number, 255 - 3 * number, 90)).save(pictures / f"i{number}.png")
    clip = small_clip(own_folder / "clip")
    retrieval = ["--image_model=retrieval", f"--clip_model={clip}", f"--item_images={pictures}", "--control_users=2"]
    assert generate([f"--instructions={file}", "--output=alone", *retrieval]) == 0
    shown = capsys.readouterr().out
    assert "'done': 3" in shown and "a paper boat on a calm sea" in shown and "Tale" in shown
    assert read_records("alone/instructions.jsonl") == read_records(file)
    assert json.loads(Path("alone/instructions.jsonl").read_text().splitlines()[1])["note"] == "mine"
    result = json.loads(Path("alone/result.json").read_text())
    assert result["run"] is None and "instructions" not in result and "clipscore" in result["test_result"]["image"]
    page = Path("alone/report.html").read_text()
    assert "a paper boat on a calm sea" in page and "CLIPScore" in page and "held out: Tale" in page

    assert (
        generate([f"--instructions={file}", f"--run={run}", "--users=u5,u7", "--output=both", *retrieval, *plain]) == 0
    )
    result = json.loads(Path("both/result.json").read_text())
    # What was edited is what is scored: a text, with the terms that stand in the line.
    assert (
        result["instructions"]["users"] == 2 and result["instructions"]["writers"][INSTRUCTIONS]["valid"]["mean"] == 1
    )
    assert [record.user for record in read_records("both/instructions.jsonl")] == ["u5", "u7"]

    # By hand it takes three fields; media are not scored against nothing.
    Path("mine.jsonl").write_text('{"user": 1, "media": "image", "instruction": "a red star"}\n')
    assert generate(["--instructions=mine.jsonl", "--output=mine", *retrieval]) == 0
    assert json.loads(Path("mine/result.json").read_text())["test_result"] == {}
    for given, message in (
        (["--instructions=mine.jsonl"], "are written already"),
        (["--instructions=mine.jsonl", "--held_out", *retrieval, "--output=no"], "leave out held_out=True"),
        (["--instructions=mine.jsonl", "--media=video", *retrieval, "--output=no"], "leave out media=video"),
        (["--instructions=mine.jsonl", "--dataset=tiny", *retrieval, "--output=no"], "leave out the settings of a run"),
        (["--instructions=mine.jsonl", "--epochs=3", *retrieval, "--output=no"], "leave out the settings of a run"),
        (["--instructions=mine.jsonl", "--users=u9", *retrieval, "--output=no"], "no instruction for user 'u9'"),
        (["--instructions=none.jsonl", *retrieval, "--output=no"], "instructions=none.jsonl cannot be read"),
    ):
        assert generate(given) == 2
        assert message in capsys.readouterr().err and not Path("no").exists()
    bare = {"user": 1, "media": "image", "instruction": "a red star", "target": "i3", "history": ["i1"]}
    Path("mine.jsonl").write_text(json.dumps(bare) + "\n")
    assert generate(["--instructions=mine.jsonl", "--output=no", *retrieval]) == 2
    assert "user 1 has an item 'i1' without one" in capsys.readouterr().err


def test_a_model_that_scores_nothing_is_said(tiny, caplog):
    """Before the run is looked for, which is none here."""
    for given, said in (
        ({"image_model": "x", "clip_model": "c"}, True),
        ({"image_model": "retrieval", "clip_model": "c"}, False),
        ({"image_model": "x", "clip_model": "c", "reference_image": "p.png"}, False),
    ):
        caplog.clear()
        with pytest.raises(InputError):
            run_generate(run="none", output="out", generation=given)
        assert ("clip_model=c scores nothing" in caplog.text) == said


def test_a_writer_is_trained_beside_a_finished_run_and_leaves_it_alone(tiny, monkeypatch):
    settings = {**NAVIGEN, **SHORT, "data_path": str(tiny)}
    run = Path(run_navigen("NaviGen", "tiny", config_dict=settings)["run_dir"])
    before = Recommender.load(run)
    ranked = before.recommend(["i1", "i2"], 5)
    files = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    # Other settings of the writer still find the ranking run.
    monkeypatch.setattr("recbole_navigen.quick_start.run.run_navigen", None)
    run_generate("tiny", config_dict={**settings, "writer_steps": 4, "instruction_tokens": 50}, n_users=2)
    assert {file: file.read_bytes() for file in files} == files
    after = Recommender.load(run)
    assert after.recommend(["i1", "i2"], 5) == ranked
    written = after.instruct([["i1", "i2"]])
    run_generate("tiny", config_dict={**settings, "writer_steps": 4, "instruction_tokens": 50}, n_users=2)
    assert Recommender.load(run).instruct([["i1", "i2"]]) == written


def test_a_writer_learns_from_rows_of_ones_own(tiny, monkeypatch):
    settings = {**NAVIGEN, **SHORT, "data_path": str(tiny)}
    run = Path(run_navigen("NaviGen", "tiny", config_dict=settings)["run_dir"])
    row = InstructionRow(0, 1, "u0", "generic", "image", ("drama",), "a red ball at night", None, None, 1.0)
    learned = []
    train = writer_steps.train_writer

    def spy(writer, rows, *others):
        learned.append(len(rows))
        return train(writer, rows, *others)

    monkeypatch.setattr("recbole_navigen.pipeline.write.train_writer", spy)
    for rows in ([row], [row], [row, replace(row, target_ins="a blue ball")], None):
        add_writer(Config("NaviGen", "tiny", config_dict=settings), run, rows)
    # The same rows are not learned twice; other rows are, and so is what the settings make.
    assert learned[:2] == [1, 2] and len(learned) == 3 and learned[2] > 2
    with pytest.raises(InputError, match="give at least one row"):
        add_writer(Config("NaviGen", "tiny", config_dict=settings), run, [])


def test_a_killed_writer_goes_on_with_the_same_numbers(tiny, monkeypatch):
    """A training that stops in the middle ends with the weights of one that did not."""
    settings = {**NAVIGEN, **SHORT, "data_path": str(tiny)}
    run = Path(run_navigen("NaviGen", "tiny", config_dict=settings)["run_dir"])
    config = Config("NaviGen", "tiny", config_dict=settings)
    add_writer(config, run)
    weights = load_checkpoint(run / "writer" / "checkpoint")["state_dict"]
    (run / "writer").rename(run / "first")

    saved = Progress.save

    def save_and_die(progress, **state):
        saved(progress, **state)
        raise KeyboardInterrupt

    settings["save_seconds"] = 0.0
    monkeypatch.setattr(Progress, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        add_writer(Config("NaviGen", "tiny", config_dict=settings), run)
    assert not (run / "writer").exists() and list(run.glob("writer-in-training-*"))
    monkeypatch.setattr(Progress, "save", saved)
    add_writer(Config("NaviGen", "tiny", config_dict=settings), run)
    resumed = load_checkpoint(run / "writer" / "checkpoint")["state_dict"]
    assert not list(run.glob("writer-in-training-*"))
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)

    # A training whose rows are others by now, after an outage of the teacher say, does not go on with it.
    (run / "writer").rename(run / "second")
    monkeypatch.setattr(Progress, "save", save_and_die)
    made = writing.supervision_stage
    for lost in (0, 1):
        monkeypatch.setattr(writing, "supervision_stage", lambda *given, lost=lost: made(*given)[lost:])
        with pytest.raises(KeyboardInterrupt):
            add_writer(Config("NaviGen", "tiny", config_dict=settings), run)
    assert len(list(run.glob("writer-in-training-*"))) == 2


@pytest.mark.parametrize("reading", ["strict", "released"])
def test_terms_by_a_teacher_reach_identifiers_and_instructions(tiny, reading):
    """tid_source: teacher from end to end; the template teacher's terms begin with a theme."""
    own = {
        **NAVIGEN["supervision"],
        "tid_source": "teacher",
        "tid_reading": reading,
        "thought": "identifier",
        "traces": True,
    }
    settings = {**NAVIGEN, **SHORT, "data_path": str(tiny), "train_batch_size": 16, "supervision": own}
    run = Path(run_navigen("NaviGen", "tiny", config_dict=settings)["run_dir"])
    table = DualIdentifierTable.load(run / "identifiers")
    assert table.report["terms"]["items_by_teacher"] == 80 and table.report["terms"]["items_by_text"] == 0
    terms = dict(zip(table.item_tokens, table.terms, strict=True))
    assert terms["i3"][0] == "western" and terms["i2"][0] == "sci-fi" and "tale" in terms["i2"]
    rows = run_generate("tiny", config_dict=settings, n_users=4)
    assert len(list(Path("saved").glob("NaviGen-*"))) == 1
    assert all(row.aim_terms == terms[row.aim] and row.reasoning for row in rows)
    [entry] = Path("saved/cache").glob("supervision-*")
    supervision = Supervision.load(entry)
    [traces] = Path("saved/cache").glob("traces-*/traces.jsonl")
    assert len(traces.read_text().splitlines()) == len(supervision.rows)
    assert {row.target_tid for row in supervision.rows} <= set(terms.values())
    # The thought is chosen among what is there: nothing is searched for again.
    again = Config("NaviGen", "tiny", config_dict={**settings, "supervision": {**own, "thought": "distilled"}})
    add_writer(again, run)
    assert list(Path("saved/cache").glob("supervision-*")) == [entry]
