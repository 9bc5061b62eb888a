"""The language model of dual identifiers: embeds streams and trie nodes, and scores codes and text.

Symbols: B users, T tokens, R targets a row, V trie nodes, L levels, K codes, D width, N items.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_navigen.language.attention import KeyValue, Tree
from recbole_navigen.language.backbone import Backbone
from recbole_navigen.language.grammar import Grammar
from recbole_navigen.language.rendering import Rendered
from recbole_navigen.language.vocabulary import text_row_start
from recbole_navigen.model.dense import DenseScore
from recbole_navigen.model.legal import LegalCodes
from recbole_navigen.model.mixture import SecondScore
from recbole_navigen.model.repeats import RepeatFactor
from recbole_navigen.model.starts import collaborative_start, sentence_start
from recbole_navigen.model.text import Context, TextModel

CODE_START_STD = 0.04  # of the first level's rows; deeper levels keep the centroids' own, smaller scale


class DualIdentifierLM(TextModel):
    """A causal LM over text, codes and pooled items.

    Codes have one row each, used as input, in pooled items, and as output weights (tied), plus an output bias. The TID
    vector of an item is the sum of its terms' text rows over the square root of their number. With `residuals` each
    item also has a row of its own, which starts as what its codes lose of its collaborative vector.

    Args:
        backbone: the transformer with its text vocabulary.
        grammar: of the text, with its vocabulary.
        legal: the catalogue's trie.
        codes: CIDs by internal item id, row 0 unused. Shape (N + 1, L), int64.
        codebooks: centroids in the quantizer's space. Shape (L, K, any), float32.
        residuals: what the centroids leave of each item's vector, (N, any), float32; None for no item rows.
        term_tokens: text tokens of each TID by item index, N lists.
        dropout: on embeddings.
        seed: of the projection of centroids to D, and of the start of text rows.
        start_text: True to start the text rows from the catalogue (a backbone from scratch has no text of its own).
        dense: True for a dense score beside the generative one.
        sentences: an embedding of each item's whole text, (N, any), float32; None for TIDs alone.
    """

    def __init__(
        self,
        backbone: Backbone,
        grammar: Grammar,
        legal: LegalCodes,
        codes: np.ndarray,
        codebooks: np.ndarray,
        residuals: np.ndarray | None,
        term_tokens: list[list[int]],
        dropout: float,
        seed: int,
        start_text: bool,
        dense: bool,
        sentences: np.ndarray | None = None,
    ):
        text = backbone.text_rows
        if start_text:
            rows = text_row_start(term_tokens, len(text), backbone.width, seed)
            text.data.copy_(torch.from_numpy(rows) * CODE_START_STD / 2)
            scale = CODE_START_STD
        else:
            scale = float(text.detach().float().std())
        super().__init__(backbone, grammar, dropout, scale)
        self.legal = legal
        self.levels, self.codebook_size, _ = codebooks.shape
        self.register_buffer("codes", torch.from_numpy(codes), persistent=False)

        # TIDs as bags of text tokens, packed: bag i is tokens[offsets[i]:offsets[i + 1]]; bag 0, the padding, is empty.
        bags = [[], *term_tokens]
        counts = np.array([len(bag) for bag in bags])
        self.register_buffer("bag_tokens", torch.tensor([t for bag in bags for t in bag], dtype=torch.long), False)
        self.register_buffer("bag_starts", torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])), False)

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
        self.code_bias = nn.Parameter(torch.zeros(self.levels, self.codebook_size))
        self.dense = DenseScore(backbone.width) if dense else None
        self.repeats = RepeatFactor()
        self._catalogue: tuple[tuple[int, ...], Tensor] | None = None

    # ---- embeddings -------------------------------------------------------------------------------------------------

    def tid_vectors(self, items: Tensor) -> Tensor:
        """TID vectors of internal item ids, (M,) -> (M, D)."""
        starts, ends = self.bag_starts[items], self.bag_starts[items + 1]
        counts = ends - starts
        offsets = counts.cumsum(0) - counts
        within = torch.arange(int(counts.sum()), device=items.device) - offsets.repeat_interleave(counts)
        tokens = self.bag_tokens[starts.repeat_interleave(counts) + within]
        sums = F.embedding_bag(tokens, self.backbone.text_rows, offsets, mode="sum")
        return sums / counts.clamp(min=1).sqrt()[:, None]

    def item_vectors(self, items: Tensor, codes: bool = True) -> Tensor:
        """Pooled vectors of internal item ids: code rows, TID vector, text embedding and item row, summed.

        (M,) -> (M, D). codes: False leaves the code rows out.
        """
        vectors = self.tid_vectors(items)
        if codes:
            vectors = F.embedding(self._code_index(self.codes[items]), self.code_rows).sum(dim=1) + vectors
        if self.sentence_map is not None:
            vectors = vectors + self.sentence_map(F.embedding(items, self.sentences))
        return vectors if self.item_rows is None else vectors + F.embedding(items, self.item_rows)

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
            self._catalogue = (version, self.item_vectors(torch.arange(1, len(self.codes), device=self.codes.device)))
        return self._catalogue[1]

    def _code_index(self, codes: Tensor) -> Tensor:
        return codes + torch.arange(self.levels, device=codes.device) * self.codebook_size

    def node_embeddings(self, level: int, nodes: Tensor) -> Tensor:
        """Embeddings of trie nodes of one level 1..L-1: the row of the code on the edge into each.

        (...) -> (..., D).
        """
        code = getattr(self.legal, f"token{level}")[nodes]
        return self.dropout(F.embedding(code + (level - 1) * self.codebook_size, self.code_rows))

    def node_embeddings_at(self, numbers: Tensor) -> Tensor:
        """Embeddings of trie nodes in the numbering of all levels (see `LegalCodes`). (...) -> (..., D)."""
        return self.dropout(F.embedding(self.legal.code_row[numbers], self.code_rows))

    @property
    def second(self) -> Callable[[Context], SecondScore] | None:
        """The dense score for both exact paths to mix in, or None for a model without one."""
        if self.dense is None:
            return None
        share = float(self.dense.share)
        return lambda context: SecondScore(self.dense.log_probs(context.state, self.catalogue_vectors()), share)

    # ---- forward passes ---------------------------------------------------------------------------------------------

    def code_logits(self, level: int, states: Tensor) -> Tensor:
        """Scores of the codes of level 0..L-1 from states one level above.

        (..., D) -> (..., K): the head's slice only.
        """
        rows = self.code_rows[level * self.codebook_size : (level + 1) * self.codebook_size]
        return F.linear(states, rows, self.code_bias[level])

    def code_logits_at(self, levels: Tensor, states: Tensor) -> Tensor:
        """Scores of the codes below nodes of mixed levels 1..L-1. levels (...), states (..., D) -> (..., K)."""
        logits = states.new_empty(*levels.shape, self.codebook_size)
        for level in range(1, self.levels):
            here = levels == level
            if here.any():
                logits[here] = self.code_logits(level, states[here]).to(logits.dtype)
        return logits

    def target_log_probs(
        self, rendered: Rendered, states: list[Tensor] | None = None, smoothing: float = 0.0
    ) -> Tensor:
        """Log-probability of each target item, renormalised over legal codes at every level.

        Args:
            rendered: with targets. states: what `target_states` gave for it, if it was called before.
            smoothing: of labels over the legal codes of each node, for training (see `LegalCodes.log_prob`).

        Returns:
            One entry per target that is not 0, level by level: shape (L, number of targets), float32. Levels at which
            the target has no sibling are exactly 0.
        """
        wanted = rendered.targets > 0
        items = rendered.targets[wanted] - 1
        states = self.target_states(rendered) if states is None else states
        nodes, path = self.legal.path_nodes(items), self.legal.item_path[items]
        result = []
        for level, state in enumerate(states):
            logits = self.code_logits(level, state[wanted])
            result.append(self.legal.log_prob(level, logits, nodes[:, level], path[:, level], smoothing))
        return torch.stack(result)

    def target_states(self, rendered: Rendered) -> list[Tensor]:
        """Hidden states that decode each level of each target: L tensors of shape (B, R, D)."""
        hidden, layers = self.backbone.run_context(self.embed(rendered), rendered.lengths)
        rows = torch.arange(len(hidden), device=hidden.device)[:, None]
        if rendered.in_stream:
            last = hidden.shape[1] - 1
            return [hidden[rows, (rendered.anchors + level).clamp(max=last)] for level in range(self.levels)]
        states = [hidden[rows, rendered.anchors.clamp(max=hidden.shape[1] - 1)]]
        if self.levels == 1:
            return states
        return states + self._states_below(rendered, layers)

    def _states_below(self, rendered: Rendered, layers: list[KeyValue]) -> list[Tensor]:
        """States at the inner nodes on the way to each target, below the stream: L - 1 tensors (B, R, D).

        A node with one item below it decides nothing, so it is not run; its state is some other node's.
        """
        legal, (users, count), depth = self.legal, rendered.targets.shape, self.levels - 1
        # 1. All nodes on the way to all targets, level after level: (B, depth * R).
        path = legal.item_path[(rendered.targets - 1).clamp(min=0)][..., :depth]
        number = (path + torch.tensor(legal.base[:depth], device=path.device)).transpose(1, 2).flatten(1)
        needed = (legal.only_item[number] < 0) & (rendered.targets > 0).repeat(1, depth)
        level = torch.arange(1, self.levels, device=path.device).repeat_interleave(count)

        # 2. Those that decide something, packed to the left: (B, V).
        order = needed.int().argsort(dim=1, descending=True, stable=True)[:, : max(1, int(needed.sum(dim=1).max()))]
        place = (needed.cumsum(dim=1) - 1).clamp(min=0)
        anchor, level = rendered.anchors.repeat(1, depth).gather(1, order), level[order]
        above = [
            torch.where(level > up + 1, place.gather(1, up * count + order % count), -1) for up in range(depth - 1)
        ]
        tokens = torch.arange(layers[0][0].shape[2], device=path.device)
        tree = Tree(
            context=layers,
            context_mask=tokens <= anchor[..., None],
            ancestors=torch.stack(above, dim=-1) if above else None,
        )

        # 3. One tree-shaped pass, and every state back to its target.
        embeddings = self.node_embeddings_at(number.gather(1, order))
        hidden = self.backbone.run_nodes(embeddings, anchor + level, tree)
        below = hidden.gather(1, place[..., None].expand(-1, -1, hidden.shape[2]))
        return list(below.view(users, depth, count, -1).unbind(dim=1))
