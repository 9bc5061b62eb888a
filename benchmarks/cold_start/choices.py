"""New users: what a statement should do to the ranking, chosen on training users that are held out in turn.

    python benchmarks/cold.py --dataset=ml-100k --part=choices [--data_path=FOLDER] [--key=value]

The users whom `--part=users` measures have no part in it. The others are held out in FOLDS parts; nothing is known of
a held-out user but three terms that the user's later items have more often than what everybody takes, and the first
HORIZON events are to be found. What is counted is counted over the other parts. Forms of what is ranked by:

    popularity      of all events, or of first events, with nothing stated
    + x nats        for each stated term that an item has
    items, s        the probability that who takes the item likes the term, where the item's words weigh s events
                    (SHRUNK of `serving.evidence`); 1e+09: by its words alone
    together        how many terms count in full (TOGETHER of `serving.preferences`)
"""

from typing import Any

import numpy as np

from cold_start.users import ASKED, CUT, HORIZON, LATER, RUNS, SHARE, Crowd, withhold_users
from harness.common import write_results
from recbole_navigen.bars import tqdm
from recbole_navigen.config.locate import dataset_folder
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.quick_start import Recommender
from recbole_navigen.quick_start.run import finished_run
from recbole_navigen.serving.evidence import FIRST, SHRUNK, Evidence
from recbole_navigen.serving.popularity import HELD_OUT
from recbole_navigen.serving.preferences import TOGETHER

FOLDS = 5
NATS = (0.1, 0.2, 0.4, 1.0, 4.0)
EVENTS = (5.0, 20.0, SHRUNK, 100.0, 200.0, 1e9)
COUNTS = (1.0, 1.5, TOGETHER, 2.5, 3.0)


def ndcg(scores: np.ndarray, targets: list[int]) -> float:
    """Mean NDCG@10 of single targets. scores (N,)."""
    places = {item: place for place, item in enumerate((-scores).argsort(kind="stable")[:CUT].tolist())}
    return float(np.mean([1 / np.log2(2 + places[target]) if target in places else 0.0 for target in targets]))


def measure(name: str, data_path: str, settings: dict[str, Any]) -> int:
    """The benchmark. settings: of the run of `--part=users`, which is trained where it is not there."""
    seed = settings["seed"]
    smaller = RUNS / f"users-{seed}" / name
    withhold_users(dataset_folder(data_path, name), smaller, SHARE, seed)
    run = finished_run(name, config_dict={**settings, "data_path": str(smaller.parent)})
    recommender = Recommender.load(run, device="cpu")
    crowd, space = Crowd(recommender), recommender.preference_space
    index = {item: place for place, item in enumerate(recommender.item_tokens)}
    histories = [recommender.history_of(user) for user in recommender.users]
    part = np.random.default_rng(seed).permutation(len(histories)) % FOLDS
    found: dict[str, list[float]] = {}
    for fold in tqdm(range(FOLDS), desc="held out", unit=" parts", ncols=100):
        known = [
            [index[item] for item in own[:-HELD_OUT]] for own, at in zip(histories, part, strict=True) if at != fold
        ]
        counts = [
            np.bincount(np.concatenate([own[:most] for own in known]).astype(int), minlength=len(index)) + 1
            for most in (None, FIRST)
        ]
        every, first = (np.log(own / own.sum()) for own in counts)
        likely = {
            (events, term): Evidence(known, len(index), shrunk=events).likelihood(term, space.match(term))
            for events in EVENTS
            for term in crowd.usual
        }
        for own, at in zip(histories, part, strict=True):
            if at != fold or len(own) < HORIZON + LATER:
                continue
            targets = [index[item] for item in own[:HORIZON]]
            stated = list(crowd.liked(own[HORIZON:]).weights)
            held = sum(np.array([term in item for item in recommender.table.terms], float) for term in stated)
            items = {events: sum(np.log(likely[events, term]) for term in stated) for events in EVENTS}
            usual = TOGETHER / ASKED
            forms = {"popularity, all events": every, "popularity, first events": first}
            for label, base in (("all events", every), ("first events", first)):
                forms |= {f"{label} + {nats:g} nats": base + nats * held for nats in NATS}
                forms |= {f"{label}, items, {events:g}": base + usual * items[events] for events in EVENTS}
            forms |= {f"first events, together {count:g}": first + count / ASKED * items[SHRUNK] for count in COUNTS}
            for label, scores in forms.items():
                found.setdefault(label, []).append(ndcg(scores, targets))
    values = {label: np.array(own) for label, own in found.items()}
    table = {}
    for label, own in values.items():
        lead = bootstrap(own - values["popularity, first events"])
        table[label] = {"ndcg@10": float(own.mean()), "lead": [lead.low, lead.mean, lead.high]}
        print(f"{label:32s} {own.mean():.4f}  {lead.mean:+.4f} [{lead.low:+.4f}, {lead.high:+.4f}]")
    write_results(f"cold-choices-{name}", [], {"dataset": name, "users": len(own), "forms": table})
    return 0
