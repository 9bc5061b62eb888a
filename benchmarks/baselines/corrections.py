"""What codes could add to the softmax over items: corrections of its nodes, and losses at them, for `levers.py`.

The product's tree gives a node exactly what the items below it give. Here the logit of a child c of node n gains

    delta_l(s, n, c) = (U_l s * gate(n)) . code row of c  +  (w_l . s) log(1 + items of the history below c)

whose first part starts at zero (U = 0) and whose second is what a dot product cannot see; or each level has a query of
its own, so that its logits are log sum exp(q_l(s) . v_i) over the items below. Each level is then a softmax of its own
over the children of each node. The other levers here keep the softmax as it is and change the loss: targets spread over
an item's siblings, the probability of its nodes learned beside its own, or items that lose their own rows for a step,
so that codes and terms must carry them.

Symbols: M rows, N items, V_l nodes of level l, L levels, D width.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_navigen.language.rendering import Rendered
from recbole_navigen.network import build
from recbole_navigen.network.item_model import DualIdentifierLM
from recbole_navigen.network.tree_decoder import TreeDecoder
from recbole_navigen.training.sft import NaviGenTrainer


class CorrectedTree(TreeDecoder):
    """The tree with corrections and node losses.

    Args:
        rows: correct by code rows. gate: and gate that by the mean vector of the node's items. history: correct by what
            of the history lies below. levels: that are corrected, from 1; None for all. queries: one for each level.
        row_dropout: share of the items whose own row is left out of a training step, as a new item's would be.
        smoothing: share of a target that is spread over the items of its node of the last level but one.
        coarse: weight of the log-probability of the target's node of the first level, beside that of the item.
        late: corrections are zero for so large a share of the steps.
    """

    def __init__(
        self,
        trie,
        width: int,
        sampled: int = 0,
        label_smoothing: float = 0.0,
        rows: bool = False,
        gate: bool = False,
        history: bool = False,
        levels: list[int] | None = None,
        smoothing: float = 0.0,
        coarse: float = 0.0,
        late: float = 0.0,
        queries: bool = False,
        row_dropout: float = 0.0,
    ):
        super().__init__(trie, width, 0, label_smoothing)
        self.row_dropout = row_dropout
        self.by_queries = nn.ModuleList(
            zeroed(nn.Linear(width, width)) for _ in range(trie.levels - 1 if queries else 0)
        )
        self.node_smoothing, self.coarse, self.late, self.progress, self.off = smoothing, coarse, late, 0.0, False
        chosen = levels or range(1, trie.levels + 1)
        self.by_rows, self.gates, self.by_history = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for level in map(str, chosen):
            if rows:
                self.by_rows[level] = zeroed(nn.Linear(width, width, bias=False))
            if gate:
                self.gates[level] = zeroed(nn.Linear(width, width))
            if history:
                self.by_history[level] = zeroed(nn.Linear(width, 1))
        for level in range(1, trie.levels + 1):
            widths = np.diff(trie.leaf_start[level])
            self.register_buffer(f"widths{level}", torch.from_numpy(widths), persistent=False)
            self.register_buffer(f"parent{level}", torch.from_numpy(trie.parent[level].copy()), persistent=False)
            self.register_buffer(f"token{level}", torch.from_numpy(trie.token[level].copy()), persistent=False)
            counts = np.bincount(trie.parent[level], minlength=trie.n_nodes(level - 1))
            self.register_buffer(f"children{level}", torch.from_numpy(counts), persistent=False)
        self.register_buffer("item_path", torch.from_numpy(trie.item_path.copy()), persistent=False)

    @property
    def corrects(self) -> bool:
        """Whether any correction is in use now."""
        some = len(self.by_rows) + len(self.by_history) + len(self.by_queries) > 0
        return some and not self.off and not (self.training and self.progress < self.late)

    def loss(self, lm: DualIdentifierLM, rendered: Rendered) -> Tensor:
        wanted = rendered.targets > 0
        states = lm.anchor_states(rendered)[wanted]
        targets = rendered.targets[wanted] - 1
        vectors = lm.all_vectors()
        scores = self.all_log_probs(lm, states, vectors, self.counts(rendered, wanted))
        own = scores.gather(1, targets[:, None])[:, 0]
        loss = -own
        if self.node_smoothing:
            node = self.item_path[:, self.trie.levels - 2]
            mean = self.node_means(scores)[torch.arange(len(targets)), node[targets]]
            loss = (1 - self.node_smoothing) * loss - self.node_smoothing * mean
        if self.coarse:
            above = self.node_log_probs(scores, 1)
            loss = loss - self.coarse * above.gather(1, self.item_path[targets, :1])[:, 0]
        return loss.mean()

    def log_probs(self, lm: DualIdentifierLM, rendered: Rendered) -> Tensor:
        last = torch.ones(len(rendered.lengths), 1, dtype=torch.bool)
        return self.all_log_probs(lm, lm.read(rendered).state, lm.catalogue_vectors(), self.counts(rendered, last))

    def write_scores(self, lm: DualIdentifierLM, rendered: Rendered, scores: Tensor) -> None:
        scores.copy_(self.log_probs(lm, rendered))

    def node_means(self, scores: Tensor) -> Tensor:
        """Mean over the items of each node of the last level but one. (M, N) -> (M, V)."""
        leaves = scores.T[self.leaf_item].contiguous()
        level = self.trie.levels - 1
        return torch.segment_reduce(leaves, "mean", lengths=getattr(self, f"widths{level}"), axis=0).T

    def counts(self, rendered: Rendered, wanted: Tensor) -> list[Tensor]:
        """log(1 + items of the history below each node) at each wanted anchor: for each level, (V_l, M)."""
        if not self.by_history:
            return []
        anchors = rendered.anchors if wanted.shape == rendered.anchors.shape else rendered.anchors[:, :1]
        row, column = torch.nonzero(wanted, as_tuple=True)
        places = torch.arange(rendered.items.shape[1])
        read = (rendered.items[row] > 0) & (places <= anchors[row, column][:, None])
        which, where = torch.nonzero(read, as_tuple=True)
        items = rendered.items[row[which], where] - 1
        result = []
        for level in range(1, self.trie.levels + 1):
            counts = torch.zeros(self.trie.n_nodes(level), len(row))
            counts.index_put_((self.item_path[items, level - 1], which), torch.ones(len(which)), accumulate=True)
            result.append(counts.log1p())
        return result

    def all_log_probs(self, lm: DualIdentifierLM, states: Tensor, vectors: Tensor, counts: list[Tensor]) -> Tensor:
        """(M, N) by item index."""
        scores = (self.query(states) @ vectors.T).float()
        if not self.corrects:
            return scores.log_softmax(dim=1)
        up: list[Tensor] = [scores.T[self.leaf_item].contiguous()]
        for level in range(self.trie.levels - 1, 0, -1):
            if self.by_queries:
                own = self.by_queries[level - 1](states) @ vectors.T
                leaves = (scores + own.float()).T[self.leaf_item].contiguous()
                up.insert(0, _segment_logsumexp(leaves, getattr(self, f"widths{level}")))
            else:
                up.insert(0, _segment_logsumexp(up[0], getattr(self, f"children{level + 1}")))
        result: Tensor | None = None
        for level in range(1, self.trie.levels + 1):
            logits = up[level - 1] + self.delta(level, lm, states, vectors, counts)
            parent = getattr(self, f"parent{level}")
            below = logits - _segment_logsumexp(logits, getattr(self, f"children{level}"))[parent]
            result = below if result is None else result[parent] + below
        return result[torch.from_numpy(self.trie.item_leaf.copy())].T

    def delta(self, level: int, lm: DualIdentifierLM, states: Tensor, vectors: Tensor, counts: list[Tensor]) -> Tensor:
        """(V_l, M)."""
        name, total = str(level), states.new_zeros(self.trie.n_nodes(level), len(states))
        if name in self.by_rows:
            size = lm.codebook_size
            rows = F.embedding(getattr(self, f"token{level}") + (level - 1) * size, lm.code_rows)
            if name in self.gates:
                means = self._means(level - 1, vectors)
                rows = rows * (1 + self.gates[name](means))[getattr(self, f"parent{level}")]
            total = total + rows @ self.by_rows[name](states).T
        if name in self.by_history:
            total = total + counts[level - 1] * self.by_history[name](states).T
        return total.float()

    def _means(self, level: int, vectors: Tensor) -> Tensor:
        """Mean vectors of the items of each node of a level 0..L-1, (V_l, D)."""
        if level == 0:
            return vectors.mean(dim=0, keepdim=True)
        leaves = vectors[self.leaf_item].contiguous()
        return torch.segment_reduce(leaves, "mean", lengths=getattr(self, f"widths{level}"), axis=0)


def _segment_logsumexp(values: Tensor, lengths: Tensor) -> Tensor:
    """Over ranges of rows, each relative to its own largest value. (V, M) -> (ranges, M)."""
    largest = torch.segment_reduce(values.detach(), "max", lengths=lengths, axis=0)
    owner = torch.arange(len(lengths), device=values.device).repeat_interleave(lengths)
    sums = torch.zeros_like(largest).index_add(0, owner, (values - largest[owner]).exp())
    return sums.log() + largest


def zeroed(layer: nn.Linear) -> nn.Linear:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


@contextlib.contextmanager
def corrected(rate: float = 1.0, decay: float = 0.1, **form) -> Iterator[None]:
    """Models made in here have a `CorrectedTree`; its corrections learn at `rate` times the rate and decay by
    `decay` times weight_decay.
    """
    groups, step, vectors = NaviGenTrainer._build_optimizer, NaviGenTrainer._loss, DualIdentifierLM.all_vectors

    def optimizer(self, **kwargs):
        made = groups(self, **kwargs)
        own = {id(p) for name, p in self.model.named_parameters() if ".by_" in name or ".gates" in name}
        taken = [p for group in made.param_groups for p in group["params"] if id(p) in own]
        for group in made.param_groups:
            group["params"] = [p for p in group["params"] if id(p) not in own]
        if taken:
            weight_decay = decay * (self.config["weight_decay"] or 0.0)
            made.add_param_group({"params": taken, "weight_decay": weight_decay, "correction": rate})
        return made

    def loss(self, batch):
        self.model.lm.decoder.progress = self._steps_done / self._steps_in_all if self.stage == "finetune" else 0.0
        result = step(self, batch)
        for group in self.optimizer.param_groups:
            group["lr"] = group["lr"] * group.get("correction", 1.0)
        return result

    def all_vectors(self):
        if self._step_vectors is not None or not (self.training and self.decoder.row_dropout):
            return vectors(self)
        dropped = torch.rand(len(self.codes) - 1, 1) < self.decoder.row_dropout
        return vectors(self) - self.item_rows[1:] * dropped

    with (
        patch.object(DualIdentifierLM, "all_vectors", all_vectors),
        patch.object(build, "TreeDecoder", partial(CorrectedTree, **form)),
        patch.object(NaviGenTrainer, "_build_optimizer", optimizer),
        patch.object(NaviGenTrainer, "_loss", loss),
    ):
        yield


@contextlib.contextmanager
def without_code_rows() -> Iterator[None]:
    """Item vectors without code rows, in histories and in scores. Rows of items start as what codes and item rows start
    as together, so that all that is lost is what codes share.
    """
    vectors, start = DualIdentifierLM.item_vectors, DualIdentifierLM.__init__

    def init(self, *args, **kwargs):
        start(self, *args, **kwargs)
        with torch.no_grad():
            self.item_rows[1:] += F.embedding(self._code_index(self.codes[1:]), self.code_rows).sum(dim=1)

    with (
        patch.object(DualIdentifierLM, "__init__", init),
        patch.object(DualIdentifierLM, "item_vectors", lambda self, items, codes=True: vectors(self, items, False)),
    ):
        yield
