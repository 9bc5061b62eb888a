"""RecBole's own models through our data, trainers and checkpoints."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.utils import init_seed
from synthetic import make_config, write_atomic
from tiny_settings import BASELINES

from recbole_navigen.config.models import get_model
from recbole_navigen.config.shipped import model_names
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.errors import InputError
from recbole_navigen.training.trainer import get_trainer


@pytest.fixture
def in_tmp(own_folder: Path) -> Path:
    """30 users, 25 items."""
    return write_atomic(own_folder, "tiny")


def prepare(model: str, data_path: Path, **settings):
    """Return (trainer, train, valid, test) for a freshly seeded model."""
    config = make_config(model, data_path, **BASELINES.get(model, {}), **settings)
    dataset = create_dataset(config)
    loaders = data_preparation(config, dataset)
    init_seed(config["seed"], True)
    net = get_model(model)(config, loaders[0]._dataset).to(config["device"])
    return get_trainer(config, net)(config, net), *loaders


@pytest.mark.parametrize("model", BASELINES)
def test_trains_saves_reloads_and_evaluates(model: str, in_tmp: Path) -> None:
    trainer, train, valid, test = prepare(model, in_tmp)
    score, result = trainer.fit(train, valid, saved=True)
    assert type(score) is float and 0 <= score <= 1 and all(type(value) is float for value in result.values())
    stored = Path(trainer.saved_model_file)
    assert {file.name for file in stored.iterdir()} == {"objects.json", "tensors.safetensors", "manifest.json"}

    # The reloaded best model, in a new trainer, gives the best validation result and the same test result.
    again, _, valid2, test2 = prepare(model, in_tmp)
    for parameter in again.model.parameters():
        torch.nn.init.zeros_(parameter)
    # RecBole's masking transform draws random numbers for evaluation rows too, but the model does not read them.
    assert again.evaluate(valid2, model_file=stored) == result
    assert again.evaluate(test2, model_file=stored) == trainer.evaluate(test)
    json.dumps(result)


def test_all_models_rank_the_same_targets(in_tmp: Path) -> None:
    targets = {}
    for model in ("BPR", "Pop", "SASRec", "BERT4Rec"):
        _, _, valid, test = prepare(model, in_tmp)
        for phase, loader in (("valid", valid), ("test", test)):
            data = loader._dataset
            users, items = (data.id2token(field, data.inter_feat[field]) for field in ("user_id", "item_id"))
            targets.setdefault(phase, []).append(dict(zip(users, items, strict=True)))
    for rows in targets.values():
        assert all(other == rows[0] for other in rows[1:]) and len(rows[0]) == 30


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        *((model, {}) for model in ("SASRec", "BERT4Rec", "BPR")),
        # A count of steps, three optimizers and a list that is walked through, outside of what RecBole stores.
        *((model, {}) for model in ("MultiVAE", "RecVAE", "LINE")),
        ("SASRec", {"train_rows": "user"}),
    ],
)
def test_resumed_run_ends_as_an_uninterrupted_one(model: str, settings: dict, in_tmp: Path) -> None:
    extra = {"warmup_steps": 3, "lr_schedule": "cosine", "average_epochs": 1.5} if settings else {}
    settings = {**settings, **extra, "epochs": 5}
    whole, train, valid, test = prepare(model, in_tmp, **settings)

    class Interrupted(Exception):
        pass

    def stop(epoch: int, _: float) -> None:
        if epoch == 2:
            raise Interrupted

    whole.stopping_step = 100
    expected = whole.fit(train, valid)
    expected_losses, expected_test = dict(whole.train_loss_dict), whole.evaluate(test, load_best_model=False)

    first, train, valid, _ = prepare(model, in_tmp, **settings)
    with pytest.raises(Interrupted):
        first.fit(train, valid, callback_fn=stop)
    second, train, valid, test = prepare(model, in_tmp, **settings)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(77)  # a new process has other random states
    second.resume_checkpoint(first.saved_model_file)
    assert 1 <= second.start_epoch <= 3
    second.stopping_step = 100
    assert second.fit(train, valid) == expected
    assert second.train_loss_dict == expected_losses
    assert second.evaluate(test, load_best_model=False) == expected_test


def test_resuming_a_finished_run_keeps_its_checkpoint(in_tmp: Path) -> None:
    trainer, train, _, test = prepare("BPR", in_tmp)
    trainer.fit(train)  # without validation every epoch is saved
    expected = trainer.evaluate(test)
    again, train, _, test = prepare("BPR", in_tmp)
    again.resume_checkpoint(trainer.saved_model_file)
    assert again.start_epoch == 2
    again.fit(train)
    assert again.evaluate(test) == expected
    third, *_ = prepare("BPR", in_tmp)
    third.resume_checkpoint(trainer.saved_model_file)
    assert third.start_epoch == 2


def test_eval_step_beyond_the_epochs_of_a_counting_model(in_tmp: Path) -> None:
    trainer, train, valid, test = prepare("Pop", in_tmp, epochs=10, eval_step=5)
    trainer.fit(train, valid)
    assert trainer.evaluate(test)["hit@5"] >= 0


def test_pop_counts_what_it_trains_on_whatever_the_batches(in_tmp: Path) -> None:
    scores = []
    for settings in ({"train_batch_size": 7}, {"train_batch_size": 2048, "seed": 9}):
        trainer, train, valid, test = prepare("Pop", in_tmp, **settings)
        trained = np.bincount(train._dataset.inter_feat["item_id"].numpy(), minlength=trainer.model.n_items)
        assert trained.max() > 1
        trainer.fit(train, valid)
        assert trainer.model.item_cnt.flatten().tolist() == trained.tolist()
        assert trainer.model.max_cnt.tolist() == [trained.max()]
        scores.append(trainer.evaluate(test))
    assert scores[0] == scores[1]


def test_checkpoints_of_other_models_are_refused(in_tmp: Path) -> None:
    trainer, train, valid, test = prepare("BPR", in_tmp)
    trainer.fit(train, valid)
    other, *_ = prepare("SASRec", in_tmp)
    with pytest.raises(InputError, match="holds a BPR, not a SASRec"):
        other.resume_checkpoint(trainer.saved_model_file)
    wider, *_, test = prepare("BPR", in_tmp, epochs=1)
    wider.model.user_embedding = torch.nn.Embedding(31, 4)
    with pytest.raises(InputError, match="does not fit the model"):
        wider.evaluate(test, model_file=trainer.saved_model_file)


@pytest.mark.parametrize("rows", [None, "user"])
def test_exclude_history_hides_exactly_what_came_before(rows: str | None, in_tmp: Path) -> None:
    trainer, _, valid, test = prepare("SASRec", in_tmp, exclude_history=True, train_rows=rows, MAX_ITEM_LIST_LENGTH=3)
    trainer.tot_item_num = test._dataset.item_num
    interactions = {}
    *_, plain_test = prepare("SASRec", in_tmp, train_rows=rows)
    timeline = test._dataset.timeline
    for user, item in zip(timeline.users, timeline.items, strict=True):
        interactions.setdefault(int(user), []).append(int(item))
    trainer.model.eval()
    for loader, held_out in ((valid, 2), (test, 1)):
        for batch in loader:
            _, scores, _, positive = trainer._full_sort_batch_eval(batch)
            for row, (user, target) in enumerate(zip(batch[0]["user_id"].tolist(), positive.tolist(), strict=True)):
                assert target == interactions[user][-held_out]
                hidden = set(torch.nonzero(scores[row] == -math.inf).flatten().tolist())
                assert hidden == (set(interactions[user][:-held_out]) | {0}) - {target}
    for batch in plain_test:
        assert batch[1] is None  # the default is RecBole's rule


def test_exclude_history_for_general_models_overrules_repeatable(in_tmp: Path) -> None:
    counts = {}
    for name, settings in {
        "hide": {"exclude_history": True, "repeatable": True},
        "show": {"repeatable": True},
        "stock": {},
    }.items():
        *_, test = prepare("BPR", in_tmp, **settings)
        counts[name] = sum(len(batch[1][0]) for batch in test)
    assert counts["show"] == 0 and counts["hide"] == counts["stock"] > 0


def test_beyond_accuracy_metrics_work(in_tmp: Path) -> None:
    metrics = ["ItemCoverage", "GiniIndex", "AveragePopularity", "TailPercentage", "ShannonEntropy"]
    trainer, train, valid, test = prepare(
        "SASRec", in_tmp, train_rows="user", metrics=["NDCG", *metrics], valid_metric="NDCG@5"
    )
    trainer.fit(train, valid)
    result = trainer.evaluate(test)
    assert set(result) == {f"{metric.lower()}@5" for metric in ["NDCG", *metrics]} and all(
        map(math.isfinite, result.values())
    )


def test_registry() -> None:
    assert get_model("SASRec").__name__ == "SASRec" and get_model("Random").__name__ == "Random"
    assert {"NaviGen", "Pop", "ItemKNN", "BPR", "LightGCN", "GRU4Rec", "SASRec", "BERT4Rec"} <= set(model_names())
    with pytest.raises(InputError, match=r"unknown model `SASRek`; nearest names: SASRec"):
        get_model("SASRek")
    with pytest.raises(InputError, match=r"nearest names: SASRec"):
        get_model("sasrec")
    with pytest.raises(InputError, match="unknown model"):
        get_model("../x")


def test_models_with_pickled_stages_are_refused(in_tmp: Path) -> None:
    config = make_config("BPR", in_tmp)
    with pytest.raises(InputError, match="S3Rec is not available"):
        get_trainer(config, get_model("S3Rec"))
