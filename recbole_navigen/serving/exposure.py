"""How much room new items get: the boost of their scores that costs the other items what it may, and no more.

A vector that text predicts is less sure than one that was trained: most new items score too low for everybody, and a
few that resemble what is popular too high. A boost b is added to all scores of new items. It is the largest, from LEAST
to MOST, at which the NDCG@10 that the model expects of the items that were there falls by no more than `exposure` times
the new items' share of the catalogue (or SHARE, where they are fewer):

    E NDCG(b) = sum over probes s, over old items i in the top 10 of all items, of p(i | s) / log2(1 + rank_i)

Probes are the states behind single items. No data is needed, and none is looked at.

Symbols: P probes, N old items, M new items, D width.
"""

import torch
from torch import Tensor

from recbole_navigen.language.rendering import Renderer
from recbole_navigen.network.item_model import DualIdentifierLM
from recbole_navigen.network.tree_decoder import TreeDecoder

PROBES, AT_ONCE = 512, 64
CUT = 10
LEAST, MOST, STEPS = -1.5, 3.0, 10  # nats, and halvings of the range
SHARE = 0.01  # of the catalogue: a single item may stand in some top 10, too


@torch.no_grad()
def boost_of(
    lm: DualIdentifierLM, renderer: Renderer, old: Tensor, new: Tensor, exposure: float
) -> tuple[float, Tensor]:
    """The boost, and the vector that adds it: its product with the query of a probe is the boost on average.

    Args:
        lm, renderer: before the items are added. old: vectors of the items there are, (N, D). new: predicted ones,
            (M, D). exposure: see above; 0 changes nothing.

    Returns:
        b in nats, and a vector (D,). With `decoder: tokens`, whose scores are no products, both are 0.
    """
    nothing = old.new_zeros(old.shape[1])
    if not exposure or not isinstance(lm.decoder, TreeDecoder):
        return 0.0, nothing
    # 1. Queries behind single items, and the top 10 of the old ones with their probabilities.
    step = max(1, len(old) // PROBES)
    probes = torch.arange(1, len(old) + 1, step, device=old.device)[:PROBES]
    queries, tops, shares, rivals = [], [], [], []
    for part in probes.split(AT_ONCE):
        rendered = renderer.cid2cid(part[:, None].cpu(), torch.ones(len(part), dtype=torch.long)).to(old.device)
        query = lm.decoder.query(lm.states(rendered)).float()
        scores = query @ old.T
        top = scores.topk(min(CUT, len(old)), dim=1).values
        queries.append(query)
        tops.append(top)
        shares.append((top - scores.logsumexp(dim=1, keepdim=True)).exp())
        # Only the best new items can stand in a top 10.
        rivals.append((query @ new.T).topk(min(CUT, len(new)), dim=1).values)
    top, share, rival = (torch.cat(parts) for parts in (tops, shares, rivals))
    ranks = torch.arange(1, top.shape[1] + 1, device=top.device)

    # 2. The largest boost within the price.
    def gain(boost: float) -> float:
        after = ranks + (rival[:, None] + boost > top[:, :, None]).sum(dim=2)
        return float((share / (1 + after).log2() * (after <= CUT)).sum())

    least = gain(-torch.inf) * (1 - exposure * max(SHARE, len(new) / (len(old) + len(new))))
    low, high = LEAST, MOST
    if gain(high) >= least:
        low = high
    else:
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if gain(middle) >= least else (low, middle)

    # 3. A direction in which all queries are alike.
    query = torch.cat(queries).double()
    ones = torch.ones(len(query), 1, dtype=torch.float64, device=query.device)
    damped = query.T @ query + 1e-6 * len(query) * torch.eye(query.shape[1], dtype=torch.float64, device=query.device)
    direction = torch.linalg.solve(damped, query.T @ ones)[:, 0]
    return low, (low * direction).to(old)
