"""The same SASRec trained on RecBole's prefix rows and on user rows: seconds an epoch, NDCG after equal wall time.

    python benchmarks/user_rows.py [--epochs=2]

Both train RecBole's own SASRec class with full softmax on ml-100k, from the same seed, in one process, one after the
other. RecBole's loop runs for a number of epochs with its default batch of 2,048 prefixes; user rows then get exactly
the wall time that took. Validation is outside the clock for both.
"""

import argparse
import time

from recbole.utils import init_seed

from harness.common import Bar, write_results
from harness.ranking_runs import TUNED
from recbole_navigen.config import Config
from recbole_navigen.config.reading import read_settings
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.training.trainer import get_trainer

SASREC = read_settings(TUNED)["ml-100k"]["SASRec"]
SHARED = {
    key: value
    for key, value in SASREC.items()
    if key not in ("train_rows", "train_batch_size", "stopping_step", "window_stride")
}


def train(seconds: float, epochs: int, **settings) -> dict:
    """Train until the clock or the epochs run out; returns seconds an epoch and validation NDCG@10."""
    config = Config("SASRec", "ml-100k", config_dict={**SHARED, "show_progress": False, **settings, "epochs": epochs})
    train_data, valid_data, _ = data_preparation(config, create_dataset(config))
    init_seed(config["seed"], config["reproducibility"])
    model = config.model_class(config, train_data._dataset)
    trainer = get_trainer(config, model)(config, model)
    spent, scores, done = 0.0, [], 0
    while done < epochs and spent < seconds:
        start = time.perf_counter()
        trainer._train_epoch(train_data, done)
        spent += time.perf_counter() - start
        done += 1
        scores.append(round(trainer._valid_epoch(valid_data)[0], 4))
        print(settings, f"epoch {done}: {spent:.1f} s, valid ndcg@10 {scores[-1]}", flush=True)
    return {"seconds_per_epoch": spent / done, "epochs": done, "seconds": spent, "valid_ndcg@10": scores}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    epochs = parser.parse_args().epochs
    prefix = train(float("inf"), epochs, train_batch_size=2048)
    rows = train(prefix["seconds"], 10_000, train_rows="user", train_batch_size=SASREC["train_batch_size"])
    ratio = prefix["seconds_per_epoch"] / rows["seconds_per_epoch"]
    gain = max(rows["valid_ndcg@10"]) - max(prefix["valid_ndcg@10"])
    write_results(
        "user_rows",
        [
            Bar("seconds an epoch, RecBole's loop / user rows", ratio, "above 1", ratio > 1),
            Bar("valid NDCG@10 after equal wall time, user rows - RecBole's loop", gain, "above 0", gain > 0),
        ],
        {"recbole_loop": prefix, "user_rows": rows},
    )


if __name__ == "__main__":
    main()
