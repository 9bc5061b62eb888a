"""New users: what preferences and answers are worth to somebody of whom 0, 1, 2 or 3 events are known.

    python benchmarks/cold.py --dataset=ml-100k --part=users [--data_path=FOLDER] [--key=value]

A part of the users is drawn by the seed and withheld from all training. Of each, the first n events are the history,
the next HORIZON events are the targets, and what comes after these is the user's own taste, of which the targets are no
part. Every arm ranks the whole catalogue but for the history:

    nothing         the history alone; without one, popularity among the first events of training users
    preferences     three terms that the user's later items have more often than what everybody takes
    questions       three questions of `Recommender.ask`, each after the answer to the one before
    random          three terms drawn from those that `Recommender.ask` may choose from
    any term        three terms drawn from all that enough items have

A simulated user says yes to a term that the later items have more often than what everybody takes, and no otherwise.
Without events, popularity among all training events stands beside the arms. NDCG@10 is the mean over a user's targets,
intervals are over users.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cold_start.items import RUNS
from harness.common import Bar, write_results
from recbole_navigen.bars import tqdm
from recbole_navigen.config import Config
from recbole_navigen.config.locate import dataset_folder
from recbole_navigen.data import create_dataset
from recbole_navigen.data.histories import histories_of
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.quick_start import Recommender
from recbole_navigen.quick_start.run import finished_run
from recbole_navigen.serving.answers import Recommendation
from recbole_navigen.serving.popularity import training_counts
from recbole_navigen.serving.preferences import Preferences
from recbole_navigen.serving.questions import HOLDER_SHARE, HOLDERS, NO, YES, answerable, term_question

SHARE = 0.3  # of the users, withheld
EVENTS = (0, 1, 2, 3)
HORIZON, LATER = 10, 5  # targets, and events behind them that a user must have
ASKED = 3
CUT = 10
MOST = 600  # users that are measured at most
ARMS = ("nothing", "preferences", "questions", "random", "any term")


def withhold_users(source: Path, folder: Path, share: float, seed: int) -> set[str]:
    """Write a data set without some of its users, whose raw ids come back. Arguments: see `items.withhold`."""
    name = source.name
    header, *lines = (source / f"{name}.inter").read_text("utf-8").rstrip("\n").split("\n")
    user = [column.partition(":")[0] for column in header.split("\t")].index("user_id")
    users = sorted({line.split("\t")[user] for line in lines})
    drawn = np.random.default_rng(seed).permutation(len(users))[: max(1, round(share * len(users)))]
    withheld = {users[place] for place in drawn}
    kept = [line for line in lines if line.split("\t")[user] not in withheld]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.inter").write_text("".join(f"{line}\n" for line in [header, *kept]), "utf-8")
    shutil.copyfile(source / f"{name}.item", folder / f"{name}.item")
    return withheld


class Crowd:
    """What training users take, by term.

    Attributes:
        usual: term -> share of the training events whose items have it; of terms that enough items have.
    """

    def __init__(self, recommender: Recommender):
        self.terms = dict(zip(recommender.item_tokens, map(frozenset, recommender.table.terms), strict=True))
        counts = Counter(item for user in recommender.users for item in recommender.history_of(user))
        held = Counter(term for own in self.terms.values() for term in own)
        enough = max(HOLDERS, HOLDER_SHARE * len(self.terms))
        taken: Counter[str] = Counter()
        for item, count in counts.items():
            taken.update(dict.fromkeys(self.terms[item], count))
        self.usual = {term: taken[term] / counts.total() for term, items in held.items() if items >= enough}

    def gain(self, later: Sequence[str], term: str) -> float:
        """How much more often a user's later items have a term than what everybody takes."""
        return sum(term in self.terms[item] for item in later) / len(later) - self.usual[term]

    def liked(self, later: Sequence[str]) -> Preferences:
        """The terms with the greatest gains."""
        best = sorted(self.usual, key=lambda term: (-self.gain(later, term), term))[:ASKED]
        return Preferences(dict.fromkeys(best, 1.0))


def interviewed(
    recommender: Recommender, crowd: Crowd, history: Sequence[str], later: Sequence[str], seed: int | None
) -> Preferences:
    """What a simulated user states by the answers to three questions. seed: of random ones; None: the best ones."""
    draws = None if seed is None else np.random.default_rng(seed)
    stated, asked = Preferences(), []
    for _ in range(ASKED):
        if draws is None:
            questions = recommender.ask(history, stated, 1, asked=asked)
        else:
            chances, spoken = recommender.probabilities(history, stated), [one.about[0] for one in asked]
            known = sorted(answerable(chances, recommender._term_holders, spoken))
            drawn = [known[draws.integers(len(known))]] if known else []
            questions = [term_question(term, 0.0, 0.0) for term in drawn]
        if not questions:
            break
        asked += questions
        stated = stated + questions[0].preferences(YES if crowd.gain(later, questions[0].about[0]) > 0 else NO)
    return stated


def ndcg(best: Sequence[Any], targets: Sequence[str]) -> float:
    """Mean NDCG@10 of single targets."""
    places = {each.item: place for place, each in enumerate(best)}
    return float(np.mean([1 / np.log2(2 + places[target]) if target in places else 0.0 for target in targets]))


def measure(name: str, data_path: str, settings: dict[str, Any]) -> int:
    """The benchmark. settings: of the run, `seed` among them."""
    # 1. The run, and the users that it never saw.
    seed, source = settings["seed"], dataset_folder(data_path, name)
    smaller = RUNS / f"users-{seed}" / name
    withheld = withhold_users(source, smaller, SHARE, seed)
    run = finished_run(name, config_dict={**settings, "data_path": str(smaller.parent)})
    recommender = Recommender.load(run, device="cpu")
    config = Config("NaviGen", name, config_dict={"data_path": str(source.parent), "state": "ERROR"})
    known = set(recommender.item_tokens)
    whole = {
        user: [item for item in events if item in known]
        for user, events in histories_of(create_dataset(config)).items()
        if user in withheld
    }
    least = EVENTS[-1] + HORIZON + LATER
    users = [user for user, events in whole.items() if len(events) >= least][:MOST]
    crowd = Crowd(recommender)
    anything = sorted(crowd.usual)

    # 2. What is stated, and what it is worth.
    values = {arm: np.zeros((len(users), len(EVENTS))) for arm in ARMS}
    said_yes: dict[str, list[float]] = {"questions": [], "random": []}
    with tqdm(total=len(EVENTS) * len(users), desc="new users", unit=" interviews", ncols=100) as bar:
        for column, count in enumerate(EVENTS):
            stated: dict[str, list[Preferences]] = {arm: [] for arm in ARMS}
            for row, user in enumerate(users):
                events = whole[user]
                history, later = events[:count], events[count + HORIZON :]
                own = seed + 1000 * row + count
                drawn = np.random.default_rng(own).choice(anything, ASKED, replace=False).tolist()
                stated["nothing"].append(Preferences())
                stated["preferences"].append(crowd.liked(later))
                stated["questions"].append(interviewed(recommender, crowd, history, later, None))
                stated["random"].append(interviewed(recommender, crowd, history, later, own))
                answers = Preferences()
                for term in drawn:
                    question = term_question(term, 0.0, 0.0)
                    answers = answers + question.preferences(YES if crowd.gain(later, term) > 0 else NO)
                stated["any term"].append(answers)
                for arm, said in said_yes.items():
                    said += [float(weight > 0) for weight in stated[arm][-1].weights.values()]
                bar.update()
            histories = [whole[user][:count] for user in users]
            for arm in ARMS:
                found = recommender.recommend_all(histories, CUT, exclude_history=True, preferences=stated[arm])
                targets = [whole[user][count : count + HORIZON] for user in users]
                values[arm][:, column] = [ndcg(best, own) for best, own in zip(found, targets, strict=True)]

    # 3. Bars.
    counts = training_counts(map(recommender.history_of, recommender.users))
    most = [Recommendation(item, (), None, None, None) for item in sorted(counts, key=lambda one: (-counts[one], one))]
    usual = np.array([ndcg(most[:CUT], whole[user][:HORIZON]) for user in users])
    lead = bootstrap(values["nothing"][:, 0] - usual)
    text = f"NDCG@10, first events - all events, 0 events, interval {lead.low:.4f} to {lead.high:.4f}"
    bars = [Bar(text, lead.mean, "above 0", lead.low > 0)]
    for better, worse in (("preferences", "nothing"), ("questions", "nothing"), ("questions", "random")):
        for label, own in (
            *((f"{count} events", values[better][:, i] - values[worse][:, i]) for i, count in enumerate(EVENTS)),
            ("mean of these", (values[better] - values[worse]).mean(axis=1)),
        ):
            lead = bootstrap(own)
            text = f"NDCG@10, {better} - {worse}, {label}, interval {lead.low:.4f} to {lead.high:.4f}"
            bars.append(Bar(text, lead.mean, "above 0", lead.low > 0))
    details = {
        "dataset": name,
        "users": len(users),
        "targets": HORIZON,
        "questions": ASKED,
        "ndcg@10": {
            arm: dict(zip(map(str, EVENTS), own.mean(axis=0).tolist(), strict=True)) for arm, own in values.items()
        },
        "popularity of all events": float(usual.mean()),
        "said yes": {arm: float(np.mean(answers)) for arm, answers in said_yes.items()},
    }
    write_results(f"cold-users-{name}", bars, details)
    return 0
