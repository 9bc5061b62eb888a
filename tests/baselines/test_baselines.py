"""The models that stand beside NaviGen in tables: what they compute, and that every command knows them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import make_config, write_files
from torch.nn import functional as F

from recbole_navigen.config.models import get_model
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.errors import InputError
from recbole_navigen.quick_start import Recommender, compare_runs, run_navigen
from recbole_navigen.runs.loaded import load_run
from recbole_navigen.training.layouts import cloze_loss, encode_windows
from recbole_navigen.training.trainer import get_trainer

SMALL = {"hidden_size": 16, "n_layers": 2, "n_heads": 2}
QUIET = {"state": "ERROR", "show_progress": False, "use_gpu": False, "MAX_ITEM_LIST_LENGTH": 8, "epochs": 2}
TEXT = {"item_text_fields": ["title", "genre"]}
MODELS = {
    "Transitions": TEXT,
    "HSTU": SMALL,
    "SASRecText": {**SMALL, **TEXT, "inner_size": 16, "text_vocabulary": 400},
    "GRU4Rec": {"train_rows": "user", "embedding_size": 16, "hidden_size": 16},
    "BERT4Rec": {"train_rows": "user", **SMALL, "inner_size": 16},
    "SASRecCPR": {**SMALL, "inner_size": 16, "reranker_CAN_NUM": "10"},
    "EASE": {},
}


def prepared(model: str, folder: Path, **settings):
    """A model as it starts, and its loaders."""
    config = make_config(model, folder, **{**MODELS[model], **settings})
    loaders = data_preparation(config, create_dataset(config))
    torch.manual_seed(3)
    return get_model(model)(config, loaders[0]._dataset), config, loaders


@pytest.mark.parametrize("model", list(MODELS))
def test_a_run_ends_in_ranks_and_is_loaded_again(tiny: Path, model: str) -> None:
    result = run_navigen(model, "tiny", config_dict={**QUIET, **MODELS[model]})
    loaded = load_run(result["run_dir"])
    with torch.no_grad():
        batch = next(iter(loaded.test_data))[0].to(loaded.model.device)
        scores = loaded.model.full_sort_predict(batch).view(len(batch), -1)
        assert scores[:, 1:].isfinite().all()
        if model not in ("SASRecCPR", "EASE"):  # RecBole's CPR predicts no single items
            own = loaded.model.predict(batch)
            assert torch.allclose(scores.gather(1, batch["item_id"][:, None])[:, 0], own, atol=1e-4)
    ranks = compare_runs([result["run_dir"]])["comparison"].contenders[0].runs[0].ranks
    assert len(ranks.rank) == 60
    if model in ("Transitions", "HSTU", "SASRecText"):
        found = Recommender.load(result["run_dir"]).recommend(["i3", "i4"], k=3)
        assert len(found) == 3


def test_transitions_learn_the_ring_and_train_nothing(tiny: Path) -> None:
    result = run_navigen("Transitions", "tiny", config_dict={**QUIET, "epochs": 50})
    assert len(result["validations"]) == 1
    # The items of `tiny` follow each other in a ring in four of five steps.
    ranks = compare_runs([result["run_dir"]])["comparison"].contenders[0].runs[0].ranks
    assert (ranks.rank_unseen < 3).mean() > 0.5


def test_titles_find_what_no_transition_reaches(own_folder: Path) -> None:
    inter = [f"u{user}\ti{user % 3 + place}\t{place}" for user in range(9) for place in range(4)]
    inter += [
        f"v{user}\ti9\t{place}" if place == 3 else f"v{user}\ti0\t{place}" for user in range(3) for place in range(4)
    ]
    items = [f"i{item}\t{'harbour at dawn' if item in (0, 9) else f'other thing {item}'}" for item in range(10)]
    header = "user_id:token\titem_id:token\ttimestamp:float"
    write_files(own_folder, "tiny", [header, *inter], ["item_id:token\ttitle:token_seq", *items])
    model, _, (_, _, test) = prepared("Transitions", own_folder, item_text_fields=["title"])
    batch = next(iter(test))[0]
    batch["item_id_list"][:], batch["item_length"][:] = 0, 1
    batch["item_id_list"][:, 0] = test._dataset.token2id("item_id", "i0")
    target = test._dataset.token2id("item_id", "i9")
    without, *_ = prepared("Transitions", own_folder, item_text_fields=["title"], title_weight=0.0)
    found, nothing = (net.full_sort_predict(batch)[0].exp() for net in (model, without))
    assert found[target] > 0.05 and nothing[target] == nothing[1:].min() < 1e-6
    assert float(found[1:].sum()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("model", ["HSTU", "GRU4Rec", "SASRecText"])
def test_windows_give_at_every_position_what_the_prefix_gives(tiny: Path, model: str) -> None:
    net, *_ = prepared(model, tiny)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    net.eval()
    rows = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 7, 1, 8, 0, 0]])
    states = encode_windows(net, rows)
    for row, length in ((0, 6), (1, 4)):
        for end in range(1, length + 1):
            prefix = F.pad(rows[row, :end], (0, 8 - end))[None]
            assert torch.allclose(net.forward(prefix, torch.tensor([end]))[0], states[row, end - 1], atol=1e-5)


def test_a_cloze_reads_both_ways_and_learns_the_masked_items_alone(tiny: Path) -> None:
    net, *_ = prepared("BERT4Rec", tiny, hidden_dropout_prob=0.0, attn_dropout_prob=0.0)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    rows = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6, 5], [2, 7, 1, 8, 0, 0, 0, 0, 0]])
    # The last item alone: what RecBole's own ranking computes for the history before it, of the last eight places.
    loss = cloze_loss(net, rows, last_share=1.0)
    histories, lengths = torch.tensor([[1, 4, 1, 5, 9, 2, 6, 0], [2, 7, 1, 0, 0, 0, 0, 0]]), torch.tensor([7, 3])
    masked = histories.clone()
    masked[torch.arange(2), lengths] = net.mask_token
    states = net.forward(masked)[torch.arange(2), lengths]
    logits = states @ net.item_embedding.weight[: net.n_items].T + net.output_bias
    assert torch.isclose(loss, F.cross_entropy(logits[:, 1:], torch.tensor([5, 8]) - 1), atol=1e-5)
    assert cloze_loss(net, rows, 0.0, generator=torch.Generator().manual_seed(1)) != loss
    loss.backward()
    assert net.output_bias.grad[1:].abs().sum() > 0 and net.output_bias.grad[0] == 0


def test_text_reaches_the_vectors_and_the_padding_item_has_none(tiny: Path) -> None:
    net, *_ = prepared("SASRecText", tiny)
    embedding = net.item_embedding
    assert torch.equal(embedding(torch.tensor([[0, 5], [5, 2]]))[0, 1], embedding.weight[5])
    assert (embedding.weight[0] == 0).all()
    with torch.no_grad():
        embedding.rows.zero_()
    titles = embedding.weight[1:]
    assert (titles.norm(dim=1) > 0).all()
    # Of the text of `tiny` only its four genres tell items apart: numbers are no terms.
    assert len({tuple(np.round(vector, 6)) for vector in titles.tolist()}) == 4


def test_an_ensemble_is_the_mean_of_its_members_or_reranks(tiny: Path) -> None:
    def trained(seed: int, model: str = "SASRecText") -> str:
        return run_navigen(model, "tiny", config_dict={**QUIET, **MODELS[model], "seed": seed})["run_dir"]

    members = [trained(1), trained(2, "HSTU")]
    shared = {**QUIET, "members": members}
    mean = load_run(run_navigen("Ensemble", "tiny", config_dict=shared)["run_dir"])
    again = {**shared, "fusion": "rerank", "candidates": 4}
    rerank = load_run(run_navigen("Ensemble", "tiny", config_dict=again)["run_dir"])
    batch = next(iter(mean.test_data))[0]
    with torch.no_grad():
        each = [load_run(folder).model.full_sort_predict(batch)[:, 1:].softmax(dim=1) for folder in members]
        scores = mean.model.full_sort_predict(batch)[:, 1:]
        assert torch.allclose(scores.exp(), (each[0] + each[1]) / 2, atol=1e-6)
        order = rerank.model.full_sort_predict(batch)[:, 1:].argsort(dim=1, descending=True)
    first, second = (own.argsort(dim=1, descending=True) for own in each)
    for row in range(len(batch)):
        nominated = first[row, :4].tolist()
        assert order[row, :4].tolist() == sorted(nominated, key=second[row].tolist().index)
        assert order[row, 4:].tolist() == first[row, 4:].tolist()
    for wrong, message in (
        ({"members": members[:1]}, "are 1 runs; fusion=mean needs at least two"),
        ({"members": [*members, members[0]], "fusion": "rerank"}, "are 3 runs; fusion=rerank needs two"),
        ({"members": ["nowhere", members[0]]}, "nowhere"),
    ):
        with pytest.raises(InputError, match=message):
            run_navigen("Ensemble", "tiny", config_dict={**QUIET, **wrong})


def test_bad_settings_are_refused_in_a_sentence(tiny: Path) -> None:
    for model, settings, message in (
        ("HSTU", {"hidden_size": 15, "n_heads": 2}, "no multiple of n_heads"),
        ("SASRecText", {"hidden_size": 15, "n_heads": 2, **TEXT}, "cannot be built with these settings"),
        ("Transitions", {"train_rows": "prefix"}, "train_rows: prefix is not available for Transitions"),
        ("Transitions", {"history_decay": 2}, "history_decay must be"),
        ("SASRecText", {"item_text_fields": None}, "item_text_fields is empty"),
        ("NARM", {"train_rows": "user"}, "NARM cannot be trained on user rows"),
    ):
        with pytest.raises(InputError, match=message):
            run_navigen(model, "tiny", config_dict={**QUIET, **settings})


def test_user_rows_train_by_the_trainer_of_user_rows(tiny: Path) -> None:
    for model in ("HSTU", "SASRecText", "GRU4Rec", "BERT4Rec"):
        net, config, _ = prepared(model, tiny)
        assert get_trainer(config, net).__name__ == "UserRowTrainer"
