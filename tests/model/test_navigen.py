"""NaviGen end to end on tiny data: the run, its artefacts, what they may know, and its trainer."""

import json
import re
import threading
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.utils import init_seed
from small_model import llama
from small_navigen import build
from synthetic import make_config
from tiny_settings import NAVIGEN

from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.embeddings import cached_embeddings
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.pipeline.collaborative import collaborative_vectors
from recbole_navigen.quick_start import run_navigen
from recbole_navigen.runs.identity import identity
from recbole_navigen.runs.load import load_navigen, load_trained
from recbole_navigen.runs.trained import TrainedModel
from recbole_navigen.serving.recommender import Recommender
from recbole_navigen.training.averaging import WeightAverage


@pytest.mark.parametrize("history", ["pooled", "tokens"])
def test_a_run_learns_and_leaves_everything_behind(tiny, capsys, history):
    settings = {**NAVIGEN, "dropout": 0.1, "embedding_dropout": 0.1, "hidden_size": 32, "history": history}
    settings["task_weights"] = {"cid2cid": 1.0, "cid2tid": 0.05, "tid2cid": 0.05, "cid2ins": 0.5}
    result = run_navigen(
        "NaviGen",
        "tiny",
        config_dict={**settings, "data_path": str(tiny), "show_progress": False, "use_gpu": False},
        argv=[
            "--epochs=6",
            "--train_batch_size=16",
            "--learning_rate=0.01",
            "--MAX_ITEM_LIST_LENGTH=8",
            "--state=INFO",
        ],
    )
    assert set(result) >= {"best_valid_score", "valid_score_bigger", "best_valid_result", "test_result"}
    # 80 items in a ring: a model that learns nothing reaches .125 by chance.
    assert result["test_result"]["recall@10"] > 0.22
    run = Path(result["run_dir"])
    record = json.loads((run / "result.json").read_text())
    assert record["test_result"] == result["test_result"]
    assert [stage["name"] for stage in record["stages"]] == [
        "data",
        "collaborative",
        "identifiers",
        "supervision",
        "memory",
        "train",
        "test",
        "ranks",
    ]
    assert DualIdentifierTable.load(run / "identifiers").n_items == 80
    shown = capsys.readouterr().out
    assert "Tale" in shown and "ndcg" in shown.lower()


def test_progress_bars_name_the_stage_and_show_the_loss(tiny, capfd):
    settings = {**NAVIGEN, "data_path": str(tiny), "show_progress": True, "use_gpu": False, "epochs": 1}
    run_navigen("NaviGen", "tiny", config_dict={**settings, "MAX_ITEM_LIST_LENGTH": 8, "state": "ERROR"})
    shown = capfd.readouterr().err
    for stage in ("collaborative SASRec epoch 3", "align epoch 1", "finetune epoch 0"):
        assert re.search(rf"{stage}: 100%.* loss=\d", shown.replace("\r", "\n")), stage


def test_the_second_run_takes_embeddings_from_the_cache(tiny):
    config, (train, _, _), _, _ = build(tiny)
    assert collaborative_vectors(config, train._dataset)[1]
    config["collaborative_model"] = "BPR"
    assert not collaborative_vectors(config, train._dataset)[1]


def test_workers_that_want_the_same_embeddings_train_them_once(tmp_path):
    begun, found, trained = threading.Event(), [], []

    def train(_):
        begun.set()
        other.join(0.2)  # it has time to begin, and must wait
        trained.append(1)
        return np.ones((2, 3), dtype=np.float32), 1.0

    def want():
        begun.wait()
        found.append(cached_embeddings(tmp_path, {"a": 1}, train))

    other = threading.Thread(target=want)
    other.start()
    assert not cached_embeddings(tmp_path, {"a": 1}, train)[1]
    other.join()
    assert found[0][1] and trained == [1]


def test_the_cache_and_the_run_know_the_yaml_settings_of_the_collaborative_model(tiny):
    """A file in the working directory changes what is trained without a word in the run's own settings."""
    config, (train, _, _), _, _ = build(tiny)
    before, (usual, _, _) = identity(config), collaborative_vectors(config, train._dataset)
    file = Path("properties/model/SASRec.yaml")
    file.parent.mkdir(parents=True)
    file.write_text("initializer_range: 0.5\n")  # what NaviGen.yaml ships for SASRec does not say it
    vectors, cached, _ = collaborative_vectors(config, train._dataset)
    assert not cached and not np.allclose(vectors, usual) and identity(config) != before
    file.unlink()
    assert collaborative_vectors(config, train._dataset)[1] and identity(config) == before


@pytest.mark.parametrize("collaborative", ["SASRec", "LightGCN", "BPR"])
def test_artefacts_do_not_know_validation_and_test_targets(tiny, collaborative):
    """Replacing the last two items of every user changes no identifier and no start weight."""

    def artefacts(folder, name):
        _, _, model, _ = build(folder, name, collaborative_model=collaborative)
        return model.table, model.state_dict()

    # Internal ids follow first appearance in the file, and every item occurs in training: so training rows come first.
    file = tiny / "tiny" / "tiny.inter"
    header, *lines = file.read_text().splitlines()
    rows = sorted((line.split("\t") for line in lines), key=lambda row: (row[0], int(row[3])))
    by_user = [list(own) for _, own in groupby(rows, key=lambda row: row[0])]
    held_out = [row for own in by_user for row in own[-2:]]
    training = [row for own in by_user for row in own[:-2]]
    assert len(held_out) == 120 and len({row[1] for row in training}) == 80

    def write():
        file.write_text("".join("\t".join(row) + "\n" for row in ([header], *training, *held_out)))

    write()
    table, weights = artefacts(tiny, "before")
    for row in held_out:
        row[1] = f"i{(int(row[1][1:]) * 7 + 3) % 80}"
    write()
    other, other_weights = artefacts(tiny, "after")
    assert (table.codes == other.codes).all() and table.terms == other.terms
    assert weights.keys() == other_weights.keys()
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)


def test_ranking_paths_agree(tiny):
    _, (_, valid, _), model, _ = build(tiny)
    model.eval()
    interaction = next(iter(valid))[0]
    full = model.full_sort_predict(interaction)
    assert full.shape == (len(interaction), model.n_items) and torch.isneginf(full[:, 0]).all()
    assert torch.allclose(full[:, 1:].exp().sum(dim=1), torch.ones(len(full)), atol=1e-5)
    targets = interaction[model.ITEM_ID]
    assert torch.allclose(model.predict(interaction), full.gather(1, targets[:, None])[:, 0], atol=1e-5)
    histories, lengths = interaction[model.ITEM_SEQ], interaction[model.ITEM_SEQ_LEN]
    assert torch.equal(model.recommend(histories, lengths, 5).items + 1, full.topk(5).indices)


def test_align_trains_identifiers_and_text_only(tiny):
    _, (train, _, _), model, trainer = build(tiny)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    trainer._align(train, show_progress=False)
    changed = {name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])}
    body = {name for name in changed if "layers" in name or name.endswith("norm.weight")}
    assert {"lm.code_rows", "lm.decoder.query.weight", "lm.special_rows"} <= changed and not body
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_resumed_run_ends_like_an_uninterrupted_one(tiny):
    settings = {"epochs": 3, "align_epochs": 0, "stopping_step": 10, "eval_step": 1}

    def prepare(run_dir):
        _, (train, valid, _), model, trainer = build(tiny, run_dir, **settings)
        return model, trainer, (train, valid)

    model, trainer, data = prepare("whole")
    init_seed(1, True)
    trainer.fit(*data, show_progress=False)
    _, first, data = prepare("parts")
    init_seed(1, True)
    with pytest.raises(KeyboardInterrupt):
        first.fit(*data, show_progress=False, callback_fn=_StopAfter(2))
    resumed, second, data = prepare("parts")
    second.resume_checkpoint(first.saved_model_file)
    second.fit(*data, show_progress=False)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name
    for name, weight in trainer._average.weights.items():
        assert torch.equal(weight, second._average.weights[name]), name


class _StopAfter:
    def __init__(self, epochs):
        self.left = epochs

    def __call__(self, epoch, score):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_loaded_run_ranks_as_it_did(tiny):
    config, (train, valid, test), model, trainer = build(tiny, epochs=1)
    trainer.fit(train, valid, show_progress=False)
    expected = trainer.evaluate(test)
    loaded = load_navigen(config, train._dataset, config["run_dir"])
    interaction = next(iter(test))[0]
    assert torch.equal(loaded.full_sort_predict(interaction), model.eval().full_sort_predict(interaction))
    assert expected


def test_the_recommender_ranks_new_histories_as_the_model_does(tiny):
    result = run_navigen(
        "NaviGen",
        "tiny",
        config_dict={**NAVIGEN, "data_path": str(tiny), "show_progress": False, "use_gpu": False},
        argv=["--epochs=1", "--train_batch_size=16", "--MAX_ITEM_LIST_LENGTH=8", "--state=ERROR"],
    )
    recommender = Recommender.load(result["run_dir"])
    history = ["i3", "i4", "i9"]
    config = make_config("NaviGen", tiny, **NAVIGEN)
    train, _, _ = data_preparation(config, create_dataset(config))
    model = load_navigen(config, train._dataset, result["run_dir"])
    ids = torch.tensor([[train._dataset.token2id("item_id", item) for item in history]])
    scores = model.full_sort_predict({model.ITEM_SEQ: ids, model.ITEM_SEQ_LEN: torch.tensor([3])})[0]
    best = scores.topk(4)
    got = recommender.recommend(history, k=4)
    assert [item.item for item in got] == list(train._dataset.id2token("item_id", best.indices))
    assert [item.probability for item in got] == pytest.approx(best.values.exp().tolist(), rel=1e-4)
    without = recommender.recommend(history, k=76, exclude=[got[0].item], exclude_history=True)
    assert not {item.item for item in without} & {*history, got[0].item}
    many = recommender.recommend_all([history, ["i7"] * 30], k=4)
    assert [item.item for item in many[0]] == [item.item for item in got] and len(many[1]) == 4
    assert got.certified and got[0].log_probability == pytest.approx(float(best.values[0]))
    lines = [line.split("\t") for line in (tiny / "tiny" / "tiny.inter").read_text().splitlines()[1:]]
    own = [(float(time), item) for user, item, *_, time in lines if user == "u5"]
    by_time = sorted(own, key=lambda entry: entry[0])  # equal times keep the order of the file
    assert recommender.history_of("u5") == [item for _, item in by_time]
    with pytest.raises(InputError, match=r"unknown user 'U5'; the nearest .* is 'u5'"):
        recommender.history_of("U5")


def test_the_recommender_says_what_is_wrong(tiny, own_folder):
    with pytest.raises(InputError, match="it holds no result"):
        Recommender.load(own_folder)
    pop = run_navigen("Pop", "tiny", config_dict={"data_path": str(tiny), "state": "ERROR", "show_progress": False})
    with pytest.raises(InputError, match="holds a Pop"):
        load_trained(pop["run_dir"])
    _, _, model, _ = build(tiny)
    settings = {"MAX_ITEM_LIST_LENGTH": 8, "scoring_memory": 64, "task_weights": {"cid2ins": 0.0}}
    recommender = Recommender(TrainedModel(model.table, model.lm, model.renderer, settings, dataset_hash=""))
    with pytest.raises(InputError, match=r"history 0 has the unknown item 'I33'; the nearest .* is 'i33'"):
        recommender.recommend(["i1", "I33"])
    with pytest.raises(InputError, match="a history is empty, and without"):
        recommender.recommend([])
    with pytest.raises(InputError, match="must be a list of ids"):
        recommender.recommend("i1")
    with pytest.raises(InputError, match="only 79 are left"):
        recommender.recommend(["i1"], k=80, exclude_history=True)


def test_a_pretrained_backbone_is_read_by_path(tiny, own_folder):
    from transformers import PreTrainedTokenizerFast

    from recbole_navigen.language.vocabulary import train_tokenizer

    folder = own_folder / "llama"
    tokenizer = train_tokenizer(["tale of the river"] * 3, 400)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    tokenizer.save_pretrained(folder)
    llama(len(tokenizer)).save_pretrained(folder)
    # This tokenizer spells words letter by letter, so instructions are long.
    _, (_, valid, _), model, _ = build(tiny, backbone=str(folder), instruction_tokens=2000)
    scores = model.eval().full_sort_predict(next(iter(valid))[0])
    assert torch.allclose(scores[:, 1:].exp().sum(dim=1), torch.ones(len(scores)), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"codes": 81}, "codes=81 is more than the 80 items"),
        ({"history": "flat"}, "history must be one of pooled, tokens, dual, not 'flat'"),
        ({"n_heads": 3}, "hidden_size=16 cannot be split into n_heads=3"),
        ({"backbone": "no/such"}, "backbone=no/such is neither a folder here nor a model on the hub"),
        ({"scoring_memory": -1}, "scoring_memory must be a number above 0, not -1"),
        ({"collaborative_model": "Pop"}, "collaborative_model=Pop has no item embeddings"),
        ({"item_text_fields": ["plot"]}, "plot"),
    ],
)
def test_bad_settings_are_one_sentence(tiny, monkeypatch, settings, message):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=message):
        build(tiny, **settings)


def test_weight_average_follows_its_formula():
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 0.0)
    average, expected = WeightAverage(model, horizon=4), 0.0
    for step in range(1, 30):
        torch.nn.init.constant_(model.weight, float(step))
        average.update()
        decay = min(0.75, step / (step + 10))
        expected = decay * expected + (1 - decay) * step
    with average.in_place():
        assert model.weight.item() == pytest.approx(expected, rel=1e-5)
    assert model.weight.item() == 29.0
