"""The grammar of answers and the strict parser: whatever keeps to the one is accepted by the other."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_model import small_model

from recbole_navigen.language.answer import Answer, InvalidAnswer, parse_answer
from recbole_navigen.language.answer_grammar import MAX_TERMS, TERM_TOKENS
from recbole_navigen.language.vocabulary import CLOSE, INSTRUCTION, NEXT_TERM, TERMS, THINK, THINK_END

_, RENDERER = small_model()
GRAMMAR, WORDS = RENDERER.grammar, RENDERER.vocabulary


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.floats(0.01, 0.9))
def test_every_walk_through_the_grammar_is_a_valid_answer(seed, think, ending):
    """Random legal tokens, with more or less taste for ending a field."""
    generator = torch.Generator().manual_seed(seed)
    token = torch.tensor([WORDS.special(THINK if think else TERMS)])
    place, answer = GRAMMAR.follow(GRAMMAR.start(1), GRAMMAR.outputs(token)), token.tolist()
    while not GRAMMAR.done(place):
        legal = GRAMMAR.legal[GRAMMAR.choice(place)][0].float()
        assert legal.any() and len(answer) < 400
        ends = legal.clone()
        ends[: WORDS.text_size] = 0
        if ends.any() and torch.rand((), generator=generator) < ending:
            legal = ends
        output = torch.multinomial(legal, 1, generator=generator)
        answer += GRAMMAR.tokens(output).tolist()
        place = GRAMMAR.follow(place, output)
    raw = WORDS.raw_answer(answer)
    parsed = parse_answer(raw)
    assert GRAMMAR.accepts([answer]) == [True]
    assert (parsed.reasoning is not None) == think and 1 <= len(parsed.target_tid) <= MAX_TERMS
    assert len({" ".join(term.split()).casefold() for term in parsed.target_tid}) == len(parsed.target_tid)
    assert json.loads(raw[raw.index('{"target_tid": [') :])["target_ins"] == parsed.target_ins


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text('ab "\\\n\x00é{}[],<', min_size=1, max_size=6), min_size=1, max_size=3), st.text(max_size=9))
def test_what_is_rendered_is_read_back(terms, instruction):
    answer = RENDERER.answer(terms, instruction)
    written = all(term.strip() for term in terms) and instruction.strip()
    if not written:
        with pytest.raises(InvalidAnswer):
            parse_answer(WORDS.raw_answer(answer))
        return
    first: dict[str, str] = {}
    for term in terms:
        first.setdefault(" ".join(term.split()).casefold(), term)
    assert parse_answer(WORDS.raw_answer(answer)) == Answer(tuple(first.values()), instruction, None)


@pytest.mark.parametrize(
    ("terms", "written"),
    [
        (("red", "red"), ("red",)),
        (("red", "blue", " RED ", "blue", "river"), ("red", "blue", "river")),
        (("red  war", "Red war", "redwar"), ("red  war", "redwar")),
        (('say "hi"', 'say "hi"', "red"), ('say "hi"', "red")),
    ],
)
def test_a_term_is_written_once(terms, written):
    for thought in (None, "red and red"):
        answer = RENDERER.answer(terms, "red, red and red", thought)
        assert parse_answer(WORDS.raw_answer(answer)) == Answer(written, "red, red and red", thought)


def test_limits_are_kept():
    word = WORDS.encode("red")
    assert len(word) == 1
    long = {"term": TERM_TOKENS, "instruction": 30, "thought": 20}
    for extra, fits in ((0, True), (1, False)):
        for field, limit in long.items():
            size = {name: limit + extra if name == field else 1 for name in long}
            answer = [
                *[WORDS.special(THINK), *word * size["thought"], WORDS.special(THINK_END)],
                *[WORDS.special(TERMS), *word * size["term"]],
                *[WORDS.special(INSTRUCTION), *word * size["instruction"], WORDS.special(CLOSE)],
            ]
            assert GRAMMAR.accepts([answer]) == [fits], field
    many = [WORDS.special(TERMS), *word]
    for _ in range(MAX_TERMS - 1):
        many += [WORDS.special(NEXT_TERM), *word]
    end = [WORDS.special(INSTRUCTION), *word, WORDS.special(CLOSE)]
    assert GRAMMAR.accepts([many + end, [*many, WORDS.special(NEXT_TERM), *word, *end], many]) == [True, False, False]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not one JSON value"),
        ("a red river", "not one JSON value"),
        ('{"target_tid": ["a"], "target_ins": "b"', "not one JSON value"),
        ('{"target_tid": ["a"], "target_ins": "b"}{}', "not one JSON value"),
        ('{"target_tid": ["a"], "target_ins": "b"} ', "space around the JSON"),
        ('```json\n{"target_tid": ["a"], "target_ins": "b"}\n```', "not one JSON value"),
        ('{"target_tid": ["a"], "target_ins": ' + "9" * 5000 + "}", "not one JSON value"),
        ("[" * 100_000, "not one JSON value"),
        ('{"target_tid": ["a"], "target_ins": "b \\ud83d"}', "half a character"),
        ('<think>\nhm \udc00\n</think>\n\n{"target_tid": ["a"], "target_ins": "b"}', "half a character"),
        ('["a"]', "not an object of"),
        ('{"target_ins": "b", "target_tid": ["a"]}', "not an object of"),
        ('{"target_tid": ["a"], "target_ins": "b", "why": ""}', "not an object of"),
        ('{"target_tid": ["a"], "target_tid": ["a"], "target_ins": "b"}', "not an object of"),
        ('{"target_tid": "a", "target_ins": "b"}', "not a list of strings"),
        ('{"target_tid": [1], "target_ins": "b"}', "not a list of strings"),
        ('{"target_tid": [], "target_ins": "b"}', "not 1 to 10 terms"),
        (json.dumps({"target_tid": ["a"] * 11, "target_ins": "b"}), "not 1 to 10 terms"),
        ('{"target_tid": [" "], "target_ins": "b"}', "a term is blank"),
        ('{"target_tid": ["a"], "target_ins": ["b"]}', "target_ins is not a text"),
        ('{"target_tid": ["a"], "target_ins": ""}', "target_ins is not a text"),
        ('<think>\nhm\n{"target_tid": ["a"], "target_ins": "b"}', "not closed"),
        ('<think>\n \n</think>\n\n{"target_tid": ["a"], "target_ins": "b"}', "thought is empty"),
        ('hm <think>\nhm\n</think>\n\n{"target_tid": ["a"], "target_ins": "b"}', "text before the thought"),
    ],
)
def test_the_parser_refuses(text, reason):
    with pytest.raises(InvalidAnswer, match=reason):
        parse_answer(text)
