"""The dual-identifier language model: padding, gradients, starts."""

import numpy as np
import torch
from small_model import small_model

from recbole_navigen.network.starts import collaborative_start


def test_text_loss_is_over_target_tokens_only():
    model, renderer = small_model()
    alone = [model.text_loss(renderer.cid2tid(torch.tensor([item]))) for item in (3, 8)]
    together = model.text_loss(renderer.cid2tid(torch.tensor([3, 8])))
    counts = [len(renderer.term_tokens[item - 1]) + 1 for item in (3, 8)]
    expected = (alone[0] * counts[0] + alone[1] * counts[1]) / sum(counts)
    assert torch.allclose(together, expected, atol=1e-6)


def test_pooled_item_is_its_codes_and_its_terms():
    model, _ = small_model()
    item = 5
    rows = [model.code_rows[level * 5 + int(code)] for level, code in enumerate(model.codes[item])]
    tokens = model.bag_tokens[model.bag_starts[item] : model.bag_starts[item + 1]]
    expected = torch.stack(rows).sum(0) + model.backbone.text_rows[tokens].sum(0) / len(tokens) ** 0.5
    assert torch.allclose(model.item_vectors(torch.tensor([item]))[0], expected, atol=1e-5)


def test_a_model_can_learn_its_catalogue():
    model, renderer = small_model(n_items=12, codes=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    items = torch.arange(1, 13)
    losses = []
    for _ in range(60):
        loss = model.text_loss(renderer.cid2tid(items)) + model.decoder.loss(model, renderer.tid2cid(items))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_code_rows_start_from_the_centroids_and_item_rows_from_the_residuals():
    rng = np.random.default_rng(0)
    codebooks, residuals = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 6, 8), (5, 8)))
    codes, items = collaborative_start(codebooks, residuals, 8, 0)
    assert np.allclose(codes, codebooks / codebooks[0].std(), atol=1e-5)
    assert np.allclose(items, residuals / codebooks[0].std(), atol=1e-5)
    wide, wide_items = collaborative_start(codebooks, residuals, 20, 0)
    assert abs(wide[0].std() - 1) < 1e-5
    # One map for both: all angles and relative lengths between rows stay as they were.
    before = np.concatenate([codebooks.reshape(-1, 8), residuals])
    after = np.concatenate([wide.reshape(-1, 20), wide_items])
    ratio = (after @ after.T) / (before @ before.T)
    assert np.allclose(ratio, ratio[0, 0], rtol=1e-2)
    narrow, none = collaborative_start(codebooks, None, 4, 0)
    assert none is None and (narrow == collaborative_start(codebooks, residuals, 4, 0)[0]).all()


def test_both_identifiers_at_the_input_cost_no_token_and_tell_nothing_early():
    """`dual`: the last code of an item bears its other vectors; what stands before it does not know them."""
    plain, by_codes = small_model(history="tokens", item_rows=True)
    model, renderer = small_model(history="dual", item_rows=True)
    histories, lengths = torch.tensor([[4, 9, 2]]), torch.tensor([3])
    rendered, without = renderer.cid2cid(histories, lengths, True), by_codes.cid2cid(histories, lengths, True)
    assert torch.equal(rendered.tokens, without.tokens)
    assert rendered.items[0].tolist() == [0, 0, 0, 4, 0, 0, 9, 0, 0, 2]
    extra = model.embed(rendered) - plain.embed(without)
    assert not extra[0, rendered.items[0] == 0].any()
    items = torch.tensor([4, 9, 2])
    codes = model.item_vectors(items) - model.item_vectors(items, codes=False)
    assert torch.allclose(extra[0, [3, 6, 9]] + codes, model.item_vectors(items), atol=1e-6)
    before = model.anchor_states(rendered)[0, 1]
    with torch.no_grad():
        model.item_rows[2] += 1.0
    assert torch.equal(before, model.anchor_states(rendered)[0, 1])
