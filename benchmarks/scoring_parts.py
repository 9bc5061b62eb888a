"""The measurements of `scoring.py`, one function each."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from beam_baselines import plain_causal_lm, vectorised_beam
from synthetic_catalogue import model_over, random_codes, random_histories
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from recbole_navigen.identifiers.trie import CatalogueTrie
from recbole_navigen.language.attention import ATTENTION
from recbole_navigen.language.backbone import scratch_lm
from recbole_navigen.model.legal import LegalCodes
from recbole_navigen.model.scoring import ExactScorer
from recbole_navigen.model.topk import TopKSearch

REPEATS = 3
MEMORY = 512  # MB, the default of scoring_memory
GEMM = 2048  # side of the square product whose rate is the floor
PEAKED = 1.0  # nats; gives 1e3 items about as many expansions as the trained ml-100k model needs
# Operators of the profile, by what they do.
KINDS = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "linear"),
    "attention kernel": ("_scaled_dot_product_flash_attention_for_cpu",),
    "moving data": ("copy_", "cat", "index", "gather", "index_select", "index_put_", "_index_put_impl_", "fill_",
                    "scatter_", "masked_scatter_", "clone"),
    "softmax": ("_softmax", "logsumexp", "exp", "log", "amax"),
}  # fmt: skip


def seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median wall time of some runs after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def gemm_rate(dtype: torch.dtype) -> float:
    """This machine's rate on one large matrix product, in FLOP a second."""
    left, right = torch.randn(2, GEMM, GEMM).to(dtype).unbind()
    return 2 * GEMM**3 / seconds(lambda: left @ right, repeats=7)


def share_of_floor(work: Callable[[], object], rate: float) -> dict:
    """FLOPs of some work, the time they would take at the machine's GEMM rate over the time the work takes, and where
    the rest goes.
    """
    with FlopCounterMode(display=False) as counter:
        work()
    took = seconds(work)
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        work()
    own = {entry.key.removeprefix("aten::"): entry.self_cpu_time_total for entry in trace.key_averages()}
    total = sum(own.values())
    shares = {kind: sum(own.get(name, 0) for name in names) / total for kind, names in KINDS.items()}
    shares["element-wise and other"] = 1 - sum(shares.values())
    flops = counter.get_total_flops()
    return {"gflop": flops / 1e9, "seconds": took, "share_of_gemm_floor": flops / rate / took, "time_by_kind": shares}


def must_open(scores: torch.Tensor, kth: torch.Tensor, legal: LegalCodes) -> float:
    """Prefixes a user that any exact search must expand: more probable than the k-th item, and not an item already.

    scores: full ranking (B, N). kth: log-probability of each user's k-th item, (B,).
    """
    count = torch.ones(len(scores))  # the root
    for level in range(1, legal.levels):
        node = legal.item_path[:, level - 1]
        mass = torch.zeros(len(scores), legal.trie.n_nodes(level)).index_add_(1, node, scores.exp())
        count += ((mass.log() > kth[:, None]) & (torch.bincount(node) > 1)).sum(dim=1)
    return float(count.mean())


def mask_sweep() -> list[dict]:
    """Mask time a step, building time and memory of the trie as the catalogue grows: 256 codes, three levels, 3,200
    rows a step (64 users with 50 prefixes each).
    """
    rows = []
    for exponent in (3, 4, 5, 6):
        n_items = 10**exponent
        codes = random_codes(n_items, 256, 3, exponent)
        start = time.perf_counter()
        trie = CatalogueTrie.build(codes, 256)
        built = time.perf_counter() - start
        legal = LegalCodes(trie)
        logits = torch.randn(3200, 256)
        nodes = torch.from_numpy(np.random.default_rng(exponent).integers(trie.n_nodes(1), size=3200))
        took = seconds(lambda legal=legal, logits=logits, nodes=nodes: legal.normaliser(1, logits, nodes), repeats=31)
        rows.append({"items": n_items, "build_seconds": built, "mask_seconds": took, "trie_mb": trie.nbytes / 2**20})
        print(rows[-1], flush=True)
    return rows


@torch.no_grad()
def catalogue_sweep(beam: int) -> list[dict]:
    """Users a second against catalogue size: exact top-10, exact full sort, and the vectorised beam, which ranks `beam`
    items. The default model with untrained weights and unevenly popular codes, 50 items of history.
    """
    rows = []
    for n_items, users in ((1_000, 128), (10_000, 128), (100_000, 64), (1_000_000, 16)):
        lm = scratch_lm(vocab_size=300, width=128, layers=2, heads=4, inner=256)
        model, renderer = model_over(random_codes(n_items, 256, 3, 0), 256, lm, PEAKED, seed=0)
        scorer = ExactScorer(model, MEMORY)
        search = TopKSearch(scorer)
        contexts = random_histories(renderer, n_items, users, 50, seed=1)
        few = contexts.rows(slice(0, max(1, min(users, 200_000 // n_items))))
        row = {
            "items": n_items,
            "recommend": users / seconds(lambda s=search, c=contexts: s.top_k(c, 10)),
            "full_sort": len(few.tokens) / seconds(lambda s=scorer, c=few: s.full_sort(c), repeats=1),
            "expansions_per_user": float(search.top_k(contexts, 10).expansions.float().mean()),
        }
        if n_items <= 100_000:  # the plain model holds a row for every item twice
            plain = plain_causal_lm(model)
            took = seconds(lambda p=plain, m=model, c=contexts: vectorised_beam(p, m, c, beam), repeats=1)
            row["vectorised_beam"] = users / took
        rows.append(row)
        print(row, flush=True)
    return rows


@torch.no_grad()
def pretrained_size(codes: np.ndarray, codebook_size: int, users: int = 8) -> dict:
    """The same scoring with the layout of a 135M-parameter Llama (30 layers, grouped queries) and random weights."""
    config = LlamaConfig(
        vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, tie_word_embeddings=True, attn_implementation=ATTENTION,
    )  # fmt: skip
    lm = LlamaForCausalLM(config)
    model, renderer = model_over(codes, codebook_size, lm, PEAKED, seed=0)
    scorer = ExactScorer(model, MEMORY)
    contexts = random_histories(renderer, len(codes), users, 50, seed=1)
    search = TopKSearch(scorer)
    top = search.top_k(contexts, 10)
    full = scorer.full_sort(contexts.rows(slice(0, 2)))
    return {
        "parameters": sum(parameter.numel() for parameter in lm.parameters()),
        "recommend_users_per_second": users / seconds(lambda: search.top_k(contexts, 10), repeats=1),
        "full_sort_users_per_second": 2 / seconds(lambda: scorer.full_sort(contexts.rows(slice(0, 2))), repeats=1),
        "certified": float(top.certified.float().mean()),
        "expansions_per_user": float(top.expansions.float().mean()),
        "agrees_with_full_sort": bool(torch.equal(full.topk(10).indices, top.items[:2])),
        "scoring_memory_mb": MEMORY,
    }


def draw(sweep: list[dict], beam: int, file: Path) -> None:
    """Plot users a second against catalogue size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    labels = {
        "recommend": "recommend(k=10), exact and certified",
        "full_sort": "full sort, exact, ranks every item",
        "vectorised_beam": f"vectorised beam {beam}, ranks {beam} items",
    }
    for name, label in labels.items():
        points = [(row["items"], row[name]) for row in sweep if name in row]
        axes.plot(*zip(*points, strict=True), marker="o", label=label)
    axes.set(xscale="log", yscale="log", xlabel="items in the catalogue", ylabel="users a second")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    pyplot.close(figure)
