"""The renderer: ids and origins of each task, the same in training and inference."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_model import small_model

from recbole_navigen.language.rendering import Origin
from recbole_navigen.language.vocabulary import END, train_tokenizer

WORDS = small_model()[1].vocabulary
SENTENCES = ["Of a red river.", "To a red river.", "By a red river.", "With a red river."] * 2 + ["red, river"] * 9
WITH_PHRASES = train_tokenizer(["space", "in"] * 3, 400, SENTENCES, 40)


def words(renderer, ids):
    return [renderer.vocabulary.surface(int(token)) for token in ids]


def test_pooled_history_is_the_task_and_one_slot_an_item():
    _, renderer = small_model()
    rendered = renderer.cid2cid(torch.tensor([[4, 9, 2], [7, 0, 0]]), torch.tensor([3, 1]))
    assert words(renderer, rendered.tokens[:, 0]) == ["<|cid2cid|>"] * 2
    assert rendered.items.tolist() == [[0, 4, 9, 2], [0, 7, 0, 0]]
    assert rendered.lengths.tolist() == [4, 2]
    assert rendered.anchors.tolist() == [[3], [1]]
    assert rendered.origin.tolist() == [[Origin.PROMPT] * 4, [Origin.PROMPT] * 2 + [Origin.PAD] * 2]


def test_token_history_spells_out_the_codes():
    model, renderer = small_model(history="tokens")
    rendered = renderer.cid2cid(torch.tensor([[4, 9]]), torch.tensor([2]))
    a, b, c = model.codes[4].tolist()
    assert words(renderer, rendered.tokens[0, :4]) == ["<|cid2cid|>", f"<s_a_{a}>", f"<s_b_{b}>", f"<s_c_{c}>"]
    assert rendered.lengths.tolist() == [7] and rendered.anchors.tolist() == [[6]]


def test_every_item_but_the_first_is_a_target():
    histories, lengths = torch.tensor([[4, 9, 2], [7, 3, 0], [5, 0, 0]]), torch.tensor([3, 2, 1])
    for history, anchors in (("pooled", [1, 2]), ("tokens", [3, 6])):
        rendered = small_model(history=history)[1].cid2cid(histories, lengths, targets=True)
        assert rendered.targets.tolist() == [[9, 2], [3, 0], [0, 0]]
        assert rendered.anchors[0].tolist() == anchors


def test_training_and_inference_write_identical_prompts():
    for history in ("pooled", "tokens"):
        _, renderer = small_model(history=history)
        trained = renderer.cid2cid(torch.tensor([[4, 9, 2, 6]]), torch.tensor([4]), targets=True)
        for last in range(1, 4):
            asked = renderer.cid2cid(torch.tensor([[4, 9, 2, 6]])[:, :last], torch.tensor([last]))
            length = int(asked.lengths)
            assert trained.tokens[:, :length].tolist() == asked.tokens.tolist()
            assert trained.items[:, :length].tolist() == asked.items.tolist()
            assert trained.anchors[0, last - 1] == asked.anchors[0, 0]


def test_token_origins_separate_what_is_learned():
    _, renderer = small_model(history="tokens")
    origin = renderer.cid2cid(torch.tensor([[4, 9], [3, 0]]), torch.tensor([2, 1]), targets=True).origin
    assert origin[0].tolist() == [Origin.PROMPT] * 4 + [Origin.TARGET] * 3
    assert origin[1].tolist() == [Origin.PROMPT] * 4 + [Origin.PAD] * 3


def test_mapping_tasks():
    model, renderer = small_model()
    codes = [f"<s_{letter}_{code}>" for letter, code in zip("abc", model.codes[5].tolist(), strict=True)]
    to_text = renderer.cid2tid(torch.tensor([5]))
    assert words(renderer, to_text.tokens[0, :4]) == ["<|cid2tid|>", *codes]
    assert to_text.origin[0].tolist() == [Origin.PROMPT] * 4 + [Origin.TARGET] * (to_text.tokens.shape[1] - 4)
    assert int(to_text.tokens[0, -1]) == renderer.vocabulary.special(END)
    to_codes = renderer.tid2cid(torch.tensor([5]))
    assert to_codes.tokens[0, 1:].tolist() == to_text.tokens[0, 4:-1].tolist() == renderer.term_tokens[4]
    assert to_codes.targets.tolist() == [[5]] and to_codes.anchors.tolist() == [[to_codes.tokens.shape[1] - 1]]


def test_terms_survive_the_tokenizer():
    _, renderer = small_model()
    terms = ["space war", "Löwe", "3d robot"]
    assert renderer.vocabulary.decode(renderer.vocabulary.encode_terms(terms)) == ", ".join(terms)


@given(st.text() | st.lists(st.sampled_from(["a red river", "in space,", " ", "Of", "war."])).map(" ".join))
def test_any_text_survives_the_tokenizer(text):
    assert WORDS.decode(WORDS.encode(text)) == text
    assert WITH_PHRASES.decode(WITH_PHRASES.encode(text, add_special_tokens=False)) == text


def test_phrases_are_single_tokens_and_lists_are_not():
    spelled = WITH_PHRASES.tokenize("Of a red river in space, a red river.")
    assert spelled == ["ĠOf", "Ġa Ġred Ġriver".replace(" ", ""), "Ġin", "Ġspace", ",", "ĠaĠredĠriver", "."]
    assert WITH_PHRASES.tokenize("red, river, red, river") == ["Ġred", ",", "Ġriver", ",", "Ġred", ",", "Ġriver"]


def test_an_instruction_stream_token_by_token():
    _, renderer = small_model()
    answer = renderer.answer(("red", "war"), "blue river", "love")
    histories, lengths = torch.tensor([[4, 9], [7, 0]]), torch.tensor([2, 1])
    tags = [("film", "video"), ("game", "image")]
    plain = renderer.answer(("red",), "blue")
    rendered = renderer.cid2ins(histories, lengths, tags, torch.tensor([5, 6]), [answer, plain])
    fields = {name: len(renderer.vocabulary.encode(name)) for name in ("red", "war", "blue river", "love", "blue")}
    assert rendered.items[0, :8].tolist() == [0, 0, 0, 4, 9, 0, 5, 0]
    named = [len(renderer.term_tokens[item - 1]) for item in (5, 6)]
    terms = words(renderer, torch.tensor(renderer.term_tokens[4]))
    prompt = ["<|cid2ins|>", "<|film|>", "<|video|>", "<|cid_begin|>", *terms, "<|cid_end|>"]
    first = words(renderer, rendered.tokens[0])
    shown = [surface for surface, item in zip(first, rendered.items[0].tolist(), strict=True) if not item]
    assert shown[: len(prompt)] == prompt
    P, T, F, E = Origin.PROMPT, Origin.TARGET, Origin.FORCED, Origin.PAD
    love, red, war, river, blue = (fields[name] for name in ("love", "red", "war", "blue river", "blue"))
    spelled = [P] * (8 + named[0]) + [F] + [T] * love + [T, F] + [T] * red + [T] + [T] * war + [T] + [T] * river + [T]
    assert rendered.origin[0].tolist() == spelled
    short = [P] * (7 + named[1]) + [F] + [T] * red + [T] + [T] * blue + [T]
    assert rendered.origin[1].tolist() == short + [E] * (len(spelled) - len(short))
    raw = renderer.vocabulary.raw_answer(answer)
    assert raw == '<think>\nlove\n</think>\n\n{"target_tid": ["red", "war"], "target_ins": "blue river"}'


@pytest.mark.parametrize("history", ["pooled", "tokens", "dual"])
@pytest.mark.parametrize("chosen", [None, torch.tensor([5, 6])])
def test_an_instruction_is_asked_for_as_it_was_learned(history, chosen):
    _, renderer = small_model(history=history)
    histories, lengths, tags = torch.tensor([[4, 9, 2], [7, 0, 0]]), torch.tensor([3, 1]), [("film", "image")] * 2
    asked = renderer.cid2ins(histories, lengths, tags, chosen)
    answers = [renderer.answer(("red",), "blue river"), renderer.answer(("war",), "green", "love")]
    learned = renderer.cid2ins(histories, lengths, tags, chosen, answers)
    for row, length in enumerate(asked.lengths.tolist()):
        for part in ("tokens", "items", "origin"):
            assert getattr(learned, part)[row, :length].tolist() == getattr(asked, part)[row, :length].tolist()
        behind = learned.tokens[row, length : int(learned.lengths[row])].tolist()
        assert behind == answers[row] and set(asked.origin[row, :length].tolist()) == {Origin.PROMPT}
    # The history of an instruction is the one of a next item, between the tags and what follows.
    next_item = renderer.cid2cid(histories, lengths)
    length = int(next_item.lengths[0])
    for part in ("tokens", "items"):
        assert getattr(asked, part)[0, 3 : 2 + length].tolist() == getattr(next_item, part)[0, 1:length].tolist()
