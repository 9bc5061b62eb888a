"""Writing answers: valid whatever the weights, and with the probabilities that training sees."""

import math

import pytest
import torch
from small_model import llama, random_histories, small_model

from recbole_navigen.errors import InputError
from recbole_navigen.language.answer import parse_answer
from recbole_navigen.language.rendering import Origin
from recbole_navigen.language.vocabulary import TERMS
from recbole_navigen.model import decoding as writing
from recbole_navigen.model.decoding import draw, nucleus, write

TAGS = [("film", "video"), ("game", "image")] * 3


def asked(history="pooled", lm=None, chosen=True):
    model, renderer = small_model(history=history, item_rows=True, lm=lm)
    for field in ("term", "last_term"):
        renderer.grammar.limits[renderer.grammar.index(field)] = 3
    histories, lengths = random_histories(30, 6, 5, seed=1)
    items = torch.tensor([3, 9, 1, 30, 4, 4]) if chosen else None
    return model, renderer, lambda answers=None: renderer.cid2ins(histories, lengths, TAGS, items, answers)


@pytest.mark.parametrize(("history", "chosen"), [("pooled", True), ("tokens", True), ("pooled", False)])
@pytest.mark.parametrize(("think", "temperature"), [(True, 0.0), (True, 1.0), (False, 0.6)])
def test_probabilities_of_writing_are_those_of_training(history, chosen, think, temperature):
    model, renderer, render = asked(history, chosen=chosen)
    written = write(model, render(), think, temperature, torch.Generator().manual_seed(3))
    learned = render(written.answers())
    assert render().tokens.shape[1] <= renderer.longest_prompt(5)
    for answer in written.answers():
        assert (parse_answer(renderer.vocabulary.raw_answer(answer)).reasoning is not None) == think
    log_probs = model.written_log_probs(learned, temperature or 1.0)
    torch.testing.assert_close(written.log_probs[written.sampled], log_probs.detach(), atol=1e-5, rtol=1e-4)
    assert (written.log_probs[~written.sampled] == 0).all()
    assert int(written.sampled.sum()) == int((learned.origin == Origin.TARGET).sum())


def test_a_pretrained_layout_writes_too():
    text = small_model()[1].vocabulary.text_size
    model, _, render = asked(lm=llama(text + 7))  # more rows than the tokenizer has tokens
    written = write(model, render(), temperature=1.0, generator=torch.Generator().manual_seed(0))
    log_probs = model.written_log_probs(render(written.answers()))
    torch.testing.assert_close(written.log_probs[written.sampled], log_probs.detach(), atol=1e-5, rtol=1e-4)


def test_greedy_takes_the_most_probable_and_seeds_decide_the_rest():
    model, _, render = asked()
    greedy = write(model, render(), think=False)
    assert greedy.tokens.tolist() == write(model, render(), think=False).tokens.tolist()
    drawn = [write(model, render(), False, 1.0, torch.Generator().manual_seed(seed)).answers() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    # A row is written alike whatever stands beside it.
    alone = write(model, render().rows(slice(2, 3)), think=False)
    assert alone.answers() == greedy.answers()[2:3]
    many = [torch.Generator().manual_seed(seed) for seed in range(6)]
    together = write(model, render(), False, 1.0, many).answers()
    alone = write(model, render().rows(slice(2, 4)), False, 1.0, [torch.Generator().manual_seed(s) for s in (2, 3)])
    assert alone.answers() == together[2:4] and len({str(answer) for answer in together}) == 6
    for wrong, message in (({"temperature": -1.0}, "must not be negative"), ({"top_p": 0.0}, "top_p=0.0")):
        with pytest.raises(InputError, match=message):
            write(model, render(), **wrong)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_nucleus_is_the_smallest_set_that_holds_the_share(share):
    scores = 2 * torch.randn(50, 12, generator=torch.Generator().manual_seed(1))
    scores[:, 3] = float("-inf")
    whole = scores.log_softmax(dim=1)
    cut = nucleus(whole, share)
    inside = cut > float("-inf")
    torch.testing.assert_close(cut.exp().sum(dim=1), torch.ones(50))
    for row, kept in zip(whole.exp(), inside, strict=True):
        ranked = row.sort(descending=True).values
        assert set(row[kept].tolist()) == set(ranked[: int(kept.sum())].tolist())
        assert float(row[kept].sum()) >= share - 1e-6 > float(ranked[: int(kept.sum()) - 1].sum()) - 2e-6
    # What is kept keeps its odds.
    torch.testing.assert_close(
        (cut - whole)[inside], torch.log(1 / (whole.exp() * inside).sum(1))[:, None].expand_as(cut)[inside]
    )


def test_a_nucleus_is_the_same_if_a_few_tokens_do_not_hold_it(monkeypatch):
    whole = (2 * torch.randn(50, 12, generator=torch.Generator().manual_seed(2))).log_softmax(dim=1)
    wide = nucleus(whole, 0.8)
    monkeypatch.setattr(writing, "LIKELY", 2)
    torch.testing.assert_close(nucleus(whole, 0.8), wide)
    everything = nucleus(whole, 1 - 1e-12)
    torch.testing.assert_close(everything, whole)


@pytest.mark.parametrize("think", [True, False])
def test_given_terms_are_named_and_are_no_choice(think):
    model, renderer, render = asked()
    terms = [["red hat", "sea"], ["x"], ["one", "two", "three"], ["a b c"], ["sea"], ["hat", "red"]]
    told = [renderer.answer_terms(row) for row in terms]
    written = write(model, render(), think, 1.0, torch.Generator().manual_seed(3), 0.9, told)
    for row, answer in enumerate(written.answers()):
        read = parse_answer(renderer.vocabulary.raw_answer(answer))
        assert list(read.target_tid) == terms[row] and (read.reasoning is not None) == think
        begin = answer.index(renderer.vocabulary.special(TERMS))
        fixed = slice(begin + 1, begin + 1 + len(told[row]))
        assert answer[fixed] == told[row]
        assert not written.sampled[row, fixed].any() and (written.log_probs[row, fixed] == 0).all()
        assert written.sampled[row, fixed.stop]


def test_what_is_cut_off_is_not_written():
    model, _, render = asked()
    greedy = write(model, render(), think=False).answers()
    assert write(model, render(), False, 1.0, torch.Generator().manual_seed(0), top_p=1e-6).answers() == greedy
    drawn = write(model, render(), False, 1.0, torch.Generator().manual_seed(0), top_p=0.5)
    likely = model.written_log_probs(render(drawn.answers())).detach()
    # Renormalised over at least half of the mass, so at most twice as probable.
    gained = drawn.log_probs[drawn.sampled] - likely
    assert (gained > -1e-4).all() and (gained < math.log(2) + 1e-4).all() and gained.max() > 0.1


def test_first_tokens_are_drawn_as_often_as_they_are_probable():
    model, renderer, render = asked()
    prompts = render()
    many = prompts.rows(torch.zeros(800, dtype=torch.long))
    for name in ("thought", "term", "instruction"):
        renderer.grammar.limits[renderer.grammar.index(name)] = 1
    written = write(model, many, False, 1.0, torch.Generator().manual_seed(0))
    tokens, counts = written.tokens[:, 1].unique(return_counts=True)
    for token, count in zip(tokens.tolist(), counts.tolist(), strict=True):
        expected = float(written.log_probs[written.tokens[:, 1] == token, 1][0].exp()) * 800
        assert abs(count - expected) < 5 * expected**0.5 + 5


def test_a_generator_a_row_draws_as_often_as_is_probable():
    probs = torch.tensor([0.0, 0.25, 0.0, 0.6, 0.15, 0.0]).expand(4000, -1)
    generators = [torch.Generator().manual_seed(seed) for seed in range(4000)]
    shares = torch.stack([torch.rand(1, generator=one, dtype=torch.float64) for one in generators])
    drawn = draw(probs, shares)
    counts = drawn.flatten().bincount(minlength=6)
    assert drawn.shape == (4000, 1) and (counts[probs[0] == 0] == 0).all()
    expected = 4000 * probs[0]
    assert ((counts - expected) ** 2 / expected.clamp(min=1)).sum() < 16  # chi-square of 2 degrees: p = .0003


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_looking_seldom_whether_all_is_written_changes_nothing(monkeypatch, temperature):
    model, _, render = asked()
    often, seldom = (
        (monkeypatch.setitem(writing.CHECKED, "cpu", every), write(model, render(), True, temperature, many))[1]
        for every in (1, 8)
        for many in [[torch.Generator().manual_seed(seed) for seed in range(6)]]
    )
    for name in ("tokens", "lengths", "sampled", "log_probs"):
        torch.testing.assert_close(getattr(often, name), getattr(seldom, name), atol=0, rtol=0)
    assert int(often.lengths.max()) == often.tokens.shape[1]


def test_forced_and_padded_tokens_teach_nothing():
    model, renderer, render = asked()
    answers = [renderer.answer(("red",) * 10, "blue river", "love" if row else None) for row in range(6)]
    rendered = render(answers)
    hidden = torch.randn(*rendered.tokens.shape, 16, requires_grad=True)
    model.backbone.run_context = lambda *_: (hidden, [])
    model.text_loss(rendered).backward()
    moved = hidden.grad.abs().sum(dim=-1) > 0
    # The state before a token decides it.
    assert moved[:, :-1].tolist() == (rendered.origin[:, 1:] == Origin.TARGET).tolist() and not moved[:, -1].any()
    assert (rendered.origin == Origin.FORCED).any() and (rendered.origin == Origin.PAD).any()


@pytest.mark.parametrize("told", [False, True])
def test_answers_do_not_change_as_finished_ones_leave(monkeypatch, told):
    model, renderer, render = asked()
    terms = [renderer.answer_terms(["x"] * (1 + row % 2)) for row in range(6)] if told else None

    def written(block):
        monkeypatch.setattr(writing, "BLOCK", block)
        return write(model, render(), True, 1.0, [torch.Generator().manual_seed(row) for row in range(6)], 0.9, terms)

    whole, parts = written(10**4), written(2)
    assert len(set(whole.lengths.tolist())) > 1
    assert parts.answers() == whole.answers() and torch.equal(parts.sampled, whole.sampled)
    torch.testing.assert_close(parts.log_probs, whole.log_probs, atol=1e-5, rtol=1e-4)
