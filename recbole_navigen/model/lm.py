"""The language model of dual identifiers: embeds streams and trie nodes, and scores codes and text.

Symbols: B users, T tokens, R targets a row, V trie nodes, L levels, K codes, D width, N items.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_navigen.language.attention import KeyValue, Tree
from recbole_navigen.language.backbone import Backbone
from recbole_navigen.language.rendering import Origin, Rendered
from recbole_navigen.language.vocabulary import SPECIALS, Vocabulary, text_row_start
from recbole_navigen.model.legal import LegalCodes

CODE_START_STD = 0.04  # of the first level's rows; deeper levels keep the centroids' own, smaller scale


@dataclass(slots=True)
class Context:
    """Users' contexts after one forward pass, ready for any number of trie nodes.

    Attributes:
        state: hidden state from which the next item's first code is decoded. Shape (B, D).
        layers: keys and values per layer, (B, G, T, E) each.
        lengths: tokens of each context that count. Shape (B,).
    """

    state: Tensor
    layers: list[KeyValue]
    lengths: Tensor

    def select(self, rows: Tensor) -> "Context":
        """The contexts of some users. rows: (M,) -> B = M."""
        return Context(self.state[rows], [(k[rows], v[rows]) for k, v in self.layers], self.lengths[rows])

    @property
    def mask(self) -> Tensor:
        """True where a token counts. Shape (B, 1, T), bool."""
        tokens = self.layers[0][0].shape[2]
        return (torch.arange(tokens, device=self.lengths.device) < self.lengths[:, None])[:, None]


class DualIdentifierLM(nn.Module):
    """A causal LM over text, codes and pooled items.

    Codes have one row each, used as input, in pooled items, and as output weights (tied), plus an output bias. The TID
    vector of an item is the sum of its terms' text rows over the square root of their number.

    Args:
        backbone: the transformer with its text vocabulary.
        vocabulary: token ids.
        legal: the catalogue's trie.
        codes: CIDs by internal item id, row 0 unused. Shape (N + 1, L), int64.
        codebooks: centroids in the quantizer's space. Shape (L, K, any), float32.
        term_tokens: text tokens of each TID by item index, N lists.
        dropout: on embeddings.
        seed: of the projection of centroids to D, and of the start of text rows.
        start_text: True to start the text rows from the catalogue (a backbone from scratch has no text of its own).
    """

    def __init__(
        self,
        backbone: Backbone,
        vocabulary: Vocabulary,
        legal: LegalCodes,
        codes: np.ndarray,
        codebooks: np.ndarray,
        term_tokens: list[list[int]],
        dropout: float,
        seed: int,
        start_text: bool,
    ):
        super().__init__()
        self.backbone = backbone
        self.vocabulary = vocabulary
        self.legal = legal
        self.levels, self.codebook_size, _ = codebooks.shape
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("codes", torch.from_numpy(codes), persistent=False)

        # TIDs as bags of text tokens, packed: bag i is tokens[offsets[i]:offsets[i + 1]]; bag 0, the padding, is empty.
        bags = [[], *term_tokens]
        counts = np.array([len(bag) for bag in bags])
        self.register_buffer("bag_tokens", torch.tensor([t for bag in bags for t in bag], dtype=torch.long), False)
        self.register_buffer("bag_starts", torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])), False)

        start = torch.from_numpy(code_row_start(codebooks, backbone.width, seed))
        text = backbone.text_rows
        if start_text:
            rows = text_row_start(term_tokens, len(text), backbone.width, seed)
            text.data.copy_(torch.from_numpy(rows) * CODE_START_STD / 2)
            scale = CODE_START_STD
        else:
            scale = float(text.detach().float().std())
        self.code_rows = nn.Parameter((start * scale).flatten(0, 1))
        self.code_bias = nn.Parameter(torch.zeros(self.levels, self.codebook_size))
        self.special_rows = nn.Parameter(torch.randn(len(SPECIALS), backbone.width) * scale)

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

    def item_vectors(self, items: Tensor) -> Tensor:
        """Pooled vectors of internal item ids: the sum of the code rows, and the TID vector. (M,) -> (M, D)."""
        return F.embedding(self._code_index(self.codes[items]), self.code_rows).sum(dim=1) + self.tid_vectors(items)

    def _code_index(self, codes: Tensor) -> Tensor:
        return codes + torch.arange(self.levels, device=codes.device) * self.codebook_size

    def embed(self, rendered: Rendered) -> Tensor:
        """Input embeddings of a stream, (B, T, D)."""
        tokens, text_size = rendered.tokens, self.vocabulary.text_size
        own = torch.cat([self.special_rows, self.code_rows])
        embeddings = F.embedding((tokens - text_size).clamp(min=0), own)
        is_text = (tokens < text_size) & (rendered.origin != Origin.PAD) & (rendered.items == 0)
        if is_text.any():
            embeddings = embeddings.masked_scatter(
                is_text[..., None], F.embedding(tokens[is_text], self.backbone.text_rows)
            )
        pooled = rendered.items > 0
        if pooled.any():
            unique, inverse = rendered.items[pooled].unique(return_inverse=True)
            embeddings = embeddings.masked_scatter(pooled[..., None], self.item_vectors(unique)[inverse])
        return self.dropout(embeddings)

    def node_embeddings(self, level: int, nodes: Tensor) -> Tensor:
        """Embeddings of trie nodes of one level 1..L-1: the row of the code on the edge into each.

        (...) -> (..., D).
        """
        code = getattr(self.legal, f"token{level}")[nodes]
        return self.dropout(F.embedding(code + (level - 1) * self.codebook_size, self.code_rows))

    def node_embeddings_at(self, numbers: Tensor) -> Tensor:
        """Embeddings of trie nodes in the numbering of all levels (see `LegalCodes`). (...) -> (..., D)."""
        return self.dropout(F.embedding(self.legal.code_row[numbers], self.code_rows))

    # ---- forward passes ---------------------------------------------------------------------------------------------

    def read(self, rendered: Rendered) -> Context:
        """Run contexts once; the next item is decoded after each row's last token."""
        hidden, layers = self.backbone.run_context(self.embed(rendered), rendered.lengths)
        last = hidden[torch.arange(len(hidden), device=hidden.device), rendered.lengths - 1]
        return Context(last, layers, rendered.lengths)

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

    def target_log_probs(self, rendered: Rendered) -> Tensor:
        """Log-probability of each target item, renormalised over legal codes at every level.

        Returns:
            One entry per target that is not 0, level by level: shape (L, number of targets), float32. Levels at which
            the target has no sibling are exactly 0.
        """
        wanted = rendered.targets > 0
        items = rendered.targets[wanted] - 1
        states = self._target_states(rendered)
        nodes, path = self.legal.path_nodes(items), self.legal.item_path[items]
        result = []
        for level, state in enumerate(states):
            logits = self.code_logits(level, state[wanted])
            result.append(self.legal.log_prob(level, logits, nodes[:, level], path[:, level]))
        return torch.stack(result)

    def _target_states(self, rendered: Rendered) -> list[Tensor]:
        """Hidden states that decode each level of each target: L tensors of shape (B, R, D)."""
        hidden, layers = self.backbone.run_context(self.embed(rendered), rendered.lengths)
        rows = torch.arange(len(hidden), device=hidden.device)[:, None]
        if rendered.in_stream:
            last = hidden.shape[1] - 1
            return [hidden[rows, (rendered.anchors + level).clamp(max=last)] for level in range(self.levels)]
        states = [hidden[rows, rendered.anchors.clamp(max=hidden.shape[1] - 1)]]
        if self.levels == 1:
            return states
        # Below the stream: the inner nodes on the way to each target, level after level, in one tree-shaped pass.
        users, count = rendered.targets.shape
        depth = self.levels - 1
        path = self.legal.item_path[(rendered.targets - 1).clamp(min=0)]
        embeddings = torch.cat([self.node_embeddings(level + 1, path[..., level]) for level in range(depth)], dim=1)
        positions = torch.cat([rendered.anchors + level + 1 for level in range(depth)], dim=1)
        own = torch.arange(count, device=hidden.device)
        ancestors = torch.full((depth * count, max(depth - 1, 0)), -1, device=hidden.device)
        for level in range(depth):
            for above in range(level):
                ancestors[level * count + own, above] = above * count + own
        tokens = torch.arange(hidden.shape[1], device=hidden.device)
        readable = (tokens <= rendered.anchors[..., None]).repeat(1, depth, 1)
        tree = Tree(context=layers, context_mask=readable, ancestors=ancestors)
        below = self.backbone.run_nodes(embeddings, positions, tree)
        return states + list(below.view(users, depth, count, -1).unbind(dim=1))

    def text_loss(self, rendered: Rendered) -> Tensor:
        """Mean cross entropy of the TARGET tokens of text streams, over the text vocabulary and the end token."""
        hidden, _ = self.backbone.run_context(self.embed(rendered), rendered.lengths)
        is_target = rendered.origin[:, 1:] == Origin.TARGET
        states, wanted = hidden[:, :-1][is_target], rendered.tokens[:, 1:][is_target]
        end = F.linear(states, self.special_rows[-1:])
        logits = torch.cat([self.backbone.text_logits(states)[:, : self.vocabulary.text_size], end], dim=-1).float()
        return F.cross_entropy(logits, wanted.clamp(max=self.vocabulary.text_size))


def code_row_start(codebooks: np.ndarray, width: int, seed: int) -> np.ndarray:
    """Centroids as code rows, scaled so that the first level has unit standard deviation.

    A codebook of another width is carried over by a random orthonormal map (seeded), which keeps angles and distances
    when it widens and nearly keeps them when it narrows.

    Args:
        codebooks: (L, K, any). width: D.

    Returns:
        (L, K, D), float32.
    """
    source = codebooks.shape[-1]
    if source != width:
        noise = np.random.default_rng(seed).standard_normal((max(source, width), min(source, width)))
        basis = np.linalg.qr(noise)[0]
        codebooks = codebooks @ (basis.T if source < width else basis)
    scale = codebooks[0].std()
    return (codebooks / (scale if scale > 0 else 1.0)).astype(np.float32)
