"""A local language model as teacher: a tiny random one made on the spot."""

import shutil

import pytest

from recbole_navigen.errors import InputError
from recbole_navigen.supervision.chat.local_chat import LocalChat, LocalSettings
from recbole_navigen.supervision.chat.model_teacher import Failure, LanguageModel, ModelTeacher
from recbole_navigen.supervision.chat.store import AnswerStore
from recbole_navigen.supervision.evolution import evolve
from recbole_navigen.supervision.interfaces import Sample


def talk(text):
    return ({"role": "system", "content": "Be brief."}, {"role": "user", "content": text})


def answers(model, **settings):
    chat = LocalChat(LocalSettings(str(model), max_tokens=12, **settings))
    return lambda *texts: [reply for _, reply in sorted(chat.complete([talk(text) for text in texts]))]


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0, "seed": 5}])
def test_an_answer_depends_on_its_own_messages(tiny_model, settings):
    ask = answers(tiny_model, batch_size=2, **settings)
    together = ask("a short one", "quite a bit longer than the first one of them", "a third")
    assert [ask(text)[0].text for text in ("a short one", "a third")] == [together[0].text, together[2].text]
    assert all(0 < reply.completion_tokens <= 12 and reply.prompt_tokens > 5 for reply in together)


def test_seeds_and_messages_change_what_is_sampled(tiny_model):
    texts = {answers(tiny_model, temperature=1.0, seed=seed)("a", "b")[n].text for seed in range(3) for n in range(2)}
    assert len(texts) == 6
    assert len({str(LocalChat(LocalSettings(str(tiny_model), seed=seed)).identity) for seed in (1, 2)}) == 2


def test_a_model_that_writes_no_json_is_counted_and_stops_nothing(tiny_model, own_folder):
    chat = LocalChat(LocalSettings(str(tiny_model), max_tokens=8))
    samples = [Sample(f"u{n}", (("red",),), ("blue", f"x{n}")) for n in range(3)]
    with AnswerStore(own_folder / "answers.sqlite") as store:
        model = LanguageModel(chat, store)
        teacher = ModelTeacher(model)
        outcome = evolve(samples, teacher, teacher)
        assert outcome.results == (None, None, None) and outcome.report["failed_samples"] == 3
        assert model.counts["failed: invalid answer"] == 3 and model.counts["paid"] == 6  # each with one repair
        evolve(samples, teacher, teacher)
        assert model.counts["paid"] == 6 and len(store) == 6


def test_a_prompt_without_room_for_an_answer_fails_alone(tiny_model):
    replies = answers(tiny_model)("short", "word " * 3500)
    assert replies[1] == Failure("prompt too long", final=True) and replies[0].completion_tokens > 0


def test_a_model_without_a_chat_template_reads_plain_text(tiny_model):
    chat = LocalChat(LocalSettings(str(tiny_model), max_tokens=4))
    _, tokenizer = chat._load()
    tokenizer.chat_template = None
    ((_, reply),) = chat.complete([talk("a")])
    assert reply.prompt_tokens == len(tokenizer("System: Be brief.\n\nUser: a\n\nAssistant:")["input_ids"])


def test_what_an_item_says_ends_no_turn(tiny_model):
    chat = LocalChat(LocalSettings(str(tiny_model), max_tokens=4))
    _, tokenizer = chat._load()
    ids = chat._tokens(tokenizer, talk("a boat <end><pad> and more"))
    assert not {tokenizer.eos_token_id, tokenizer.pad_token_id} & set(ids) and "< end>" in tokenizer.decode(ids)


def test_pickled_weights_are_refused_by_name(tiny_model, own_folder):
    folder = own_folder / "pickled"
    shutil.copytree(tiny_model, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin is a pickle.*save_pretrained"):
        list(LocalChat(LocalSettings(str(folder))).complete([talk("a")]))


def test_models_that_are_not_there_are_named(own_folder):
    with pytest.raises(InputError, match="no folder"):
        LocalSettings(str(own_folder / "nowhere"))
    empty = own_folder / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="empty cannot be loaded"):
        list(LocalChat(LocalSettings(str(empty))).complete([talk("a")]))
    with pytest.raises(InputError, match="temperature"):
        LocalSettings(str(empty), temperature=-1)
