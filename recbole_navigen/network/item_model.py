"""The language model of dual identifiers: embeds streams of text, codes and items, and scores items and text.

Symbols: B users, T tokens, R targets a row, L levels, K codes, D width, N items.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_navigen.language.answer_grammar import Grammar
from recbole_navigen.language.backbone import Backbone
from recbole_navigen.language.rendering import Rendered
from recbole_navigen.language.vocabulary import text_row_start
from recbole_navigen.network.causal_filter import CausalFilter
from recbole_navigen.network.memory import Memory
from recbole_navigen.network.repeats import RepeatFactor
from recbole_navigen.network.starts import collaborative_start, sentence_start
from recbole_navigen.network.text_model import TextModel
from recbole_navigen.network.token_decoder import TokenDecoder
from recbole_navigen.network.tree_decoder import TreeDecoder

CODE_START_STD = 0.04  # of the first level's rows; deeper levels keep the centroids' own, smaller scale


class DualIdentifierLM(TextModel):
    """A causal LM over text, codes and pooled items.

    Codes have one row each, used as input, in the vectors of items, and as output weights of the decoder by tokens. The
    TID vector of an item is the sum of its terms' text rows over the square root of their number. With `residuals` each
    item also has a row of its own, which starts as what its codes lose of its collaborative vector.

    Args:
        backbone: the transformer with its text vocabulary.
        grammar: of the text, with its vocabulary.
        decoder: what turns states into probabilities of items.
        codes: CIDs by internal item id, row 0 unused. Shape (N + 1, L), int64.
        codebooks: centroids in the quantizer's space. Shape (L, K, any), float32.
        residuals: what the centroids leave of each item's vector, (N, any), float32; None for no item rows.
        term_tokens: text tokens of each TID by item index, N lists.
        dropout: on embeddings.
        seed: of the projection of centroids to D, and of the start of text rows.
        start_text: True to start the text rows from the catalogue (a backbone from scratch has no text of its own).
        trained: True where all weights are loaded afterwards, so that the text rows need no start.
        fir_taps: of a causal filter on pooled items in the input, 0 for none.
        reads_terms: False to leave the TIDs out of the vectors of items.
        sentences: an embedding of each item's whole text, (N, any), float32; None for TIDs alone.
        memory_share: of the probabilities that the memory gives, None to have it fitted.
    """

    def __init__(
        self,
        backbone: Backbone,
        grammar: Grammar,
        decoder: TreeDecoder | TokenDecoder,
        codes: np.ndarray,
        codebooks: np.ndarray,
        residuals: np.ndarray | None,
        term_tokens: list[list[int]],
        dropout: float,
        seed: int,
        start_text: bool,
        sentences: np.ndarray | None = None,
        trained: bool = False,
        fir_taps: int = 0,
        reads_terms: bool = True,
        memory_share: float | None = None,
    ):
        text = backbone.text_rows
        if start_text:
            if not trained:
                rows = text_row_start(term_tokens, len(text), backbone.width, seed)
                text.data.copy_(torch.from_numpy(rows) * CODE_START_STD / 2)
            scale = CODE_START_STD
        else:
            scale = float(text.detach().float().std())
        super().__init__(backbone, grammar, dropout, scale)
        self.decoder = decoder
        self.levels, self.codebook_size, _ = codebooks.shape
        self._keep_identifiers(codes, term_tokens)
        code_start, item_start = collaborative_start(codebooks, residuals, backbone.width, seed)
        self.code_rows = nn.Parameter((torch.from_numpy(code_start) * scale).flatten(0, 1))
        self.item_rows: nn.Parameter | None = None
        if residuals is not None:
            self.item_rows = nn.Parameter(F.pad(torch.from_numpy(item_start) * scale, (0, 0, 1, 0)))
        self.sentence_map: nn.Linear | None = None
        if sentences is not None:
            # Text enters at the scale of the TID vectors.
            start, identity = sentence_start(sentences, backbone.width)
            self.register_buffer("sentences", torch.from_numpy(start), persistent=False)
            self.sentence_map = nn.Linear(start.shape[1], backbone.width, bias=False)
            self.sentence_map.weight.data.copy_(torch.from_numpy(identity) * scale / 2)
        self.reads_terms = reads_terms
        self.filter = CausalFilter(fir_taps) if fir_taps else None
        self.repeats = RepeatFactor()
        self.memory = Memory(len(codes) - 1, memory_share)
        self._catalogue: tuple[tuple[int, ...], Tensor] | None = None
        self._step_vectors: Tensor | None = None

    def _keep_identifiers(self, codes: np.ndarray, term_tokens: list[list[int]]) -> None:
        self.register_buffer("codes", torch.from_numpy(codes), persistent=False)
        # TIDs as bags of text tokens, packed: bag i is tokens[offsets[i]:offsets[i + 1]]; bag 0, the padding, is empty.
        bags = [[], *term_tokens]
        counts = np.array([len(bag) for bag in bags])
        self.register_buffer("bag_tokens", torch.tensor([t for bag in bags for t in bag], dtype=torch.long), False)
        self.register_buffer("bag_starts", torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])), False)

    def set_items(
        self,
        codes: np.ndarray,
        term_tokens: list[list[int]],
        decoder: TreeDecoder | TokenDecoder,
        item_rows: Tensor | None,
        sentences: Tensor | None,
        neighbours: csr_matrix,
    ) -> None:
        """Take another catalogue; all that is not of single items stays as it is.

        Args:
            codes, term_tokens, decoder: as of the constructor; the decoder takes the weights of the one before.
            item_rows: by internal id, (N + 1, D), where items have rows. sentences: components by internal id, (N + 1,
                any), where items have text embeddings. neighbours: the table of the memory, (N + 1, N + 1).
        """
        device = self.code_rows.device
        decoder.load_state_dict(self.decoder.state_dict())
        self.decoder = decoder
        self._keep_identifiers(codes, term_tokens)
        if self.item_rows is not None:
            self.item_rows = nn.Parameter(item_rows, requires_grad=self.item_rows.requires_grad)
        if self.sentence_map is not None:
            self.sentences = sentences
        self.memory.take(neighbours)
        self.to(device).train(self.training)

    # ---- embeddings -------------------------------------------------------------------------------------------------

    def embed(self, rendered: Rendered) -> Tensor:
        """Input embeddings of a stream, (B, T, D), pooled items filtered."""
        embeddings = super().embed(rendered)
        return embeddings if self.filter is None else self.filter(embeddings, rendered.items > 0)

    def tid_vectors(self, items: Tensor) -> Tensor:
        """TID vectors of internal item ids, (M,) -> (M, D)."""
        starts, ends = self.bag_starts[items], self.bag_starts[items + 1]
        counts = ends - starts
        offsets = counts.cumsum(0) - counts
        within = torch.arange(int(counts.sum()), device=items.device) - offsets.repeat_interleave(counts)
        tokens = self.bag_tokens[starts.repeat_interleave(counts) + within]
        sums = F.embedding_bag(tokens, self.backbone.text_rows, offsets, mode="sum")
        return sums / counts.clamp(min=1).sqrt()[:, None]

    def code_vectors(self, items: Tensor) -> Tensor:
        """Sums of the code rows of internal item ids, (M,) -> (M, D)."""
        return F.embedding(self._code_index(self.codes[items]), self.code_rows).sum(dim=1)

    def item_vectors(self, items: Tensor, codes: bool = True) -> Tensor:
        """Pooled vectors of internal item ids: code rows, TID vector, text embedding and item row, summed.

        (M,) -> (M, D). codes: False leaves the code rows out.
        """
        if codes and self._step_vectors is not None:
            return F.embedding(items - 1, self._step_vectors)
        vectors = self.tid_vectors(items) if self.reads_terms else self.code_rows.new_zeros(len(items), 1)
        if codes:
            vectors = self.code_vectors(items) + vectors
        if self.sentence_map is not None:
            vectors = vectors + self.sentence_map(F.embedding(items, self.sentences))
        return vectors if self.item_rows is None else vectors + F.embedding(items, self.item_rows)

    def all_vectors(self) -> Tensor:
        """Pooled vectors of all items by item index, (N, D), with gradients."""
        if self._step_vectors is not None:
            return self._step_vectors
        return self.item_vectors(torch.arange(1, len(self.codes), device=self.codes.device))

    @contextlib.contextmanager
    def one_step(self) -> Iterator[None]:
        """In here, where weights do not change, the vectors of all items are computed once if the loss reads all."""
        self._step_vectors = self.all_vectors() if self.decoder.reads_all else None
        try:
            yield
        finally:
            self._step_vectors = None

    def train(self, mode: bool = True) -> "DualIdentifierLM":
        """Switch training mode. Fused optimizers change weights without a new version, so the cache goes here."""
        self._catalogue = None
        return super().train(mode)

    @torch.no_grad()
    def catalogue_vectors(self) -> Tensor:
        """Pooled vectors of all items by item index, (N, D), without gradients; computed again when weights changed."""
        rows = [self.code_rows, self.backbone.text_rows]
        rows += [] if self.item_rows is None else [self.item_rows]
        rows += [] if self.sentence_map is None else [self.sentence_map.weight]
        version = tuple(row._version for row in rows)
        if self._catalogue is None or self._catalogue[0] != version:
            self._catalogue = (version, self.all_vectors())
        return self._catalogue[1]

    def _code_index(self, codes: Tensor) -> Tensor:
        return codes + torch.arange(self.levels, device=codes.device) * self.codebook_size

    def anchor_states(self, rendered: Rendered) -> Tensor:
        """Hidden states behind which the targets are decoded, (B, R, D)."""
        hidden, _ = self.backbone.run_context(self.embed(rendered), rendered.lengths)
        rows = torch.arange(len(hidden), device=hidden.device)[:, None]
        return hidden[rows, rendered.anchors.clamp(max=hidden.shape[1] - 1)]
