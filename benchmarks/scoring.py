"""What exact ranking costs: beside RecBole's own SASRec, beside codes decoded one by one, and as the catalogue grows.

    python benchmarks/main_job.py && python benchmarks/scoring.py [--users=943]

1. ml-100k, the main job's model and a SASRec of equal width: users a second of `full_sort_predict`, in one run.
2. The same model's histories under `decoder: tokens`, whose weights are then untrained: its exact engine, and two beam
   searches over it (`beam_baselines.py`): Hugging Face `generate` with a prefix function over a dictionary, and a
   tensor-masked beam whose KV cache is repeated per beam.
3. Catalogues of 10^3 to 10^6 items: users a second of both decoders, a training step, memory.

All on the threads that OMP_NUM_THREADS allows; the plot goes to docs/images/scoring.svg.
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from beam_baselines import brute_force, dictionary_trie, generate_beam, plain_causal_lm, vectorised_beam
from common import Bar, write_results
from main_job import FOLDER as MAIN_JOB
from recbole.model.sequential_recommender.sasrec import SASRec
from synthetic_catalogue import model_over, random_codes, random_histories

from recbole_navigen.config import Config
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.language.backbone import scratch_lm
from recbole_navigen.model.navigen import NaviGen
from recbole_navigen.model.ranking import Ranking
from recbole_navigen.quick_start.pipeline import load_navigen

BEAM, BATCH, REPEATS = 50, 256, 3
FEW = 32  # users of the slow baselines, and of brute force
MEMORY = 512  # MB, the default of scoring_memory
WIDTH, LENGTH = 128, 50
PLOT = Path(__file__).resolve().parent.parent / "docs" / "images" / "scoring.svg"


def seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median wall time of some runs after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


@torch.no_grad()
def on_data(users: int) -> dict[str, float]:
    """Users a second on ml-100k, and how far top-10 lists agree with brute force's."""
    run_dir = next(MAIN_JOB.glob("saved/NaviGen-*"))
    config = Config("NaviGen", "ml-100k", config_dict={"state": "ERROR"})
    train, _, test = data_preparation(config, create_dataset(config))
    model = load_navigen(config, train._dataset, run_dir)
    rows = test._dataset.inter_feat[:users]
    batches = [rows[begin : begin + BATCH] for begin in range(0, len(rows), BATCH)]
    few = rows[:FEW]
    other = Config("SASRec", "ml-100k", config_dict={"state": "ERROR", "hidden_size": WIDTH, "inner_size": 2 * WIDTH})
    sasrec = SASRec(other, train._dataset).eval()
    by_tokens = Config("NaviGen", "ml-100k", config_dict={"state": "ERROR", "decoder": "tokens"})
    tokens = NaviGen(by_tokens, train._dataset, model.table, model.renderer.vocabulary.tokenizer).eval()
    plain, trie = plain_causal_lm(tokens.lm), dictionary_trie(tokens.lm)
    read = tokens.history(few)
    speed = {
        "NaviGen": len(rows) / seconds(lambda: [model.full_sort_predict(batch) for batch in batches]),
        "SASRec (RecBole)": len(rows) / seconds(lambda: [sasrec.full_sort_predict(batch) for batch in batches]),
        "decoder: tokens": FEW / seconds(lambda: tokens.full_sort_predict(few)),
        "beam 50, vectorised": FEW / seconds(lambda: vectorised_beam(plain, tokens.lm, read, BEAM)),
        "beam 50, generate": FEW / seconds(lambda: generate_beam(plain, tokens.lm, trie, read, BEAM), 1),
    }
    exact = brute_force(plain, tokens.lm, read)
    found = tokens.ranking.log_probs(read)
    return {**speed, "largest difference to brute force": float((exact - found).abs().max())}


def catalogue_sweep() -> list[dict]:
    """Costs against the number of items; a model of the default size with untrained weights, 50 items of history."""
    rows = []
    for n_items, users in ((1_000, 256), (10_000, 256), (100_000, 64), (1_000_000, 16)):
        codes, row = random_codes(n_items, 256, 3, 0), {"items": n_items}
        for decoder in ("tree", "tokens"):
            torch.manual_seed(0)
            lm = scratch_lm(vocab_size=300, width=WIDTH, layers=2, heads=4, inner=2 * WIDTH)
            model, renderer = model_over(codes, 256, lm, decoder, sampled=min(1024, n_items - 1))
            ranking = Ranking(model, MEMORY)
            asked = users if decoder == "tree" else max(1, min(users, 200_000 // n_items))
            contexts = random_histories(renderer, n_items, asked, LENGTH, seed=1)
            model.catalogue_vectors()
            row[decoder] = asked / seconds(lambda r=ranking, c=contexts: r.top_k(c, 10), repeats=1)
            if decoder == "tree":
                row["training step, seconds"] = training_step(model, renderer, n_items)
        row["peak memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append(row)
        print(row, flush=True)
    return rows


def training_step(model, renderer, n_items: int) -> float:
    """Seconds of one optimizer step on 2,650 items, normalised over 1,024 drawn items; vectors of codes and terms."""
    generator = torch.Generator().manual_seed(0)
    histories = torch.randint(1, n_items + 1, (53, LENGTH), generator=generator)
    rendered = renderer.cid2cid(histories, torch.full((53,), LENGTH), targets=True)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model.train()

    def step() -> None:
        optimizer.zero_grad()
        model.decoder.loss(model, rendered).backward()
        optimizer.step()

    took = seconds(step, repeats=5)
    model.eval()
    return took


def draw(sweep: list[dict], file: Path) -> None:
    """Plot users a second against catalogue size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for name, label in (("tree", "decoder: tree (default)"), ("tokens", "decoder: tokens")):
        axes.plot([row["items"] for row in sweep], [row[name] for row in sweep], marker="o", label=label)
    axes.set(xscale="log", yscale="log", xlabel="items in the catalogue", ylabel="users a second, exact top 10")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=943)
    arguments = parser.parse_args()
    speed = on_data(arguments.users)
    sweep = catalogue_sweep()
    draw(sweep, PLOT)
    of_sasrec = speed["NaviGen"] / speed["SASRec (RecBole)"]
    of_tokens = speed["NaviGen"] / speed["decoder: tokens"]
    steps = {row["items"]: row["training step, seconds"] for row in sweep}
    growth = steps[1_000_000] / steps[10_000]
    difference = speed["largest difference to brute force"]
    bars = [
        Bar("users a second / RecBole's SASRec of equal width", of_sasrec, "at least 0.6", of_sasrec >= 0.6),
        Bar("users a second / decoder: tokens", of_tokens, "at least 20", of_tokens >= 20),
        Bar("decoder: tokens, difference to brute force", difference, "at most 1e-3", difference <= 1e-3),
        Bar("a training step at 1e6 items / at 1e4", growth, "at most 1.5", growth <= 1.5),
    ]
    write_results("scoring", bars, {"users": arguments.users, "users_per_second": speed, "catalogue_sweep": sweep})


if __name__ == "__main__":
    main()
