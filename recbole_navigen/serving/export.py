"""Trained models as folders: one that holds everything NaviGen needs, and one that plain transformers loads.

A folder of `save_pretrained` has `identifiers/`, a model card `README.md`, and of the ranking model `settings.json`,
`tokenizer/`, `backbone/` (the architecture) and `weights/`; `writer/` has the same four of the writer, if there is one.
It needs neither the run, nor the data, nor the backbone it was trained from.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

import recbole_navigen
from recbole_navigen.artefacts import atomic_directory, plain, read_json, verify_manifest, write_json
from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.language.adapters import has_lora, merge_lora
from recbole_navigen.language.attention import ATTENTION
from recbole_navigen.language.backbone import pretrained_tokenizer
from recbole_navigen.language.rendering import Renderer
from recbole_navigen.language.tags import SCRATCH
from recbole_navigen.language.vocabulary import Vocabulary
from recbole_navigen.model.author import Author
from recbole_navigen.network.build import build_lm
from recbole_navigen.network.text_model import TextModel
from recbole_navigen.network.writer import build_writer
from recbole_navigen.redaction import without_secrets
from recbole_navigen.runs.trained import TrainedModel
from recbole_navigen.sources import SAFE_CODE
from recbole_navigen.training.checkpoint import load_checkpoint, save_checkpoint

SETTINGS, IDENTIFIERS, TOKENIZER, BACKBONE, WEIGHTS, WRITER, CARD = (
    "settings.json",
    "identifiers",
    "tokenizer",
    "backbone",
    "weights",
    "writer",
    "README.md",
)
SENTENCES = "sentences"  # the components of the items' text embeddings
_KIND = "recbole-navigen model"


def save_pretrained(trained: TrainedModel, folder: str | Path) -> Path:
    """Write a model into a folder of its own, all or nothing.

    Args:
        trained: the model. folder: to be made; an older model there is replaced, anything else is refused.
    """
    folder, about = _free(folder), _about(trained)
    with atomic_directory(folder, {"kind": _KIND}) as temporary:
        trained.table.save(temporary / IDENTIFIERS, {})
        _save_part(temporary, trained.lm, trained.renderer, about)
        if (writer := trained.writer) is not None:
            (temporary / WRITER).mkdir()
            about_writer = {"settings": without_secrets(plain(writer.settings))}
            _save_part(temporary / WRITER, writer.model, writer.renderer, about_writer)
        (temporary / CARD).write_text(_card(trained, about), encoding="utf-8")
    return folder


def _save_part(folder: Path, model: TextModel, renderer: Renderer, about: Mapping[str, Any]) -> None:
    """Write all weights of a model, frozen ones too, and what it is built from."""
    kept = model.state_dict().keys()
    tensors = dict(model.named_parameters(remove_duplicate=False))
    tensors |= {name: tensor for name, tensor in model.named_buffers() if name in kept or name == SENTENCES}
    renderer.vocabulary.tokenizer.save_pretrained(folder / TOKENIZER)
    model.backbone.lm.config.save_pretrained(folder / BACKBONE)
    save_checkpoint(folder / WEIGHTS, state_dict=tensors)
    write_json(folder / SETTINGS, about)


def from_pretrained(folder: str | Path) -> TrainedModel:
    """Read what `save_pretrained` wrote."""
    folder = Path(folder)
    if not (folder / SETTINGS).is_file():
        raise InputError(f"{folder} is no model folder: it holds no {SETTINGS}; name one that save_pretrained wrote.")
    verify_manifest(folder)
    about, table = read_json(folder / SETTINGS), DualIdentifierTable.load(folder / IDENTIFIERS)
    tokenizer, body = _read_part(folder)
    lm, renderer = build_lm(about["settings"], table, tokenizer, body, trained=True)
    weights = load_checkpoint(folder / WEIGHTS)["state_dict"]
    if SENTENCES in weights:  # with items that came later, they are not what the embeddings of all items would give
        lm.sentences = weights.pop(SENTENCES)
    lm.load_state_dict(weights)
    author = None
    if (folder / WRITER).is_dir():
        settings = read_json(folder / WRITER / SETTINGS)["settings"]
        tokenizer, body = _read_part(folder / WRITER)
        writer, reads = build_writer(settings, lm, table, tokenizer, lm=body)
        writer.load_state_dict(load_checkpoint(folder / WRITER / WEIGHTS)["state_dict"])
        author = Author(writer.eval(), reads, settings)
    return TrainedModel(table, lm, renderer, about["settings"], about["dataset_hash"], author, about["test_result"])


def _read_part(folder: Path) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """The tokenizer of a part, and its body with weights that are still to be read."""
    config = AutoConfig.from_pretrained(folder / BACKBONE, **SAFE_CODE)
    body = AutoModelForCausalLM.from_config(config, attn_implementation=ATTENTION, **SAFE_CODE).float()
    return pretrained_tokenizer(str(folder / TOKENIZER)), body


@torch.no_grad()
def export_transformers(trained: TrainedModel, folder: str | Path) -> Path:
    """Write a model as a plain causal LM with its tokenizer: `AutoModelForCausalLM.from_pretrained(folder)`.

    Adapters are merged. Special tokens and codes become rows of the vocabulary, behind the text, with the numbers they
    have here. What a plain LM has no place for is left out: the bias and the legality of codes, the rows of single
    items and the memory; so probabilities differ from NaviGen's.
    """
    history, decoder = (trained.settings[key] for key in ("history", "decoder"))
    if history != "tokens" or decoder != "tokens":
        raise InputError(
            f"a plain language model reads and writes items as tokens, and this one was trained with history={history} "
            f"and decoder={decoder}; train with --history=tokens --decoder=tokens to export."
        )
    folder = _free(folder)
    lm, vocabulary = trained.lm, trained.renderer.vocabulary
    body = copy.deepcopy(lm.backbone.lm).float()
    merge_lora(body)
    new_rows = torch.cat([lm.special_rows, lm.code_rows])
    body.resize_token_embeddings(vocabulary.size, mean_resizing=False)
    for rows in {body.get_input_embeddings().weight, body.get_output_embeddings().weight}:
        rows[vocabulary.text_size :] = new_rows
    body.config._attn_implementation = "sdpa"
    tokenizer = _extended(vocabulary)
    with atomic_directory(folder, {"kind": _KIND}) as temporary:
        body.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        (temporary / CARD).write_text(_card(trained, _about(trained), plain_lm=True), encoding="utf-8")
    return folder


def _about(trained: TrainedModel) -> dict[str, Any]:
    settings = without_secrets(plain(trained.settings))
    return {"settings": settings, "dataset_hash": trained.dataset_hash, "test_result": trained.test_result}


def _free(folder: str | Path) -> Path:
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        try:
            kind = verify_manifest(folder)["inputs"].get("kind")
        except DamagedArtefact:
            kind = None
        if kind != _KIND:
            raise InputError(f"{folder} is there already and is no model folder; name a new one.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"folder {folder} cannot be made ({error.strerror}); name another one.") from error
    return folder


def _extended(vocabulary: Vocabulary) -> Any:
    """The tokenizer with a token for every number: fillers where a backbone has more rows than tokens, then ours."""
    tokenizer = copy.deepcopy(vocabulary.tokenizer)
    fillers = [f"<|filler_{number}|>" for number in range(len(tokenizer), vocabulary.text_size)]
    ours = [vocabulary.surface(token) for token in range(vocabulary.text_size, vocabulary.size)]
    known = tokenizer.get_vocab()
    # A backbone may have a token of the same name already, such as <think>; ours is then told apart by a bar.
    names = [f"<|own|>{name}" if name in known else name for name in (*fillers, *ours)]
    tokenizer.add_tokens([AddedToken(name, normalized=False, special=False) for name in names])
    return tokenizer


def _card(trained: TrainedModel, about: Mapping[str, Any], plain_lm: bool = False) -> str:
    """The model card: what it is, from what, how good, how to use it, and what it must not be taken for."""
    settings, lm, table = about["settings"], trained.lm, trained.table
    parameters = list(lm.parameters())
    trained, total = sum(p.numel() for p in parameters if p.requires_grad), sum(p.numel() for p in parameters)
    base = None if settings["backbone"] == SCRATCH else settings["backbone"]
    metrics = "".join(f"| {name} | {value:.4f} |\n" for name, value in about["test_result"].items())
    use = (
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'model = AutoModelForCausalLM.from_pretrained("FOLDER")\ntokenizer = AutoTokenizer.from_pretrained("FOLDER")'
        if plain_lm
        else "from recbole_navigen.quick_start import Recommender\n\n"
        'recommender = Recommender.from_pretrained("FOLDER")  # or OWNER/NAME on the hub\n'
        'recommender.recommend(["ITEM", "ITEM"], k=10)'
    )
    method = f"low-rank adapters of rank {settings['lora_rank']}" if has_lora(lm) else "all weights"
    lines = [
        "---",
        "library_name: " + ("transformers" if plain_lm else "recbole-navigen"),
        *([f"base_model: {base}"] if base and not Path(base).exists() else []),  # a hub id; folders are nobody else's
        "tags: [recommendation, generative-recommendation, recbole]",
        "---",
        "",
        f"# NaviGen on {settings['dataset']}",
        "",
        f"A sequential recommender over dual identifiers, trained with RecBole-NaviGen {recbole_navigen.__version__}.",
        "",
        f"- backbone: {base or 'from scratch'}, {type(lm.backbone.lm).__name__}; trained: {method}",
        f"- parameters: {total:,}, of which trained {trained:,} ({trained / total:.1%})",
        f"- catalogue: {table.n_items:,} items, {table.levels} levels of {table.codebook_size} codes",
        f"- data: {settings['dataset']}, seed {settings['seed']}, history: {settings['history']}",
        "",
        "## Use",
        "",
        f"```python\n{use}\n```",
        "",
        *(["## Test metrics", "", f"| metric | value |\n|---|---:|\n{metrics}"] if metrics else []),
        "## Limits",
        "",
        "It knows the items of its catalogue and no others, and repeats what its training data prefer: popular items, "
        "and the habits of the users in them. Instructions it writes are not checked for truth.",
        *(
            [
                "As a plain language model it may write codes that no item has, and it lacks the bias of codes, the "
                "rows of single items and the memory that NaviGen has."
            ]
            if plain_lm
            else []
        ),
    ]
    return "\n".join(lines) + "\n"
