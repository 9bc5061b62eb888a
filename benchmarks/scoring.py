"""What exact ranking costs: beside RecBole's own SASRec, beside codes decoded one by one, and as the catalogue grows.

    python benchmarks/scoring.py [--users=943] [--data_path=FOLDER] [--datasets=ml-100k,amazon-toys-2014]

1. On each data set a NaviGen and RecBole's SASRec of equal width: users a second of `full_sort_predict`, in one run.
2. On ml-100k the same histories under `decoder: tokens`: its exact engine, and two beam searches over it
   (`baselines/beams.py`): Hugging Face `generate` with a prefix function over a dictionary, and a tensor-masked beam
   whose KV cache is repeated per beam.
3. Catalogues of 10^3 to 10^6 items: users a second of both decoders, a training step, memory.

Weights and codes are random: what is timed does not depend on them. All on the threads that OMP_NUM_THREADS allows; the
plot goes to docs/images/scoring.svg. The data sets but ml-100k are looked for in data_path.
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from recbole.model.sequential_recommender.sasrec import SASRec

from baselines.beams import brute_force, dictionary_trie, generate_beam, plain_causal_lm, vectorised_beam
from harness.common import Bar, write_results
from recbole_navigen.config import Config
from recbole_navigen.data import create_dataset, data_preparation, read_item_text
from recbole_navigen.language.backbone import scratch_lm
from recbole_navigen.model.navigen import NaviGen
from recbole_navigen.model.ranking import Ranking
from recbole_navigen.pipeline.identifiers import build_table
from recbole_navigen.pipeline.tokenizer import build_tokenizer
from worlds.synthetic_catalogue import model_over, random_codes, random_histories

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


def built(dataset: str, data_path: str, **settings):
    """Config, test rows, training split, and a NaviGen of the data set with codes of random vectors."""
    where = {} if dataset == "ml-100k" else {"data_path": data_path}
    config = Config("NaviGen", dataset, config_dict={"state": "ERROR", **where, **settings})
    data = create_dataset(config)
    texts = read_item_text(config, data).text[1:]
    train, _, test = data_preparation(config, data)
    vectors = np.random.default_rng(0).standard_normal((data.item_num - 1, WIDTH)).astype(np.float32)
    table = build_table(config, data, vectors, texts)
    model = NaviGen(config, train._dataset, table, build_tokenizer(config, table, texts)).eval()
    part = train._dataset.sequences
    model.lm.memory.learn(part.items, part.offsets, table.terms)
    model.lm.memory.share.fill_(0.5)
    model.lm.repeats.log_factor.fill_(-3.0)
    return config, test._dataset.inter_feat, train._dataset, model


@torch.no_grad()
def beside_sasrec(dataset: str, data_path: str, users: int) -> dict[str, float]:
    """Users a second of NaviGen and of RecBole's SASRec."""
    config, rows, part, model = built(dataset, data_path)
    batches = [rows[begin : begin + BATCH] for begin in range(0, min(users, len(rows)), BATCH)]
    settings = {"state": "ERROR", "data_path": str(Path(config["data_path"]).parent), "hidden_size": WIDTH}
    sasrec = SASRec(Config("SASRec", dataset, config_dict={**settings, "inner_size": 2 * WIDTH}), part).eval()
    asked, model_of = sum(map(len, batches)), {"NaviGen": model, "SASRec (RecBole)": sasrec}
    return {
        name: asked / seconds(lambda one=one: [one.full_sort_predict(batch) for batch in batches])
        for name, one in model_of.items()
    }


@torch.no_grad()
def beside_beams() -> dict[str, float]:
    """Users a second of decoded codes on ml-100k, exact and by beams, and how far exact ones are from brute force."""
    _, rows, _, model = built("ml-100k", "", decoder="tokens")
    plain, trie = plain_causal_lm(model.lm), dictionary_trie(model.lm)
    few = rows[:FEW]
    read = model.history(few)
    speed = {
        "decoder: tokens": FEW / seconds(lambda: model.full_sort_predict(few)),
        "beam 50, vectorised": FEW / seconds(lambda: vectorised_beam(plain, model.lm, read, BEAM)),
        "beam 50, generate": FEW / seconds(lambda: generate_beam(plain, model.lm, trie, read, BEAM), 1),
    }
    difference = (brute_force(plain, model.lm, read) - model.ranking.log_probs(read)).abs().max()
    return {**speed, "largest difference to brute force": float(difference)}


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
    parser.add_argument("--data_path", default="dataset/")
    parser.add_argument("--datasets", default="ml-100k")
    arguments = parser.parse_args()
    speed = {name: beside_sasrec(name, arguments.data_path, arguments.users) for name in arguments.datasets.split(",")}
    decoded = beside_beams()
    sweep = catalogue_sweep()
    draw(sweep, PLOT)
    shares = {name: one["NaviGen"] / one["SASRec (RecBole)"] for name, one in speed.items()}
    of_tokens = speed["ml-100k"]["NaviGen"] / decoded["decoder: tokens"]
    steps = {row["items"]: row["training step, seconds"] for row in sweep}
    growth = steps[1_000_000] / steps[10_000]
    difference = decoded["largest difference to brute force"]
    bars = [
        *(
            Bar(f"{name}: users a second / RecBole's SASRec of equal width", share, "at least 0.6", share >= 0.6)
            for name, share in shares.items()
        ),
        Bar("ml-100k: users a second / decoder: tokens", of_tokens, "at least 20", of_tokens >= 20),
        Bar("decoder: tokens, difference to brute force", difference, "at most 1e-3", difference <= 1e-3),
        Bar("a training step at 1e6 items / at 1e4", growth, "at most 1.5", growth <= 1.5),
    ]
    details = {"users": arguments.users, "users_per_second": speed, "decoded codes": decoded, "catalogue_sweep": sweep}
    write_results("scoring", bars, details)


if __name__ == "__main__":
    main()
