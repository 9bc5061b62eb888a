"""A causal language model in a local folder, through transformers, as a chat.

Greedy by default, in batches. With a temperature, each conversation is sampled alone under a seed of its own, so that
an answer depends on nothing but its messages and the settings.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_navigen.artefacts import content_hash
from recbole_navigen.devices import AUTO, resolve_device
from recbole_navigen.errors import InputError
from recbole_navigen.sources import SAFE, SAFE_CODE, folder_hash, refuse_broken_weights, refuse_pickles, versions
from recbole_navigen.supervision.chat.model_teacher import Failure
from recbole_navigen.supervision.chat.prompts import Messages, as_text
from recbole_navigen.supervision.chat.store import Answer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """A model on this machine and how to run it.

    Attributes:
        path: folder of the model. gguf_file: name of a GGUF file in it (needs the extra `offline`), or None.
        temperature: 0 for greedy decoding. max_tokens: new tokens at most. seed: of sampling.
        batch_size: conversations decoded together when greedy.
        device: auto (CUDA if there is any), cpu, cuda, ...
    """

    path: str
    gguf_file: str | None = None
    temperature: float = 0.0
    max_tokens: int = 1500
    seed: int = 0
    batch_size: int = 8
    device: str = AUTO

    def __post_init__(self) -> None:
        if not Path(self.path).is_dir():
            raise InputError(f"{self.path} is no folder of a language model; set the path of a downloaded one.")
        if not (self.temperature >= 0 and self.max_tokens >= 1 and self.batch_size >= 1):
            raise InputError(f"a local model needs temperature >= 0, max_tokens >= 1 and batch_size >= 1, not {self}.")


class LocalChat:
    """Implements `Chat`. The model is loaded with the first question."""

    def __init__(self, settings: LocalSettings):
        self.settings = settings
        folder = Path(settings.path)
        self.name = folder.resolve().name
        sampling = {
            key: value for key, value in asdict(settings).items() if key not in ("path", "batch_size", "device")
        }
        self.identity: dict[str, Any] = {
            "kind": "transformers",
            "weights": folder_hash(folder),
            "versions": versions(),
            **sampling,
        }
        self._loaded: tuple[Any, Any] | None = None

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """See `Chat`: one's own machine asks for nothing."""
        return 0.0

    def complete(self, conversations: Sequence[Messages]) -> Iterator[tuple[int, Answer | Failure]]:
        """See `Chat`. A conversation that leaves no room for an answer fails alone."""
        model, tokenizer = self._load()
        rows = [self._tokens(tokenizer, messages) for messages in conversations]
        limit = getattr(model.config, "max_position_embeddings", None) or float("inf")
        fitting = [place for place, row in enumerate(rows) if len(row) < limit]
        too_long = Failure("prompt too long", final=True)
        yield from ((place, too_long) for place, row in enumerate(rows) if len(row) >= limit)
        # Rows of like length together: the least padding.
        fitting.sort(key=lambda place: len(rows[place]))
        step = 1 if self.settings.temperature else self.settings.batch_size
        for begin in range(0, len(fitting), step):
            places = fitting[begin : begin + step]
            yield from zip(places, self._generate(model, tokenizer, [rows[place] for place in places]), strict=True)

    def refuse_broken(self) -> None:
        """Refuse a model that could not be loaded when it is asked: what can be told without its weights."""
        from transformers import AutoConfig, AutoTokenizer
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

        path = self.settings.path
        if self.settings.gguf_file:
            if not (Path(path) / self.settings.gguf_file).is_file():
                raise InputError(f"{path} holds no {self.settings.gguf_file}; set gguf_file to a file in that folder.")
            return
        try:
            config = AutoConfig.from_pretrained(path, local_files_only=True, **SAFE_CODE)
            AutoTokenizer.from_pretrained(path, local_files_only=True, **SAFE_CODE)
        except Exception as error:  # malformed files make transformers raise whatever there is
            raise InputError(f"the language model in {path} cannot be loaded: {_first_line(error)}") from error
        if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
            raise InputError(f"the model in {path} is a {type(config).__name__[:-6]}, which writes no text.")
        refuse_broken_weights(path)

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            extra: dict[str, Any] = {"local_files_only": True}
            file = self.settings.gguf_file
            if file:
                extra["gguf_file"] = file
            else:
                refuse_pickles(self.settings.path)
            try:
                tokenizer = AutoTokenizer.from_pretrained(self.settings.path, **extra, **SAFE_CODE)
                model = AutoModelForCausalLM.from_pretrained(
                    self.settings.path, **extra, **(SAFE_CODE if file else SAFE)
                )
            except Exception as error:  # malformed files make transformers raise whatever there is
                reason = _first_line(error)
                raise InputError(f"the language model in {self.settings.path} cannot be loaded: {reason}") from error
            self._loaded = model.to(resolve_device(self.settings.device)).eval(), tokenizer
        return self._loaded

    @staticmethod
    def _tokens(tokenizer: "PreTrainedTokenizerBase", messages: Messages) -> list[int]:
        """A conversation in tokens. What it says is text, even where it spells a token that ends a turn."""
        added = tokenizer.added_tokens_decoder.values()
        marks = {token.content for token in added if token.special} | set(tokenizer.all_special_tokens)
        messages = tuple({**message, "content": _spelled_out(message["content"], marks)} for message in messages)
        if tokenizer.chat_template is None:
            return tokenizer(as_text(messages))["input_ids"]
        text = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
        return tokenizer(text, add_special_tokens=False)["input_ids"]  # the template has written them

    def _generate(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", rows: list[list[int]]
    ) -> list[Answer]:
        """Decode a batch of prompts of B rows, padded on the left to T tokens."""
        import torch

        settings, width = self.settings, max(len(row) for row in rows)
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (tokenizer.eos_token_id or 0)
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        sampling = {"do_sample": True, "temperature": settings.temperature} if settings.temperature else {}
        limit = getattr(model.config, "max_position_embeddings", None) or width + settings.max_tokens
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(content_hash(settings.seed, rows)[:15], 16))
            out = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                max_new_tokens=min(settings.max_tokens, limit - width),
                pad_token_id=pad,
                **({"do_sample": False} | sampling),
            )
        answers = []
        for row, new in zip(rows, out[:, width:].cpu(), strict=True):
            text = tokenizer.decode(new, skip_special_tokens=True)
            answers.append(Answer(text, len(row), int((new != pad).sum())))
        return answers


def _spelled_out(text: str, marks: Collection[str]) -> str:
    """A text in which a space keeps apart what a tokenizer would read as one of its marks."""
    for mark in sorted(marks, key=len, reverse=True):
        if len(mark) > 1 and mark in text:
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return text


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
