"""Scores of instructions, by hand, and their control."""

import json

import numpy as np
import pytest

from recbole_navigen.encoders.sentences import SentenceSpace, TfidfSpace, cosines
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.instruction_scores import diversity, score_instructions


def answer(terms, text):
    return json.dumps({"target_tid": terms, "target_ins": text})


TEXTS = ["a western with dust and horses", "a comedy party in paris", "robots in deep space"]
TERMS = [("western", "dust"), ("comedy", "paris"), ("robot", "space")]


def test_scores_by_hand():
    answers = [
        answer(["Western", "horses", "sun"], "horses in dust under soft backlight, pastel palette"),
        answer(["comedy", "paris"], "a comedy party"),
        "no answer",
    ]
    scores = score_instructions(answers, TERMS, TEXTS, TEXTS, TfidfSpace(TEXTS))
    assert scores.values["valid"].tolist() == [1, 1, 0] and scores.refused == {"not one JSON value": 1}
    assert scores.values["tid_precision"] == pytest.approx([1 / 3, 1, 0])
    assert scores.values["tid_recall"] == pytest.approx([1 / 2, 1, 0])
    assert scores.values["tid_f1"] == pytest.approx([0.4, 1, 0])
    assert scores.values["copy_rate"] == pytest.approx([1 / 3, 1 / 2, 0])
    assert scores.values["target_similarity"][1] > 0.5 and scores.values["target_similarity"][2] == 0
    assert scores.values["specificity"][0] > scores.values["specificity"][1]
    # Three users: the control is the mean over the two others.
    assert scores.control["tid_f1"].tolist() == [0, 0, 0]
    assert scores.gap("target_similarity")[1] > 0.5


def test_one_answer_for_everyone_is_not_personal():
    answers = [answer(["dust"], TEXTS[0])] * 3
    scores = score_instructions(answers, TERMS, TEXTS, TEXTS, TfidfSpace(TEXTS))
    for name in scores.control:
        assert scores.gap(name).mean() == pytest.approx(0, abs=1e-12), name
    with pytest.raises(InputError, match="3 answers came with 2 terms"):
        score_instructions(answers, TERMS[:2], TEXTS, TEXTS, TfidfSpace(TEXTS))


def test_one_answer_for_each_medium_is_not_personal():
    texts = ["a still painting", "a slow pan over water", "an oil painting of dust", "a pan across the city"]
    media = ["image", "video", "image", "video"]
    answers = [answer(["dust"], texts[0]), answer(["dust"], texts[1])] * 2
    terms = [("dust",), ("sea",), ("sun",), ("night",)]
    apart = score_instructions(answers, terms, texts, texts, TfidfSpace(texts), media)
    mixed = score_instructions(answers, terms, texts, texts, TfidfSpace(texts))
    assert apart.gap("reference_similarity").mean() == pytest.approx(0, abs=1e-12)
    assert mixed.gap("reference_similarity").mean() > 0.1
    for wrong in (["image", "video", "video", "video"], ["image"] * 3):
        with pytest.raises(InputError, match="came with 4 answers; give one each"):
            score_instructions(answers, terms, texts, texts, TfidfSpace(texts), wrong)


def test_diversity_by_hand():
    same = diversity([["a", "red", "river", "runs"]] * 3)
    assert same["self_bleu"] == pytest.approx(1) and same["distinct_1"] == pytest.approx(4 / 12)
    apart = diversity([["a", "b", "c", "d"], ["e", "f", "g", "h"]])
    assert apart["distinct_2"] == 1 and apart["self_bleu"] < 0.3
    # Orders 1 to 4 match 3/4, 2/3, 1/2, and none of one, which counts half.
    part = diversity([["a", "b", "c", "d"], ["a", "b", "c", "x"]])
    assert part["self_bleu"] == pytest.approx((3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25)


def test_a_sentence_encoder_is_read_from_a_folder(own_folder):
    from transformers import BertConfig, BertModel, BertTokenizerFast

    with pytest.raises(InputError, match="it holds no"):
        SentenceSpace(own_folder)
    (own_folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "river"]))
    BertTokenizerFast(vocab_file=str(own_folder / "vocab.txt")).save_pretrained(own_folder)
    BertModel(
        BertConfig(vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    ).save_pretrained(own_folder)
    space = SentenceSpace(own_folder)
    vectors = space(["red river", "river", "red river"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert cosines(vectors, vectors[[2, 2, 0]])[[0, 2]] == pytest.approx([1, 1], abs=1e-5)
