"""SASRec that reads what NaviGen reads of an item: beside its id its terms, and with an encoder its sentence embedding.

    v_i = row of i + sum of the rows of its terms' tokens / sqrt(their number) [+ W sentence of i]

in the inputs and in the softmax over items alike. So what NaviGen gains over SASRec can be told from what text gains.

Symbols: M ids, N items, D width.
"""

import numpy as np
import torch
from recbole.config import Config
from recbole.model.sequential_recommender.sasrec import SASRec
from torch import Tensor, nn
from torch.nn import functional as F

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.data import NaviGenDataset, read_item_text
from recbole_navigen.encoders.sentences import SentenceSpace
from recbole_navigen.identifiers.terms import extract_terms
from recbole_navigen.language.vocabulary import Vocabulary, item_words, text_row_start, train_tokenizer
from recbole_navigen.network.starts import sentence_start


class TextEmbedding(nn.Module):
    """Vectors of items from rows of their own and their text; in the place of an `nn.Embedding` over ids.

    Args:
        bags: text tokens of each item by item index, N lists. text_rows: start of the tokens' rows, (any, D).
        std: of the items' own rows at the start. sentences: an embedding of each item's text, (N, any); None for none.
    """

    def __init__(self, bags: list[list[int]], text_rows: np.ndarray, std: float, sentences: np.ndarray | None = None):
        super().__init__()
        width = text_rows.shape[1]
        self.rows = nn.Parameter(torch.randn(len(bags) + 1, width) * std)
        self.text_rows = nn.Parameter(torch.from_numpy(text_rows).float())
        lengths = [0, *map(len, bags)]
        self.register_buffer("tokens", torch.tensor([token for bag in bags for token in bag]), persistent=False)
        self.register_buffer("starts", torch.tensor([0, *np.cumsum(lengths)]), persistent=False)
        self.sentence_map: nn.Linear | None = None
        if sentences is not None:
            components, start = sentence_start(sentences, width)
            self.register_buffer("sentences", torch.from_numpy(components), persistent=False)
            self.sentence_map = nn.Linear(components.shape[1], width, bias=False)
            self.sentence_map.weight.data.copy_(torch.from_numpy(start) * std)

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors of internal item ids, any shape (...) -> (..., D); zero for the padding item."""
        distinct, place = ids.unique(return_inverse=True)
        return F.embedding(place, self._vectors(distinct))

    @property
    def weight(self) -> Tensor:
        """Vectors of all internal ids, (N + 1, D), with gradients."""
        return self._vectors(torch.arange(len(self.rows), device=self.rows.device))

    def _vectors(self, ids: Tensor) -> Tensor:
        """(M,) distinct ids -> (M, D)."""
        starts, counts = self.starts[ids], self.starts[ids + 1] - self.starts[ids]
        offsets = counts.cumsum(0) - counts
        within = torch.arange(int(counts.sum()), device=ids.device) - offsets.repeat_interleave(counts)
        tokens = self.tokens[starts.repeat_interleave(counts) + within]
        vectors = F.embedding_bag(tokens, self.text_rows, offsets, mode="sum") / counts.clamp(min=1).sqrt()[:, None]
        vectors = vectors + self.rows[ids]
        if self.sentence_map is not None:
            vectors = vectors + self.sentence_map(self.sentences[ids])
        return vectors * (ids != 0)[:, None]


class SASRecText(SASRec):
    """RecBole's SASRec over such vectors.

    Args:
        config: RecBole's config with the keys of properties/model/SASRecText.yaml.
        dataset: the training part of the data set; its item file has the text.
    """

    def __init__(self, config: Config, dataset: NaviGenDataset):
        super().__init__(config, dataset)
        texts = read_item_text(config, dataset).text[1:]
        terms = extract_terms(texts).terms
        tokenizer = train_tokenizer(item_words(texts, terms), config["text_vocabulary"])
        vocabulary = Vocabulary(tokenizer, len(tokenizer), 1, 1)
        bags = [vocabulary.encode_terms(own) for own in terms]
        std = self.initializer_range
        start = text_row_start(bags, len(tokenizer), self.hidden_size, config["seed"]) * std
        source = config["text_vectors"]
        sentences = None if source == "terms" else SentenceSpace(source)(texts)
        self.item_embedding = TextEmbedding(bags, start, std, sentences)
