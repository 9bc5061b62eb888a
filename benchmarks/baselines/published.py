"""Levers that others publish and no setting of the product has, for `levers.py`, each in a few lines.

- `item parts`: a mixture of logits (Retrieval with Learned Similarities, arXiv:2407.15462) over the parts of an item's
  vector, its code rows, its text and its own row. Each part has a query of its own, and a gate of the state. It starts
  as the product's dot product; `cosines of item parts`, nearer to what was published, are over a temperature of .05.
- `second tree`: items are coded twice, by another seed; their vectors gain the code rows of the second tree, which
  start at zero. The softmax over items stays exact.
- `reversed windows`: half of the windows of the alignment are read backwards.
- `HSTU blocks`: two layers of HSTU's (arXiv:2402.17152), which weigh the history without a softmax, in place of the
  transformer's. Texts are read by them, too.
- `averaged_over_views`, in ranking alone: the mean of the probabilities behind a history and behind shortened copies
  of it (test-time augmentation of sequential recommenders, arXiv:2504.04843).

Symbols: M rows, N items, D width.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from unittest.mock import patch

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.corrections import zeroed
from recbole_navigen.baselines.hstu import Block
from recbole_navigen.identifiers.codes import residual_kmeans
from recbole_navigen.language.backbone import Backbone
from recbole_navigen.language.rendering import Rendered
from recbole_navigen.model.navigen import NaviGen
from recbole_navigen.network import build
from recbole_navigen.network.item_model import DualIdentifierLM
from recbole_navigen.network.softmax import softmax_loss
from recbole_navigen.network.tree_decoder import TreeDecoder
from recbole_navigen.training.sft import NaviGenTrainer

PARTS, TEMPERATURE = 3, 0.05
LONGEST = 128  # tokens that HSTU's blocks read at most


class PartedTree(TreeDecoder):
    """The logit of item i is  sum over its parts p of  g_p(s) q_p(s) . v_ip,  and at the start q(s) . v_i.

    Args:
        cosines: in place of dot products, over the temperature; the gates then sum to 1.
    """

    def __init__(self, trie, width: int, sampled: int = 0, smoothing: float = 0.0, cosines: bool = False):
        super().__init__(trie, width, 0, smoothing)
        self.cosines = cosines
        self.own = nn.ModuleList(zeroed(nn.Linear(width, width)) for _ in range(PARTS))
        self.gates = zeroed(nn.Linear(width, PARTS))

    def queries(self, states: Tensor) -> Tensor:
        """(M, D) -> (M, 3 D)."""
        query, gates = self.query(states), self.gates(states)
        queries = torch.stack([query + own(states) for own in self.own], dim=1)
        if self.cosines:
            queries, gates = F.normalize(queries, dim=2), gates.softmax(dim=1) / TEMPERATURE
        else:
            gates = 2 * gates.sigmoid()
        return (gates[:, :, None] * queries).flatten(1)

    def parts(self, lm: DualIdentifierLM) -> Tensor:
        """Code rows, text and own row of each item, which sum to its vector. (N, 3 D)."""
        items = torch.arange(1, len(lm.codes), device=lm.codes.device)
        codes = lm.code_vectors(items)
        rows = torch.zeros_like(codes) if lm.item_rows is None else F.embedding(items, lm.item_rows)
        parts = torch.stack([codes, lm.item_vectors(items, codes=False) - rows, rows], dim=1)
        return (F.normalize(parts, dim=2) if self.cosines else parts).flatten(1)

    def loss(self, lm: DualIdentifierLM, rendered: Rendered) -> Tensor:
        wanted = rendered.targets > 0
        states = self.queries(lm.anchor_states(rendered)[wanted])
        return softmax_loss(states, rendered.targets[wanted], self.parts(lm), self.smoothing)

    def log_probs(self, lm: DualIdentifierLM, rendered: Rendered) -> Tensor:
        return (self.queries(lm.states(rendered)) @ self.parts(lm).T).float().log_softmax(dim=1)

    def write_scores(self, lm: DualIdentifierLM, rendered: Rendered, scores: Tensor) -> None:
        scores.copy_(self.queries(lm.states(rendered)) @ self.parts(lm).T)


@contextlib.contextmanager
def second_tree() -> Iterator[None]:
    start, vectors = DualIdentifierLM.__init__, DualIdentifierLM.code_vectors

    def init(self, **parts) -> None:
        start(self, **parts)
        codes, codebooks = parts["codes"], parts["codebooks"]
        known = sum(book[codes[1:, level]] for level, book in enumerate(codebooks)) + parts["residuals"]
        other = residual_kmeans(known, self.levels, self.codebook_size, parts["seed"] + 1).codes
        self.register_buffer("other_codes", torch.from_numpy(np.pad(other, ((1, 0), (0, 0)))), persistent=False)
        self.other_rows = nn.Parameter(torch.zeros_like(self.code_rows))

    def code_vectors(self, items: Tensor) -> Tensor:
        other = F.embedding(self._code_index(self.other_codes[items]), self.other_rows).sum(dim=1)
        return vectors(self, items) + other

    with (
        patch.object(DualIdentifierLM, "__init__", init),
        patch.object(DualIdentifierLM, "code_vectors", code_vectors),
    ):
        yield


@contextlib.contextmanager
def reversed_windows() -> Iterator[None]:
    step = NaviGenTrainer._loss

    def loss(self, batch: Interaction) -> Tensor:
        if self.stage != "align":
            return step(self, batch)
        windows, lengths = batch[self.model.ITEM_SEQ], batch[self.model.ITEM_SEQ_LEN][:, None]
        places = torch.arange(windows.shape[1], device=windows.device).expand_as(windows)
        backwards = torch.where(places < lengths, lengths - 1 - places, places)
        turned = torch.rand(len(windows), 1, device=windows.device) < 0.5
        windows = torch.where(turned, windows.gather(1, backwards), windows)
        return step(self, Interaction({**batch.interaction, self.model.ITEM_SEQ: windows}))

    with patch.object(NaviGenTrainer, "_loss", loss):
        yield


@contextlib.contextmanager
def hstu_blocks() -> Iterator[None]:
    start = Backbone.__init__

    def init(self, lm, dropout: float = 0.0) -> None:
        start(self, lm, dropout)
        heads = lm.config.num_attention_heads
        self.blocks = nn.ModuleList(Block(self.width, heads, LONGEST, dropout) for _ in self.layers)
        self.places = nn.Embedding(LONGEST, self.width)
        nn.init.normal_(self.places.weight, std=0.02)
        self.after = nn.LayerNorm(self.width)

    def own_parameters(self) -> list[nn.Parameter]:
        return [*self.blocks.parameters(), *self.places.parameters(), *self.after.parameters()]

    def run_context(self, embeddings: Tensor, lengths: Tensor) -> tuple[Tensor, list]:
        places = torch.arange(embeddings.shape[1], device=embeddings.device)
        states = embeddings + self.places(places)
        for block in self.blocks:
            states = block(states, places < lengths[:, None])
        return self.after(states), []

    with (
        patch.object(Backbone, "__init__", init),
        patch.object(Backbone, "own_parameters", own_parameters),
        patch.object(Backbone, "run_context", run_context),
    ):
        yield


ADDED = {
    "HSTU blocks": hstu_blocks,
    "item parts": lambda: patch.object(build, "TreeDecoder", PartedTree),
    "cosines of item parts": lambda: patch.object(build, "TreeDecoder", partial(PartedTree, cosines=True)),
    "second tree": second_tree,
    "reversed windows": reversed_windows,
}


@contextlib.contextmanager
def averaged_over_views(views: int, share: float, seed: int) -> Iterator[None]:
    """In here, NaviGen ranks by the mean over a history and so many copies without a share of its items."""
    plain, generator = NaviGen.full_sort_predict, torch.Generator().manual_seed(seed)

    def predict(self, interaction: Interaction) -> Tensor:
        total = plain(self, interaction).exp()
        for _ in range(views):
            total += plain(self, shortened(interaction, self.ITEM_SEQ, self.ITEM_SEQ_LEN, share, generator)).exp()
        return (total / (1 + views)).log()

    with patch.object(NaviGen, "full_sort_predict", predict):
        yield


def shortened(
    interaction: Interaction, items: str, length: str, share: float, generator: torch.Generator
) -> Interaction:
    """Histories without a share of their items, the last one kept, in the same order; right-padded as before."""
    histories, lengths = interaction[items], interaction[length][:, None]
    places = torch.arange(histories.shape[1], device=histories.device).expand_as(histories)
    drawn = torch.rand(histories.shape, generator=generator).to(histories.device)
    kept = (places < lengths) & ((drawn >= share) | (places == lengths - 1))
    order = torch.argsort((~kept).long(), dim=1, stable=True)
    counts = kept.sum(dim=1)
    moved = torch.where(places < counts[:, None], histories.gather(1, order), 0)
    return Interaction({**interaction.interaction, items: moved, length: counts})
