"""One id space for text and identifiers:
[text vocabulary | special tokens | codes of level a | codes of level b | ...].

The text part belongs to a tokenizer (trained on the catalogue, or a pretrained model's own); identifier tokens live in
separate small tables of the model, so no pretrained matrix is resized.
"""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from recbole_navigen.identifiers.table import CID_BEGIN, CID_END, code_token
from recbole_navigen.language.phrases import learn_phrases, with_phrases
from recbole_navigen.language.tags import DOMAINS, MEDIA

TASKS = ("cid2cid", "cid2tid", "tid2cid", "cid2ins")
# Tokens with which the model gives its text a shape. They are written as they stand here, so what lies between them can
# never be taken for them: what a field holds is escaped when the answer is written out.
END = "<|end|>"
THINK, THINK_END = "<think>\n", "\n</think>\n\n"
TERMS, NEXT_TERM, INSTRUCTION, CLOSE = '{"target_tid": ["', '", "', '"], "target_ins": "', '"}'
STRUCTURE = (END, THINK, THINK_END, TERMS, NEXT_TERM, INSTRUCTION, CLOSE)
SPECIALS = (*(f"<|{name}|>" for name in (*TASKS, *DOMAINS, *MEDIA)), CID_BEGIN, CID_END, *STRUCTURE)
_TERM_SEPARATOR = ","


def item_words(texts: Sequence[str], terms: Sequence[Sequence[str]]) -> list[str]:
    """What the tokens of a catalogue are learned from: its texts in the letters of terms, which are lower-case, and the
    terms. N strings and N lists.
    """
    return [*(unicodedata.normalize("NFKC", text).lower() for text in texts), *(", ".join(own) for own in terms)]


def train_tokenizer(
    texts: Sequence[str], size: int, sentences: Sequence[str] = (), more: int = 0
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer. Any string can be written with it and is read back unchanged.

    Args:
        texts: what its tokens are learned from. size: at most this many tokens, bytes included.
        sentences: further texts, of which half of `more` tokens are learned as words and half as phrases.
    """
    tokenizer = Tokenizer(models.BPE())
    # A word is the same token at the start of a text as within it.
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size + more // 2, min_frequency=2, initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator([*texts, *sentences], trainer)
    if sentences:
        tokenizer = with_phrases(tokenizer, learn_phrases(tokenizer, sentences, more - more // 2))
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
        """Id of the token that opens a task's prompt, or of a tag in it."""
        return self.special(f"<|{task}|>")

    @property
    def first_code(self) -> int:
        """Id of code 0 of level a."""
        return self.text_size + len(SPECIALS)

    def encode_terms(self, terms: Sequence[str]) -> list[int]:
        """Text tokens of a TID: its terms in order, separated by commas."""
        return self.encode(f"{_TERM_SEPARATOR} ".join(terms))

    def encode(self, text: str) -> list[int]:
        """Text tokens of any string, without special tokens."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def decode(self, ids: Sequence[int]) -> str:
        """The string that text tokens spell."""
        return self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)

    @property
    def first_structure(self) -> int:
        """Id of the first token of STRUCTURE; the others follow it."""
        return self.first_code - len(STRUCTURE)

    def raw_answer(self, ids: Sequence[int]) -> str:
        """The text of an answer: thoughts as they are, what stands in JSON strings escaped, each term once.

        A term that is there already, whatever its case and blanks, says nothing new and is left out. So several streams
        may spell one answer; the probability of a stream is not touched by how it is written out.
        """
        written, field, opened, terms = [], [], END, set()
        for token in [*ids, self.special(END)]:
            if token < self.text_size:
                field.append(token)
                continue
            text = self.decode(field)
            term = " ".join(text.split()).casefold()
            if opened == NEXT_TERM and term in terms:
                written.pop()  # with what opened it
            else:
                escaped = opened in (TERMS, NEXT_TERM, INSTRUCTION)
                written.append(json.dumps(text, ensure_ascii=False)[1:-1] if escaped else text)
            if opened in (TERMS, NEXT_TERM):
                terms.add(term)
            opened = SPECIALS[token - self.text_size]
            written.append("" if opened == END else opened)
            field = []
        return "".join(written)

    def surface(self, token: int) -> str:
        """Return the text of one token, for display and golden files."""
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
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(counts[:, used])
    latent = TruncatedSVD(rank, random_state=seed).fit(weighted).components_.T
    scale = latent.std()
    rows[used, :rank] += (latent / (scale if scale > 0 else 1.0)).astype(np.float32)
    return rows
