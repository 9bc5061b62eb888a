"""Training on user rows computes RecBole's own loss over prefix rows."""

import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.utils import init_seed
from synthetic import make_config, write_atomic
from torch.nn import functional as F

from recbole_navigen.config.models import get_model
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.errors import InputError
from recbole_navigen.training import precision
from recbole_navigen.training.trainer import get_trainer
from recbole_navigen.training.user_rows import encode_windows, next_item_loss

SMALL = {"hidden_size": 8, "inner_size": 16, "n_heads": 2, "n_layers": 2}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0}


@pytest.fixture
def in_tmp(own_folder: Path) -> Path:
    """30 users, 25 items."""
    return write_atomic(own_folder, "tiny")


def prepare(data_path: Path, model: str = "SASRec", **settings):
    """Return (model, trainer, loaders) on user rows."""
    config = make_config(model, data_path, **{"train_rows": "user", **SMALL, **settings})
    loaders = data_preparation(config, create_dataset(config))
    init_seed(config["seed"], True)
    net = get_model(model)(config, loaders[0]._dataset)
    return net, get_trainer(config, net), loaders


def prefix_rows(rows: torch.Tensor) -> Interaction:
    """Expand windows, shape (B, T), into RecBole's training rows, one for each target."""
    sequences, lengths, targets = [], [], []
    for row in rows.tolist():
        for end in range(1, len(row)):
            if row[end] != 0:
                sequences.append(row[:end] + [0] * (len(row) - 1 - end))
                lengths.append(end)
                targets.append(row[end])
    return Interaction(
        {
            "item_id_list": torch.tensor(sequences),
            "item_length": torch.tensor(lengths),
            "item_id": torch.tensor(targets),
        }
    )


class WithoutPaddingItem(torch.nn.Module):
    """RecBole's softmax includes the padding item, which is never ranked; ours does not."""

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross entropy of logits, shape (B, N + 1), over the N items."""
        return F.cross_entropy(logits[:, 1:], targets - 1)


def test_loss_and_gradients_equal_recbole_over_prefixes(in_tmp: Path) -> None:
    model, _, (train, *_) = prepare(in_tmp, **NO_DROPOUT)
    model.loss_fct = WithoutPaddingItem()
    # Larger weights than at the start of training, so that differences would show.
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.train()
    rows = torch.cat([F.pad(batch["item_id_list"], (0, 9 - batch["item_id_list"].shape[1])) for batch in train])
    assert (rows == 0).any() and rows.shape[1] == 9

    expected = model.calculate_loss(prefix_rows(rows))
    expected_gradients = torch.autograd.grad(expected, list(model.parameters()))
    actual = next_item_loss(model, rows)
    gradients = torch.autograd.grad(actual, list(model.parameters()))
    assert actual.item() == pytest.approx(expected.item(), rel=1e-5)
    for name, ours, theirs in zip(dict(model.named_parameters()), gradients, expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6, msg=name)
    assert expected_gradients[0].abs().max() > 1e-3


def test_trimming_a_batch_changes_nothing(in_tmp: Path) -> None:
    model, _, _ = prepare(in_tmp, **NO_DROPOUT)
    rows = torch.tensor([[3, 4, 5, 0, 0, 0], [1, 2, 0, 0, 0, 0]])
    assert next_item_loss(model, rows).item() == pytest.approx(next_item_loss(model, rows[:, :3]).item(), rel=1e-6)


def test_sampled_softmax_over_everything_is_the_full_one(in_tmp: Path) -> None:
    model, _, _ = prepare(in_tmp, **NO_DROPOUT)
    rows = torch.tensor([[3, 4, 5, 6, 0], [1, 2, 9, 0, 0]])
    full = next_item_loss(model, rows).item()
    n_items = model.n_items - 1
    assert next_item_loss(model, rows, n_items).item() == pytest.approx(full, rel=1e-6)
    torch.nn.init.normal_(model.item_embedding.weight, std=0.5)
    full = next_item_loss(model, rows).item()
    # The correction makes the normaliser unbiased: averaged over samples, exp(loss) is the full softmax's.
    single = torch.tensor([[3, 4]])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        exact = math.exp(next_item_loss(model, single).item())
        draws = [math.exp(next_item_loss(model, single, n_items // 2, generator).item()) for _ in range(400)]
    error = np.std(draws) / math.sqrt(len(draws))
    assert abs(np.mean(draws) - exact) < 4 * error + 1e-6
    uncorrected = 1 + (exact - 1) * 0.5
    assert abs(np.mean(draws) - uncorrected) > 10 * error


def test_training_learns_and_stops_early(in_tmp: Path) -> None:
    settings = {
        "epochs": 40,
        "stopping_step": 2,
        "learning_rate": 0.02,
        "clip_grad_norm": {"max_norm": 5},
        **NO_DROPOUT,
    }
    model, trainer_class, (train, valid, _) = prepare(in_tmp, warmup_steps=4, lr_schedule="cosine", **settings)
    trainer = trainer_class(train.config, model)
    before = trainer.evaluate(valid, load_best_model=False)["ndcg@5"]
    score, result = trainer.fit(train, valid)
    losses = list(trainer.train_loss_dict.values())
    assert round(score, 4) == result["ndcg@5"] > before + 0.1
    assert min(losses) < 0.95 * losses[0] and len(losses) < 40
    assert trainer.evaluate(valid) == result


def test_schedule(in_tmp: Path) -> None:
    settings = {"epochs": 3, "learning_rate": 0.01, "warmup_steps": 4, "lr_schedule": "cosine"}
    model, trainer_class, (train, *_) = prepare(in_tmp, **settings)
    trainer = trainer_class(train.config, model)
    rates = []
    trainer.optimizer.register_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    trainer.fit(train)
    assert len(rates) == len(train) * 3
    assert rates[:4] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert rates[3:] == sorted(rates[3:], reverse=True) and rates[-1] < 0.002


def test_bf16_is_close_to_float32(in_tmp: Path) -> None:
    model, trainer_class, (train, *_) = prepare(in_tmp, autocast=True, **NO_DROPOUT)
    trainer = trainer_class(train.config, model)
    batch = next(iter(train))
    rough, exact = trainer._loss(batch), next_item_loss(model, batch["item_id_list"])
    assert rough.dtype == torch.float32 and rough.item() == pytest.approx(exact.item(), rel=0.02)
    assert rough.item() != exact.item()


@pytest.mark.parametrize(
    ("features", "found"), [({"amx_bf16": True}, True), ({"avx512_bf16": True}, True), ({"avx2": True}, False)]
)
def test_autocast_auto_asks_the_processor_once(features, found, monkeypatch, caplog) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    precision._hardware_has_bf16.cache_clear()
    with caplog.at_level(logging.INFO):
        assert [precision.use_bf16(setting, torch.device("cpu")) for setting in ("auto", None, "auto")] == [found] * 3
    assert len(caplog.records) == 1
    assert precision.use_bf16(True, torch.device("cpu")) and not precision.use_bf16(False, torch.device("cpu"))
    precision._hardware_has_bf16.cache_clear()


@pytest.mark.parametrize("model", ["GRU4RecCPR", "GCSAN", "SASRecCPR", "CORE", "NPE"])
def test_other_layouts_are_refused(model: str, in_tmp: Path) -> None:
    config = make_config(model, in_tmp, train_rows="user")
    loaders = data_preparation(config, create_dataset(config))
    net = get_model(model)(config, loaders[0]._dataset)
    with pytest.raises(InputError, match=rf"model {model} cannot be trained on user rows"):
        get_trainer(config, net)(config, net)


def test_encoding_matches_recbole_at_the_last_position(in_tmp: Path) -> None:
    model, _, (train, *_) = prepare(in_tmp)
    model.eval()
    rows = next(iter(train))["item_id_list"][:, :-1]
    lengths = (rows != 0).sum(dim=1)
    ours = encode_windows(model, rows)[torch.arange(len(rows)), lengths - 1]
    torch.testing.assert_close(ours, model.forward(rows, lengths))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampled_softmax": -1}, "sampled_softmax must be a whole number of at least 0"),
        ({"lr_schedule": "linear"}, "lr_schedule must be one of constant, cosine, not 'linear'"),
        ({"autocast": "yes"}, "autocast must be one of auto, True, False, not 'yes'"),
    ],
)
def test_bad_settings_are_refused(settings: dict, message: str, in_tmp: Path) -> None:
    with pytest.raises(InputError, match=message):
        prepare(in_tmp, **settings)


def test_prefix_loader_is_refused(in_tmp: Path) -> None:
    model, trainer_class, (train, valid, _) = prepare(in_tmp)
    with pytest.raises(InputError, match="needs a UserRowLoader"):
        trainer_class(train.config, model).fit(valid)


@pytest.mark.parametrize(
    ("model", "rows", "message"),
    [("BPR", "user", "needs a sequential model"), ("SASRec", "users", "must be one of user, prefix or None")],
)
def test_train_rows_is_checked(model: str, rows: str, message: str, in_tmp: Path) -> None:
    with pytest.raises(InputError, match=message):
        create_dataset(make_config(model, in_tmp, train_rows=rows))
