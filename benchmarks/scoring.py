"""Exact ranking against beam search: users a second, what the beam misses, and what grows with the catalogue.

    python benchmarks/main_job.py && python benchmarks/scoring.py [--users=256]

Same trained ml-100k model, same users, same machine, one process. Baselines (`beam_baselines.py`): (a) Hugging Face
`generate` with `prefix_allowed_tokens_fn` over a dictionary, (b) a tensor-masked beam, its KV cache repeated per beam.
The measurements are in `scoring_parts.py`; the plot goes to docs/images/scoring.svg.
"""

import argparse
from pathlib import Path

import torch
from beam_baselines import brute_force, dictionary_trie, generate_beam, plain_causal_lm, vectorised_beam
from common import Bar, write_results
from main_job import FOLDER as MAIN_JOB
from scoring_parts import (
    catalogue_sweep,
    draw,
    gemm_rate,
    mask_sweep,
    must_open,
    pretrained_size,
    seconds,
    share_of_floor,
)

from recbole_navigen.config import Config
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.quick_start.pipeline import load_navigen

BEAM = 50
BATCH = 128
BRUTE_FORCE_USERS = 50
PLOT = Path(__file__).resolve().parent.parent / "docs" / "images" / "scoring.svg"


def load(users: int):
    """The main job's model and the rendered histories of its first test users, in batches."""
    run_dir = next(MAIN_JOB.glob("saved/NaviGen-*"))
    config = Config("NaviGen", "ml-100k", config_dict={"state": "ERROR"})
    train, _, test = data_preparation(config, create_dataset(config))
    model = load_navigen(config, train._dataset, run_dir)
    rows = test._dataset.inter_feat[:users]
    return model, [model.history(rows[begin : begin + BATCH]) for begin in range(0, users, BATCH)]


def agreement(found: torch.Tensor, exact: torch.Tensor) -> float:
    """Share of users whose two top-10 lists hold the same items."""
    return float((found[:, :10].sort(dim=1).values == exact.sort(dim=1).values).all(dim=1).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--generate_users", type=int, default=32)
    arguments = parser.parse_args()
    model, batches = load(arguments.users)
    lm, plain = model.lm, plain_causal_lm(model.lm)
    trie = dictionary_trie(lm)
    few = batches[0].rows(slice(0, arguments.generate_users))

    exact = [model.search.top_k(batch, 10) for batch in batches]
    items = torch.cat([top.items for top in exact])
    rate = {
        "recommend": arguments.users / seconds(lambda: [model.search.top_k(batch, 10) for batch in batches]),
        "recommend_with_dense_score": arguments.users
        / seconds(lambda: [model.search.top_k(batch, 10, second=lm.second) for batch in batches]),
        "full_sort": arguments.users / seconds(lambda: [model.scorer.full_sort(batch) for batch in batches]),
        "generate_beam": len(few.tokens) / seconds(lambda: generate_beam(plain, lm, trie, few, BEAM)),
        "vectorised_beam": arguments.users
        / seconds(lambda: [vectorised_beam(plain, lm, batch, BEAM) for batch in batches]),
    }
    full = torch.cat([model.scorer.full_sort(batch) for batch in batches])
    found = full.topk(10).indices
    missed = {
        beam: 1 - agreement(torch.cat([vectorised_beam(plain, lm, batch, beam)[0] for batch in batches]), items)
        for beam in (10, 20, 50)
    }
    per_item = (1 / rate["full_sort"] / lm.legal.trie.n_items) / (1 / rate["vectorised_beam"] / BEAM)
    sampled = batches[0].rows(torch.randperm(BATCH, generator=torch.Generator().manual_seed(0))[:BRUTE_FORCE_USERS])
    by_hand = brute_force(plain, lm, sampled).topk(10).indices
    equal = agreement(model.search.top_k(sampled, 10).items, by_hand)
    growth = mask_sweep()
    flat = growth[-1]["mask_seconds"] / growth[0]["mask_seconds"]
    floor = gemm_rate(torch.float32)
    where = {
        "full_sort": share_of_floor(lambda: model.scorer.full_sort(batches[0]), floor),
        "recommend": share_of_floor(lambda: model.search.top_k(batches[0], 10), floor),
    }
    sizes = catalogue_sweep(BEAM)
    draw(sizes, BEAM, PLOT)
    dense = [model.search.top_k(batch, 10, second=lm.second) for batch in batches]
    mixed = torch.cat([model.scorer.full_sort(batch, lm.second) for batch in batches]).topk(10).indices
    fused = agreement(mixed, torch.cat([top.items for top in dense]))
    share = where["full_sort"]["share_of_gemm_floor"]
    bars = [
        Bar("recommend / generate beam 50, users a second", rate["recommend"] / rate["generate_beam"], "at least 20",
            rate["recommend"] >= 20 * rate["generate_beam"]),
        Bar("recommend / vectorised beam 50, users a second", rate["recommend"] / rate["vectorised_beam"], "at least 4",
            rate["recommend"] >= 4 * rate["vectorised_beam"]),
        Bar("full sort / generate beam 50, users a second", rate["full_sort"] / rate["generate_beam"], "at least 1",
            rate["full_sort"] >= rate["generate_beam"]),
        Bar("full sort / vectorised beam 50, time an item ranked", per_item, "at most 0.1", per_item <= 0.1),
        Bar("top-10 lists equal to brute force's, 50 users", equal, "1", equal == 1.0),
        Bar("top-10 lists equal to full sort's", agreement(found, items), "1", agreement(found, items) == 1.0),
        Bar("the same with the dense score mixed in", fused, "1", fused == 1.0),
        Bar("mask time, 1e6 items / 1e3 items", flat, "at most 2", flat <= 2),
        Bar("full sort, share of the GEMM floor (report)", share, "0.35", share >= 0.35),
    ]  # fmt: skip
    write_results(
        "scoring",
        bars,
        {
            "users": arguments.users,
            "users_per_second": rate,
            "share_of_users_missed_by_beam": missed,
            "expansions_per_user": float(torch.cat([top.expansions for top in exact]).float().mean()),
            "expansions_no_exact_search_can_avoid": must_open(
                full, torch.cat([top.log_probs[:, -1] for top in exact]), lm.legal
            ),
            "certified": bool(torch.cat([top.certified for top in exact]).all()),
            "gemm_gflops": floor / 1e9,
            "where_time_goes": where,
            "mask_sweep": growth,
            "catalogue_sweep": sizes,
            "pretrained_size": pretrained_size(model.table.codes, model.table.codebook_size),
        },
    )


if __name__ == "__main__":
    main()
