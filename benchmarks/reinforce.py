"""What reinforcement does to ranking and to instructions, what its parts are worth, and how fast it rolls out.

    python benchmarks/reinforce.py [--dataset=ml-100k] [--data_path=FOLDER] [--seeds=3] [--users=500] [--variants=...]

Each seed is supervised once (align, finetune, write), the ranking model being the one of `quality.py`, if it has run;
every variant goes on from a copy of that run. Ranking is the
test NDCG@10 of all users. Instructions are written for the last items of `--users` test users, which no training saw,
and scored by sentence embeddings that no reward uses (all-MiniLM-L6-v2, extra `offline`). Differences to the supervised
model are paired over users; seeds are pooled. Variants:

    prefix            the default
    paper             the released reward
    no triangle       the default without self-consistency
    released bugs     the default, learned as the released loop does (`released_bugs.py`)

What does not validate better is not kept (`kept` tells), so a variant can lose nothing on validation by construction.
"""

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from beam_baselines import dictionary_trie, flat_tokens, plain_causal_lm
from common import Bar, write_results
from quality import ranking_run
from released_bugs import with_bugs

from recbole_navigen.artefacts import read_json, write_json
from recbole_navigen.config import Config
from recbole_navigen.data import create_dataset, data_preparation, read_item_text
from recbole_navigen.evaluation.instructions import InstructionScores, score_instructions
from recbole_navigen.evaluation.ranks import ndcg, searched_ranks
from recbole_navigen.evaluation.similarity import SentenceSpace, cosines, packaged_encoder
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.language.parsing import parse_answer
from recbole_navigen.language.tags import MEDIA
from recbole_navigen.model.sampling import sample
from recbole_navigen.quick_start import Recommender
from recbole_navigen.quick_start.pipeline import load_navigen
from recbole_navigen.quick_start.reinforcing import DONE, reinforce
from recbole_navigen.quick_start.stages import Stages
from recbole_navigen.quick_start.writing import add_writer
from recbole_navigen.settings import parse_argv
from recbole_navigen.training.sft import NaviGenTrainer

RUNS = Path(__file__).resolve().parent / "runs" / "reinforce"
VARIANTS: dict[str, tuple[dict[str, Any], Any]] = {
    "prefix": ({}, None),
    "paper": ({"reward": "paper"}, None),
    "no triangle": ({"triangle": False}, None),
    "released bugs": ({}, with_bugs),
}
LEAST_DIVERSITY, FASTER = 0.95, 5.0
GROUP, ROLLOUT_USERS = 8, 32


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    arguments, argv = parser.parse_known_args()
    settings = parse_argv(argv)
    space = SentenceSpace(packaged_encoder())

    # 1. Measurements: variant -> seed -> values a user.
    found: dict[str, list[dict[str, Any]]] = {}
    rollouts = None
    for seed in range(2020, 2020 + arguments.seeds):
        base, own = ranking_run(arguments.dataset, {**settings, "seed": seed})
        add_writer(Config("NaviGen", arguments.dataset, config_dict=own), base)
        found.setdefault("supervised", []).append(_measured(base, arguments, own, space))
        rollouts = rollouts or _rollouts(base, arguments.dataset, own)
        for name in arguments.variants.split(","):
            folder = _reinforced(base, name, arguments.dataset, own)
            found.setdefault(name, []).append(_measured(folder, arguments, own, space))

    # 2. The table, and what must hold.
    table = {name: _row(runs, found["supervised"]) for name, runs in found.items()}
    table["rollouts"] = {name: f"{value:.1f}" for name, value in rollouts.items()}
    bars = _bars(found) if "prefix" in found else []
    faster = rollouts["samples/s, ours"] / rollouts["samples/s, generate"]
    bars.append(
        Bar("item rollouts / generate with a prefix function, samples/s", faster, "at least 5", faster >= FASTER)
    )
    write_results(f"reinforce-{arguments.dataset}", bars, {"seeds": arguments.seeds, "table": table})


def _reinforced(base: Path, variant: str, dataset: str, settings: dict) -> Path:
    """Folder of a variant that went on from a run; kept."""
    folder = RUNS / "variants" / f"{base.name}-{variant.replace(' ', '-')}"
    if (folder / DONE).exists():
        return folder
    if not folder.exists():
        shutil.copytree(base, folder)
    changes, bugs = VARIANTS[variant]
    reinforcement = {**settings.get("reinforce", {}), **changes}
    config = Config("NaviGen", dataset, config_dict={**settings, "reinforce": reinforcement})
    config["run_dir"] = str(folder)
    data = create_dataset(config)
    train_data, valid_data, _ = data_preparation(config, data)
    part = train_data._dataset
    trainer = NaviGenTrainer(config, load_navigen(config, part, folder))
    trainer.eval_collector.data_collect(train_data)
    stages, start = Stages(), time.perf_counter()
    more = {} if bugs is None else {"variant": bugs}
    reinforce(config, trainer, data, part, valid_data, stages, **more)
    write_json(folder / "variant.json", {"minutes": (time.perf_counter() - start) / 60})
    return folder


def _measured(folder: Path, arguments: argparse.Namespace, settings: dict, space: SentenceSpace) -> dict[str, Any]:
    """Test ranks of a run and scores of its instructions, user by user; kept in its folder."""
    config = Config("NaviGen", arguments.dataset, config_dict=settings)
    dataset = create_dataset(config)
    train_data, _, test_data = data_preparation(config, dataset)
    model = load_navigen(config, train_data._dataset, folder)
    rank, unseen = searched_ranks(model, test_data, 20)
    recommender = Recommender.load(folder)
    known = [user for user in recommender.users if len(recommender.history_of(user)) >= 3]
    users = known[:: -(-len(known) // arguments.users)]
    histories = [recommender.history_of(user)[:-1] for user in users]
    targets = [recommender.history_of(user)[-1] for user in users]
    texts = dict(zip(model.table.item_tokens, read_item_text(config, dataset).text[1:], strict=True))
    terms = dict(zip(model.table.item_tokens, model.table.terms, strict=True))
    media = [MEDIA[place % 2] for place in range(len(users))]
    written = recommender.instruct(histories, media, temperature=1.0, top_p=1.0, seed=7)
    answers = [row.answer for row in written]
    wanted = [texts[item] for item in targets]
    own = [terms[item] for item in targets]
    scores: InstructionScores = score_instructions(answers, own, wanted, wanted, space, media)
    parsed = [parse_answer(answer) for answer in answers]
    own_terms = space([", ".join(answer.target_tid) for answer in parsed])
    consistency = cosines(space([answer.target_ins for answer in parsed]), own_terms)
    chosen = space([", ".join(row.recommended.terms) for row in written])
    outcome = folder / DONE
    return {
        "ndcg, all items": ndcg(rank, 10),
        "ndcg, unseen items": ndcg(unseen, 10),
        "target similarity": scores.values["target_similarity"],
        "target similarity, gap": scores.gap("target_similarity"),
        "similarity to the item it is for": cosines(space([answer.target_ins for answer in parsed]), chosen),
        "self-consistency": consistency,
        "valid": scores.values["valid"],
        "copy rate": scores.values["copy_rate"],
        "diversity": scores.diversity["distinct_2"],
        "kept": read_json(outcome) if outcome.exists() else {},
        "minutes": read_json(folder / "variant.json")["minutes"] if (folder / "variant.json").exists() else 0.0,
    }


def _pooled(runs: list[dict[str, Any]], name: str) -> np.ndarray:
    """Values a user, averaged over seeds."""
    return np.mean([run[name] for run in runs], axis=0)


PER_USER = (
    *("ndcg, all items", "ndcg, unseen items", "target similarity", "target similarity, gap"),
    *("similarity to the item it is for", "self-consistency", "valid", "copy rate"),
)


def _row(runs: list[dict[str, Any]], supervised: list[dict[str, Any]]) -> dict[str, str]:
    row = {}
    for name in PER_USER:
        ours, theirs = _pooled(runs, name), _pooled(supervised, name)
        row[name] = str(bootstrap(ours))
        if runs is not supervised:
            row[f"{name}, change"] = str(bootstrap(ours - theirs))
    row["distinct-2"] = f"{np.mean([run['diversity'] for run in runs]):.4f}"
    row["kept"] = "; ".join(
        ", ".join(f"{task} {'yes' if outcome['kept'] else 'no'}" for task, outcome in run["kept"].items())
        for run in runs
    )
    row["minutes"] = f"{np.mean([run['minutes'] for run in runs]):.1f}"
    return row


def _bars(found: dict[str, list[dict[str, Any]]]) -> list[Bar]:
    ours, theirs = found["prefix"], found["supervised"]
    bars = []
    for name in ("ndcg, all items", "ndcg, unseen items"):
        after, before = (float(_pooled(runs, name).mean()) for runs in (ours, theirs))
        bars.append(Bar(f"{name}: after / before", after / before, "at least 1", after >= before))
    for name in ("target similarity", "self-consistency"):
        change = bootstrap(_pooled(ours, name) - _pooled(theirs, name))
        bars.append(Bar(f"{name}: change, low end", change.low, "above 0", change.low > 0))
    valid = float(_pooled(ours, "valid").mean())
    bars.append(Bar("valid answers", valid, "1", valid == 1.0))
    diversity = np.mean([run["diversity"] for run in ours]) / np.mean([run["diversity"] for run in theirs])
    bars.append(Bar("distinct-2: after / before", float(diversity), "at least 0.95", diversity >= LEAST_DIVERSITY))
    return bars


@torch.no_grad()
def _rollouts(folder: Path, dataset: str, settings: dict) -> dict[str, float]:
    """Samples a second of drawn items, by our sampler and by `generate` with a prefix function, in one run."""
    config = Config("NaviGen", dataset, config_dict=settings)
    train_data, _, test_data = data_preparation(config, create_dataset(config))
    model = load_navigen(config, train_data._dataset, folder)
    lm, batch = model.lm, next(iter(test_data))[0][:ROLLOUT_USERS]
    rendered = model.history(batch)
    plain, trie = plain_causal_lm(lm), dictionary_trie(lm)
    tokens, mask = flat_tokens(plain, rendered)
    width = tokens.shape[1]

    def generate() -> None:
        plain.model.generate(
            input_ids=tokens,
            attention_mask=mask,
            max_new_tokens=lm.levels,
            min_new_tokens=lm.levels,
            do_sample=True,
            top_k=0,
            num_return_sequences=GROUP,
            renormalize_logits=True,
            pad_token_id=0,
            eos_token_id=None,
            prefix_allowed_tokens_fn=lambda _, sequence: trie.get(tuple(sequence[width:].tolist()), [0]),
        )

    seconds = {}
    for name, roll in (("ours", lambda: sample(model.scorer, rendered, GROUP)), ("generate", generate)):
        roll()
        times = []
        for _ in range(5):
            start = time.perf_counter()
            roll()
            times.append(time.perf_counter() - start)
        seconds[f"samples/s, {name}"] = ROLLOUT_USERS * GROUP / sorted(times)[2]
    return seconds


if __name__ == "__main__":
    main()
