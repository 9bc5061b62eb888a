"""Language models of two layers with random weights: the architectures of pretrained backbones, and one that chats."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from recbole_navigen.language.attention import ATTENTION

TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|>"
_SIZES = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "attn_implementation": ATTENTION,
}
_GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 512, "attn_implementation": ATTENTION}
_GPT2 |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
ARCHITECTURES = {
    "Qwen3": lambda size: Qwen3ForCausalLM(Qwen3Config(vocab_size=size, tie_word_embeddings=True, **_SIZES)),
    "Llama": lambda size: LlamaForCausalLM(LlamaConfig(vocab_size=size, tie_word_embeddings=False, **_SIZES)),
    "Gemma": lambda size: GemmaForCausalLM(GemmaConfig(vocab_size=size, **_SIZES)),
    "GPT2": lambda size: GPT2LMHeadModel(GPT2Config(vocab_size=size, **_GPT2)),
}


def make(name: str, size: int = 300):
    """A tiny language model with random weights."""
    torch.manual_seed(3)
    return ARCHITECTURES[name](size).eval()


def save_chat_model(folder: Path) -> None:
    """A Llama of one layer with random weights and a byte-level tokenizer, written into a folder."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<pad>", "<end>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(["You write prompts for image models", "a lone rider on a ridge"], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(fast), max_position_embeddings=3000, pad_token_id=0, eos_token_id=1, **sizes)
    LlamaForCausalLM(config).save_pretrained(folder)
