"""Which item an instruction should be for: rules compared on validation items, before any writer.

    python benchmarks/aims.py [--dataset=ml-100k] [--data_path=FOLDER] [--users=1000] [--key=value]

Each user's history ends before the validation item, which is the target. A rule takes one of the 50 items that the
ranking model of `quality.py` holds most probable; the user's last item stands beside them. An item's instruction is
that of the template teacher, the mean of its three founders' sentence embeddings (all-MiniLM-L6-v2, which no rule
sees), so that what a draft happens to show is evened out. A gap is own target minus the targets of 20 other users;
intervals are paired over users (bootstrap, 95%).

    ranked first          the most probable item
    expected F1           sum_j p_j F1(i, j): minimum Bayes risk
    expected agreement    the same for u = F1 + cosine of terms, see `identifiers.agreement`
    gain                  the same less the mean u with the catalogue: the default
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from common import Bar, write_results
from instructions import held_out_users
from quality import ranking_run

from recbole_navigen.config import Config
from recbole_navigen.config.reading import parse_argv
from recbole_navigen.data import create_dataset, read_item_text
from recbole_navigen.encoders.sentences import SentenceSpace, packaged_encoder
from recbole_navigen.evaluation.instruction_scores import mismatched
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.quick_start import Recommender
from recbole_navigen.serving.agreement import Agreement
from recbole_navigen.serving.recommender import POOL
from recbole_navigen.supervision.interfaces import FOUNDERS, Order, Sample, Task
from recbole_navigen.supervision.settings import settings_of
from recbole_navigen.supervision.template.template_teacher import TemplateTeacher
from recbole_navigen.supervision.template.term_space import TermSpace

LAST, FIRST, F1, AGREEMENT, GAIN = "last item", "ranked first", "expected F1", "expected agreement", "gain"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--users", type=int, default=1000, help="at most so many, spread evenly")
    arguments, argv = parser.parse_known_args()
    folder, settings = ranking_run(arguments.dataset, parse_argv(argv))
    config = Config("NaviGen", arguments.dataset, config_dict=settings)
    model = Recommender.load(folder)
    terms, place_of = model.table.terms, {token: place for place, token in enumerate(model.table.item_tokens)}

    # 1. Histories, targets, and what each rule takes.
    _, whole, _, _ = held_out_users(model, arguments.users)
    histories, targets = [items[:-1] for items in whole], np.array([place_of[items[-1]] for items in whole])
    tops = model.recommend_all(histories, POOL, exclude_history=True)
    pools = [np.array([place_of[item.item] for item in top]) for top in tops]
    weights = [np.array([item.probability for item in top]) for top in tops]
    space = TermSpace(terms)
    vectors = space.encode([" ".join(item) for item in terms])
    agreement, only_terms = Agreement(terms, vectors), Agreement(terms, np.zeros((len(terms), 1)))
    chosen = {LAST: np.array([place_of[items[-1]] for items in histories])}
    for rule, values in {
        FIRST: lambda items, share: share,
        F1: lambda items, share: only_terms.between(items, items) @ share,
        AGREEMENT: lambda items, share: agreement.between(items, items) @ share,
        GAIN: agreement.gains,
    }.items():
        found = [values(items, share / share.sum()) for items, share in zip(pools, weights, strict=True)]
        chosen[rule] = np.array([items[value.argmax()] for items, value in zip(pools, found, strict=True)])

    # 2. Instructions of all items that come up, and the gaps of what was chosen.
    sentences = SentenceSpace(packaged_encoder())
    texts = read_item_text(config, create_dataset(config)).text[1:]
    target_vectors = sentences([texts[item] for item in targets])
    asked = np.unique(np.concatenate([*chosen.values(), targets]))
    written = _instructions(asked, terms, TemplateTeacher(space), settings_of(config)["domain"], sentences)
    gaps: dict[str, dict[str, np.ndarray]] = {}
    for rule, items in {**chosen, "target itself": targets}.items():
        shown = written[np.searchsorted(asked, items)]
        gaps[rule] = {
            "target similarity": _gap(
                lambda others, shown=shown: (shown * target_vectors[others]).sum(axis=1), targets
            ),
            "TID F1": _gap(
                lambda others, items=items: np.array(
                    [only_terms.between(items[[row]], targets[[other]])[0, 0] for row, other in enumerate(others)]
                ),
                targets,
            ),
        }

    # 3. The table and what must hold.
    table = {
        rule: {f"{name}, gap": str(bootstrap(values)) for name, values in row.items()} for rule, row in gaps.items()
    }
    bars = []
    for name in ("target similarity", "TID F1"):
        for rule in (FIRST, F1, AGREEMENT, GAIN):
            more = bootstrap(gaps[rule][name] - gaps[LAST][name])
            table[rule][f"{name}, gap - that of the last item"] = str(more)
            if rule == GAIN:
                bars.append(Bar(f"{name}: gain - last item, low end", more.low, "above 0", more.low > 0))
    write_results(f"aims-{arguments.dataset}", bars, {"users": len(targets), "table": table})


def _instructions(
    items: np.ndarray, terms: Sequence[Sequence[str]], teacher: TemplateTeacher, domain: str, sentences: SentenceSpace
) -> np.ndarray:
    """Mean sentence embedding of each item's founders, (items, D); without a founder, 0."""
    samples = [Sample("", (), tuple(terms[item]), domain) for item in items]
    drafts = teacher.write([Task(sample, tuple(map(Order, FOUNDERS))) for sample in samples])
    prompts = [[] if own is None else [draft.prompt for draft in own] for own in drafts]
    vectors = sentences([prompt for own in prompts for prompt in own])
    means, begin = np.zeros((len(items), vectors.shape[1])), 0
    for row, own in enumerate(prompts):
        if own:
            means[row] = vectors[begin : begin + len(own)].mean(axis=0)
        begin += len(own)
    return means


def _gap(values: Callable[[np.ndarray], np.ndarray], targets: np.ndarray) -> np.ndarray:
    """Values with one's own target less the mean with those of other users. (B,)."""
    control = np.mean([values(others) for others in mismatched([""] * len(targets))], axis=0)
    return values(np.arange(len(targets))) - control


if __name__ == "__main__":
    main()
