"""Any Hugging Face causal LM as the body of NaviGen: a small Qwen3 built from scratch, or a pretrained one by path."""

import contextlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from recbole_navigen.errors import InputError
from recbole_navigen.language.adapters import has_lora, leave_frozen_out
from recbole_navigen.language.attention import ATTENTION, KeyValue, Tree
from recbole_navigen.language.dropout import dropout
from recbole_navigen.sources import SAFE, SAFE_CODE, find_source, refuse_pickles


def scratch_lm(
    vocab_size: int, width: int, layers: int, heads: int, inner: int, attention_dropout: float = 0.0
) -> PreTrainedModel:
    """A Qwen3-architecture causal LM of the given sizes, randomly initialised under torch's current seed."""
    if width % heads or (width // heads) % 2:
        raise InputError(
            f"hidden_size={width} cannot be split into n_heads={heads} heads of even width; choose n_heads so that "
            "hidden_size / n_heads is an even number."
        )
    config = Qwen3Config(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=width // heads,
        max_position_embeddings=4096,
        attention_dropout=attention_dropout,
        tie_word_embeddings=True,
        attn_implementation=ATTENTION,
    )
    return Qwen3ForCausalLM(config)


def revision_of(settings: Mapping[str, Any]) -> str | None:
    """The setting `backbone_revision`; models of earlier versions have none."""
    key = "backbone_revision"
    return settings[key] if key in settings else None  # noqa: SIM401 (a Config has no `get`)


def pretrained_lm(path: str, revision: str | None = None) -> PreTrainedModel:
    """A causal LM from a local folder or a hub id (safetensors only), set to NaviGen's attention.

    Args:
        path: folder or hub id. revision: branch, tag or commit of the hub; None: its main branch.
    """
    with _as_input_error(path):
        if Path(path).is_dir():
            refuse_pickles(path)
        return AutoModelForCausalLM.from_pretrained(
            path, revision=_commit(path, revision), attn_implementation=ATTENTION, dtype=torch.float32, **SAFE
        )


def empty_lm(path: str, revision: str | None = None) -> PreTrainedModel:
    """The architecture of `pretrained_lm` with weights of any values, on torch's current device."""
    with _as_input_error(path):
        config = AutoConfig.from_pretrained(path, revision=_commit(path, revision), **SAFE_CODE)
        return AutoModelForCausalLM.from_config(config, attn_implementation=ATTENTION, dtype=torch.float32, **SAFE_CODE)


def pretrained_tokenizer(path: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder or a hub id, of the same commit as the weights; see `pretrained_lm`."""
    with _as_input_error(path):
        return AutoTokenizer.from_pretrained(path, revision=_commit(path, revision), **SAFE_CODE)


def weights_of(path: str, revision: str | None = None) -> str:
    """What names the weights of a local folder, a hash of its files, or of a hub id, the commit."""
    with _as_input_error(path):
        commit = _commit(path, revision)
        return commit or find_source(path, revision, "config.json").weights


def _commit(path: str, revision: str | None) -> str | None:
    """The commit that a hub id means, the same for as long as the process lives; None for a folder."""
    if not Path(path).is_dir():
        return _commit_on_hub(path, revision)
    if revision is not None:
        raise InputError(f"backbone={path} is a folder and has no revision {revision!r}; leave backbone_revision out.")
    return None


@cache
def _commit_on_hub(path: str, revision: str | None) -> str | None:
    return find_source(path, revision, "config.json").revision


@contextlib.contextmanager
def _as_input_error(path: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # malformed files make libraries raise whatever there is
        place = "is not a model folder" if Path(path).exists() else "is neither a folder here nor a model on the hub"
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(
            f"backbone={path} {place} ({reason}); give `scratch`, a folder with config.json and safetensors, or a hub "
            "id."
        ) from error


class Backbone(nn.Module):
    """Runs contexts and trie nodes through a causal LM's decoder.

    Args:
        lm: a causal LM whose attention is ``ATTENTION``.
        dropout: dropout on the output of each attention and feed-forward block (transformers' decoders have none).
    """

    def __init__(self, lm: PreTrainedModel, dropout: float = 0.0):
        super().__init__()
        self.lm = lm
        self.width = lm.config.hidden_size
        self.dropout = dropout
        # Gemma multiplies rows where it looks them up, and only there; ours enter the decoder below that place.
        self.input_scale = float(getattr(lm.get_input_embeddings(), "scalar_embed_scale", 1.0))
        if has_lora(lm):
            leave_frozen_out(self)
        if dropout:
            for layer in self.layers:
                for block in (getattr(layer, "self_attn", None) or layer.attn, layer.mlp):
                    block.register_forward_hook(self._residual_dropout)

    @property
    def body(self) -> nn.Module:
        """The decoder below the language-model head."""
        return getattr(self.lm, self.lm.base_model_prefix)

    @property
    def layers(self) -> nn.ModuleList:
        """The decoder's blocks."""
        return getattr(self.body, "layers", None) or self.body.h  # GPT-2's name

    @property
    def dtype(self) -> torch.dtype:
        """Of the decoder's own weights; text rows and adapters are float32."""
        return next(p.dtype for name, p in self.layers.named_parameters() if "lora_" not in name)

    @property
    def text_rows(self) -> Tensor:
        """Input rows of the text vocabulary. Shape (text vocabulary, D)."""
        return self.lm.get_input_embeddings().weight

    def own_parameters(self) -> list[nn.Parameter]:
        """The transformer's own weights: all of the decoder's but the text rows."""
        return [parameter for parameter in self.body.parameters() if parameter is not self.text_rows]

    def text_logits(self, hidden: Tensor) -> Tensor:
        """Scores over the text vocabulary. (..., D) -> (..., text vocabulary)."""
        return self.lm.get_output_embeddings()(hidden)

    def token_bytes(self, context: int) -> float:
        """Working memory of one token that reads so many others in a pass, in bytes (an upper estimate)."""
        config = self.lm.config
        inner = getattr(config, "intermediate_size", None) or 4 * self.width
        return 4.0 * (16 * self.width + 3 * inner + 3 * config.num_attention_heads * context)

    def run_context(self, embeddings: Tensor, lengths: Tensor) -> tuple[Tensor, list[KeyValue]]:
        """Causal pass over right-padded contexts.

        Args:
            embeddings: (B, T, D). lengths: tokens that count, (B,).

        Returns:
            Hidden states (B, T, D), whatever at padding, and the keys and values per layer, (B, G, T, E) each.
        """
        tokens = embeddings.shape[1]
        tree = Tree()
        # Right padding needs no mask of its own: under the causal mask no real token reads what stands behind it.
        causal = torch.ones(tokens, tokens, dtype=torch.bool, device=embeddings.device).tril()[None, None]
        positions = torch.arange(tokens, device=embeddings.device)[None]
        return self._run(embeddings, positions, causal, tree), tree.captured

    def run_last(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        """Hidden state of the last token of each context, (B, D); see `run_context` for what is given.

        Without gradients the feed-forward part of the last block runs on that token alone, as nothing reads the others
        behind it. The residual it is added to has all tokens, and is right at that one.
        """
        last = (lengths - 1)[:, None, None].expand(-1, 1, self.width)
        if torch.is_grad_enabled():  # a layer that is checkpointed would run again without the hook
            hidden, _ = self.run_context(embeddings, lengths)
        else:
            with self.layers[-1].mlp.register_forward_pre_hook(lambda _, inputs: (inputs[0].gather(1, last),)):
                hidden, _ = self.run_context(embeddings, lengths)
        return hidden.gather(1, last)[:, 0]

    def run_nodes(self, embeddings: Tensor, positions: Tensor, tree: Tree) -> Tensor:
        """Trie nodes below their contexts. embeddings (B, V, D), positions (B or 1, V) -> hidden states (B, V, D)."""
        unused = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=embeddings.device)
        return self._run(embeddings, positions, unused, tree)

    def _run(self, embeddings: Tensor, positions: Tensor, mask: Tensor, tree: Tree) -> Tensor:
        # A four-dimensional mask is taken as it is by transformers; `tree` travels to the attention function.
        inputs = (embeddings * self.input_scale).to(self.dtype)
        return self.body(
            inputs_embeds=inputs, position_ids=positions, attention_mask=mask, use_cache=False, tree=tree
        ).last_hidden_state.to(embeddings.dtype)

    def _residual_dropout(self, module: nn.Module, inputs, output):
        if not self.training:
            return output
        if isinstance(output, tuple):
            return (dropout(output[0], self.dropout), *output[1:])
        return dropout(output, self.dropout)
