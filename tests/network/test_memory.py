"""The memory beside the network: what it knows, how it is mixed in, how its share is fitted, how it is kept."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from small_model import few, random_histories, small_model
from small_navigen import build
from small_recommender import small_recommender

from recbole_navigen.model.calibration import SHARES, UNFITTED, calibrate, last_training_targets, validation_targets
from recbole_navigen.model.ranking import Ranking
from recbole_navigen.network.memory import DECAY, HISTORY, Memory
from recbole_navigen.quick_start import Recommender
from recbole_navigen.runs.load import load_navigen


def random_table(n_items: int, seed: int, density: float = 0.2) -> sparse.csr_matrix:
    """Weights of random pairs of items, none of the padding's; (N + 1, N + 1)."""
    rng = np.random.default_rng(seed)
    dense = rng.random((n_items + 1,) * 2) * (rng.random((n_items + 1,) * 2) < density)
    dense[0], dense[:, 0] = 0, 0
    return sparse.csr_matrix(dense.astype(np.float32))


@given(st.integers(2, 30), st.integers(0, 1000), st.floats(0.05, 1.0), st.sampled_from(["tree", "tokens"]))
@few
def test_the_mixture_is_that_of_the_formula(n_items: int, seed: int, share: float, decoder: str) -> None:
    model, renderer = small_model(n_items=n_items, seed=seed, decoder=decoder)
    table = random_table(n_items, seed)
    model.memory.take(table)
    model.memory.share.fill_(share)
    histories, lengths = random_histories(n_items, 4, HISTORY + 4, seed)
    rendered, ranking = renderer.cid2cid(histories, lengths), Ranking(model, memory=64)
    network = ranking.log_probs(rendered).double().exp()
    mixed = ranking.log_probs(rendered, histories)
    for row, (history, length) in enumerate(zip(histories.tolist(), lengths.tolist(), strict=True)):
        mass = np.zeros(n_items + 1)
        for age, item in enumerate(reversed(history[:length])):
            mass += (age < HISTORY) * DECAY**age * table.toarray()[item]
        expected = network[row]
        if mass.sum():
            expected = (1 - share) * expected + share * torch.from_numpy(mass[1:] / mass.sum())
        assert torch.allclose(mixed[row].double().exp(), expected, atol=1e-5)
        # A user's numbers are the same alone and among others.
        alone = ranking.log_probs(rendered.rows(slice(row, row + 1)), histories[row : row + 1])
        assert torch.allclose(alone[0], mixed[row], atol=1e-5)
    assert torch.equal(ranking.log_probs(rendered, histories, memory=False), ranking.log_probs(rendered))


def test_what_is_far_below_keeps_its_digits() -> None:
    memory = Memory(3, 0.5)
    memory.take(sparse.csr_matrix((np.ones(1), ([1], [2])), shape=(4, 4)))
    log_probs = torch.tensor([[-torch.inf, 0.0, -200.0, -300.0]])
    memory.mix(log_probs, torch.tensor([[1, 0]]))
    log_probs = log_probs.log_softmax(dim=1)[0]
    assert log_probs[0] == -torch.inf
    assert log_probs[1:].tolist() == pytest.approx([np.log(0.5), np.log(0.5), -300 + np.log(0.5)])


def test_a_memory_travels_with_the_weights_and_older_weights_have_none() -> None:
    memory, other = Memory(12), Memory(12)
    memory.take(random_table(12, 3))
    memory.share.fill_(0.3)
    other.load_state_dict(memory.state_dict())
    assert (other.table != memory.table).nnz == 0 and float(other.share) == pytest.approx(0.3) and other.used
    other = Memory(12, 0.0)
    other.load_state_dict({})
    assert not other.used and other.table.nnz == 0


def test_the_share_is_the_best_of_those_tried(tiny) -> None:
    _, (train, valid, _), model, _ = build(tiny)
    model.eval()
    table = model.lm.memory.table
    assert table.nnz and not table.diagonal().any()
    calibrate(model, validation_targets(valid))
    fitted, gains = float(model.lm.memory.share), []
    for share in SHARES:
        model.lm.memory.share.fill_(share)
        model.lm.repeats.log_factor.fill_(0.0)
        total = 0.0
        for rows in validation_targets(valid):
            scores = model.full_sort_predict(rows)
            own = scores.gather(1, rows["item_id"][:, None])
            above = (scores > own).scatter(1, rows["item_id_list"], False).sum(dim=1)
            total += float(torch.where(above < 10, 1 / (above + 2).log2(), 0.0).sum())
        gains.append(total)
    assert fitted == pytest.approx(SHARES[int(np.argmax(gains))]) and max(gains) > 0
    # What was counted tells nothing of its own share.
    calibrate(model, last_training_targets(train), held_out=False)
    assert float(model.lm.memory.share) == UNFITTED


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_share_that_is_set_stays(tiny, share: float) -> None:
    _, (_, valid, _), model, _ = build(tiny, memory_share=share)
    calibrate(model, validation_targets(valid))
    assert float(model.lm.memory.share) == pytest.approx(share) and bool(model.lm.memory.table.nnz) == bool(share)


def test_a_model_without_text_remembers_transitions_alone(tiny) -> None:
    with_text, without = (build(tiny, text_vectors=text)[2].lm.memory.table for text in ("terms", "none"))
    assert 0 < without.nnz < with_text.nnz


def test_a_run_keeps_its_memory(tiny) -> None:
    config, (train, valid, test), model, trainer = build(tiny, epochs=1)
    trainer.fit(train, valid, saved=True, show_progress=False)
    loaded = load_navigen(config, train.dataset, config["run_dir"])
    assert (loaded.lm.memory.table != model.lm.memory.table).nnz == 0
    assert trainer.evaluate(test, load_best_model=True)


def test_a_saved_catalogue_keeps_its_memory(tmp_path) -> None:
    recommender = small_recommender()
    recommender.add_items([{"item": "n", "title": "A Robot Tale", "genre": "space opera"}])
    again = Recommender.from_pretrained(recommender.save_pretrained(tmp_path / "model"))
    for each in (recommender, again):
        assert each.lm.memory.used and each.lm.memory.table.shape == (42, 42)
    assert again.recommend(["i1", "n"], k=5) == recommender.recommend(["i1", "n"], k=5)
    assert recommender.lm.memory.table[41].nnz  # a new item is near what its nearest is near
