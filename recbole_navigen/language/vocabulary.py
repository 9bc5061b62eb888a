"""One id space for text and identifiers:
[text vocabulary | special tokens | codes of level a | codes of level b | ...].

The text part belongs to a tokenizer (trained on the catalogue, or a pretrained model's own); identifier tokens live in
separate small tables of the model, so no pretrained matrix is resized.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from recbole_navigen.identifiers.table import CID_BEGIN, CID_END, code_token

TASKS = ("cid2cid", "cid2tid", "tid2cid")
END = "<|end|>"
SPECIALS = (*(f"<|{task}|>" for task in TASKS), CID_BEGIN, CID_END, END)
_TERM_SEPARATOR = ","


def train_tokenizer(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer over the catalogue's text, lower-cased; any string can be written with it.

    Args:
        texts: item texts and terms. size: at most this many tokens, bytes included.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Token ids of text, special tokens and codes.

    Attributes:
        tokenizer: of the text part.
        text_size: rows of the text part (a pretrained model may have more rows than its tokenizer has tokens).
        levels: L.
        codebook_size: K.
    """

    tokenizer: PreTrainedTokenizerBase
    text_size: int
    levels: int
    codebook_size: int

    @property
    def size(self) -> int:
        """Tokens in all parts."""
        return self.text_size + len(SPECIALS) + self.levels * self.codebook_size

    def special(self, token: str) -> int:
        """Id of a special token."""
        return self.text_size + SPECIALS.index(token)

    def task(self, task: str) -> int:
        """Id of the token that opens a task's prompt."""
        return self.special(f"<|{task}|>")

    @property
    def first_code(self) -> int:
        """Id of code 0 of level a."""
        return self.text_size + len(SPECIALS)

    def encode_terms(self, terms: Sequence[str]) -> list[int]:
        """Text tokens of a TID: its terms in order, separated by commas."""
        return self.encode(f"{_TERM_SEPARATOR} ".join(terms))

    def decode_terms(self, ids: Sequence[int]) -> list[str]:
        """Terms read back from text tokens; blank ones are dropped."""
        text = self.tokenizer.decode(list(ids))
        return [term.strip() for term in text.split(_TERM_SEPARATOR) if term.strip()]

    def encode(self, text: str) -> list[int]:
        """Text tokens of any string, without special tokens."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def surface(self, token: int) -> str:
        """How one token is written, for display and golden files."""
        if token < self.text_size:
            return self.tokenizer.convert_ids_to_tokens(token)
        if token < self.first_code:
            return SPECIALS[token - self.text_size]
        return code_token(*divmod(token - self.first_code, self.codebook_size))


def text_row_start(documents: Sequence[Sequence[int]], text_size: int, width: int, seed: int) -> np.ndarray:
    """Where the text rows of a new model start: latent semantic analysis of the catalogue.

    Tokens that name the same items get similar rows; tokens that occur nowhere get small noise.

    Args:
        documents: text tokens of each item, N lists.
        text_size: rows. width: D. seed: of the decomposition and the noise.

    Returns:
        Rows of unit standard deviation over the tokens that occur. Shape (text_size, D), float32.
    """
    rng = np.random.default_rng(seed)
    counts = np.zeros((len(documents), text_size), dtype=np.float32)
    for item, tokens in enumerate(documents):
        np.add.at(counts[item], tokens, 1.0)
    rows = rng.standard_normal((text_size, width)).astype(np.float32) * 0.1
    used = np.flatnonzero(counts.any(axis=0))
    rank = min(width, len(used) - 1, len(documents) - 1)
    if rank < 1:
        return rows
    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(counts[:, used])
    latent = TruncatedSVD(rank, random_state=seed).fit(weighted).components_.T
    scale = latent.std()
    rows[used, :rank] += (latent / (scale if scale > 0 else 1.0)).astype(np.float32)
    return rows
