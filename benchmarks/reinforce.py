"""What reinforcement does to ranking and to instructions, what its parts are worth, and how fast it rolls out.

    python benchmarks/reinforce.py [--dataset=ml-100k] [--data_path=FOLDER] [--seeds=3] [--supervised=N] [--users=500]
        [--variants=...]

Each seed is supervised once (align, finetune, write), the ranking model being the one of `quality.py`, if it has run;
every variant goes on from a copy of that run. With fewer supervised runs than seeds (`--supervised`), seeds take turns
in going on from them, and differ in what reinforcement draws. Ranking is the test NDCG@10 of all users. Instructions
are written for the last items of `--users` test users, which no training saw, and scored by sentence embeddings that no
reward uses (all-MiniLM-L6-v2, extra `offline`). Differences are paired over users; seeds are pooled. Variants:

    prefix            the default
    paper             the released reward
    no triangle       the default without self-consistency
    no novelty        the default without what a sample says that no other does
    released bugs     learned as released (`baselines/released_bugs.py`); next items with decoder: tokens alone

What does not validate better is not kept (`kept` tells), so a variant loses nothing on validation by construction. What
it would have done stands beside it: `last weights` are those of the last step, whatever they are worth.

Folders are named by what they were made from: settings, weights and code. A benchmark that was stopped goes on with the
next part, and one whose code has changed begins anew.
"""

import argparse
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from baselines.beams import dictionary_trie, flat_tokens, plain_causal_lm
from baselines.released_bugs import with_bugs
from harness.common import Bar, part, write_results
from harness.ranking_runs import ranking_run
from instructions import held_out_users
from recbole_navigen.artefacts import MANIFEST, atomic_directory, content_hash, file_hash, read_json
from recbole_navigen.config import Config
from recbole_navigen.config.reading import parse_argv
from recbole_navigen.config.reinforcement import STAGES, reinforce_settings
from recbole_navigen.data import create_dataset, data_preparation, read_item_text
from recbole_navigen.encoders.sentences import SentenceSpace, cosines, packaged_encoder
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.instruction_scores import InstructionScores, score_instructions
from recbole_navigen.evaluation.ranks import full_sort_ranks, ndcg
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.language.answer import parse_answer
from recbole_navigen.pipeline.reinforce import reinforce, save_learned
from recbole_navigen.pipeline.supervision import supervision_stage
from recbole_navigen.pipeline.write import add_writer
from recbole_navigen.quick_start import Recommender
from recbole_navigen.reinforcement.grpo import Learner
from recbole_navigen.reinforcement.policies import InstructionPolicy, ItemPolicy
from recbole_navigen.reinforcement.rewards import TermScorer
from recbole_navigen.runs.layout import REINFORCED, WRITER
from recbole_navigen.runs.load import load_navigen, load_writer
from recbole_navigen.runs.stages import Stages
from recbole_navigen.training.instruction_rows import InstructionRows
from recbole_navigen.training.sft import NaviGenTrainer

HERE = Path(__file__).resolve().parent
RUNS = HERE / "runs" / "reinforce"
CODE = ("instructions.py", "baselines/released_bugs.py")  # beside this file, what a measurement runs through
VARIANTS: dict[str, tuple[dict[str, Any], Any]] = {
    "prefix": ({}, None),
    "paper": ({"reward": "paper"}, None),
    "no triangle": ({"triangle": False}, None),
    "no novelty": ({"weights": {"novel": 0}}, None),
    "released bugs": ({}, with_bugs),
}
PAIRS = (("prefix", "paper"), ("prefix", "no triangle"), ("prefix", "no novelty"), ("prefix", "released bugs"))
LAST = "{}, last weights"
MEASURED = "measured"
LATER = ("training_stages", "reinforce")  # settings that the ranking model does not depend on
PER_USER = (
    *("ndcg, all items", "ndcg, unseen items", "target similarity", "target similarity, gap"),
    *("similarity to the item it is for", "self-consistency", "valid", "copy rate"),
)
LEAST_DIVERSITY, FASTER = 0.95, 5.0
FIRST_SEED = 2020
GROUP, ROLLOUT_USERS, ROLLOUT_TEXTS = 8, 32, 4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--supervised", type=int, help="so many supervised runs; one for each seed if left out")
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    arguments, argv = parser.parse_known_args()
    settings = {**parse_argv(argv), "training_stages": list(STAGES)}
    if reinforce_settings(settings.get("reinforce"))["lora_rank"]:
        raise InputError("this benchmark keeps last weights as they stand, which adapters are no part of; lora_rank: 0")
    space = SentenceSpace(packaged_encoder())

    # 1. Measurements: variant -> seed -> values a user.
    found: dict[str, list[dict[str, Any]]] = {}
    rollouts = None
    for place in range(arguments.seeds):
        run = place % (arguments.supervised or arguments.seeds)
        base, own = _supervised(arguments.dataset, {**settings, "seed": FIRST_SEED + run})
        supervised = _measured(base, arguments, own, space)
        found.setdefault("supervised", []).append(supervised)
        rollouts = rollouts or _rollouts(base, arguments.dataset, own)
        for name in arguments.variants.split(","):
            kept, last = _reinforced(base, name, arguments.dataset, {**own, "seed": FIRST_SEED + place})
            outcome = read_json(kept / REINFORCED)
            told = {"kept": outcome["tasks"], "minutes": outcome["seconds"] / 60}
            # A run that kept nothing is the supervised one.
            improved = any(task["kept"] for task in outcome["tasks"].values())
            values = _measured(kept, arguments, own, space) if improved else supervised
            found.setdefault(name, []).append({**values, **told})
            found.setdefault(LAST.format(name), []).append(_measured(last, arguments, own, space))

    # 2. The table, and what must hold.
    table = {name: _row(runs, found["supervised"]) for name, runs in found.items()}
    for ours, theirs in PAIRS:
        if {ours, theirs} <= found.keys():
            for form in ("{}", LAST):
                pair = [found[form.format(name)] for name in (ours, theirs)]
                table[form.format(f"{ours} - {theirs}")] = _changes(*pair)
    table["rollouts"] = {name: f"{value:.1f}" for name, value in rollouts.items()}
    bars = _bars(found) if "prefix" in found else []
    faster = rollouts["items/s, as in training"] / rollouts["items/s, generate"]
    bars.append(
        Bar("item rollouts / generate with a prefix function, samples/s", faster, "at least 5", faster >= FASTER)
    )
    runs = arguments.supervised or arguments.seeds
    told = {"seeds": arguments.seeds, "supervised runs": min(runs, arguments.seeds), "table": table}
    write_results(f"reinforce-{arguments.dataset}", bars, told)


def _code() -> str:
    """Hash of all code that a measurement runs through."""
    files = sorted([*(HERE.parent / "recbole_navigen").rglob("*.py"), *(HERE / name for name in CODE), Path(__file__)])
    return content_hash({str(file.relative_to(HERE.parent)): file_hash(file) for file in map(Path.resolve, files)})


def _copy(source: Path, folder: Path) -> None:
    """A copy of a run, whole or not at all, unless it is there; what was measured of the run is not the copy's."""
    if not folder.exists():
        with atomic_directory(folder) as new:
            shutil.copytree(source, new, dirs_exist_ok=True, ignore=shutil.ignore_patterns(f"{MEASURED}-*"))


def _supervised(dataset: str, settings: dict) -> tuple[Path, dict[str, Any]]:
    """Folder and settings of a run with a writer that reinforcement can be validated beside; kept."""
    ranking, own = ranking_run(dataset, {name: value for name, value in settings.items() if name not in LATER})
    own |= {name: settings[name] for name in LATER if name in settings}
    config = Config("NaviGen", dataset, config_dict=own)
    given = content_hash(file_hash(ranking / "checkpoint" / MANIFEST), config.settings_hash(("reinforce",)), _code())
    folder = RUNS / "supervised" / f"{ranking.name}-{given[:12]}"
    _copy(ranking, folder)
    add_writer(config, folder)
    return folder, own


def _reinforced(base: Path, variant: str, dataset: str, settings: dict) -> tuple[Path, Path]:
    """Folders of a variant that went on from a run, with what was kept and with the last weights."""
    changes, bugs = VARIANTS[variant]
    reinforcement = {**settings.get("reinforce", {}), **changes}
    drawn = (reinforce_settings(reinforcement), settings.get("seed"))
    given = content_hash(variant, *drawn, file_hash(base / WRITER / MANIFEST), _code())
    folder = RUNS / "variants" / f"{base.name}-{variant.replace(' ', '-')}-{given[:12]}"
    last = folder.with_name(f"{folder.name}-last")
    if (folder / REINFORCED).exists():
        return folder, last
    _copy(base, folder)
    config, _, (train_data, valid_data, _) = _opened(dataset, {**settings, "reinforce": reinforcement})
    config["run_dir"] = str(folder)
    trainer = NaviGenTrainer(config, load_navigen(config, train_data._dataset, folder))
    trainer.eval_collector.data_collect(train_data)

    def ended(learners: Sequence[Learner]) -> None:
        _copy(base, last)
        for learner in learners:
            save_learned(last, learner.policy, trainer, valid_data)

    more = {} if bugs is None else {"variant": bugs}
    reinforce(config, trainer, train_data._dataset, valid_data, Stages(), ended=ended, **more)
    return folder, last


def _opened(dataset: str, settings: dict) -> tuple[Config, Any, tuple]:
    """Settings, data set and its three parts."""
    config = Config("NaviGen", dataset, config_dict=settings)
    data = create_dataset(config)
    return config, data, data_preparation(config, data)


def _measured(folder: Path, arguments: argparse.Namespace, settings: dict, space: SentenceSpace) -> dict[str, Any]:
    """Test ranks of a run and scores of its instructions, user by user; kept in its folder."""
    file = folder / f"{MEASURED}-{arguments.users}-{_code()[:12]}.json"
    return part(file, lambda: _measure(folder, arguments, settings, space))


def _measure(folder: Path, arguments: argparse.Namespace, settings: dict, space: SentenceSpace) -> dict[str, Any]:
    config, dataset, (train_data, _, test_data) = _opened(arguments.dataset, settings)
    model = load_navigen(config, train_data._dataset, folder)
    rank, unseen = full_sort_ranks(model, test_data)
    recommender = Recommender.load(folder)
    _, histories, targets, media = held_out_users(recommender, arguments.users)
    texts = dict(zip(model.table.item_tokens, read_item_text(config, dataset).text[1:], strict=True))
    terms = dict(zip(model.table.item_tokens, model.table.terms, strict=True))
    # As in training: all that is chosen is the policy's own choice; a plan's terms are told.
    own_words = {"temperature": 1.0, "top_p": 1.0, "drafts": 1, "free_terms": recommender.author.planner is None}
    written = recommender.instruct(histories, media, seed=7, **own_words)
    answers = [row.answer for row in written]
    wanted = [texts[item] for item in targets]
    own = [terms[item] for item in targets]
    scores: InstructionScores = score_instructions(answers, own, wanted, wanted, space, media)
    parsed = [parse_answer(answer) for answer in answers]
    own_terms = space([", ".join(answer.target_tid) for answer in parsed])
    consistency = cosines(space([answer.target_ins for answer in parsed]), own_terms)
    chosen = space([", ".join(row.aim.terms) for row in written])
    per_user = {
        "ndcg, all items": ndcg(rank, 10),
        "ndcg, unseen items": ndcg(unseen, 10),
        "target similarity": scores.values["target_similarity"],
        "target similarity, gap": scores.gap("target_similarity"),
        "similarity to the item it is for": cosines(space([answer.target_ins for answer in parsed]), chosen),
        "self-consistency": consistency,
        "valid": scores.values["valid"],
        "copy rate": scores.values["copy_rate"],
    }
    return {**{name: per_user[name].tolist() for name in PER_USER}, "diversity": scores.diversity["distinct_2"]}


def _pooled(runs: list[dict[str, Any]], name: str) -> np.ndarray:
    """Values a user, averaged over seeds."""
    return np.mean([run[name] for run in runs], axis=0)


def _changes(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> dict[str, str]:
    """Differences with their intervals, paired over users."""
    return {name: str(bootstrap(_pooled(ours, name) - _pooled(theirs, name))) for name in PER_USER}


def _row(runs: list[dict[str, Any]], supervised: list[dict[str, Any]]) -> dict[str, str]:
    row = {name: str(bootstrap(_pooled(runs, name))) for name in PER_USER}
    if runs is not supervised:
        row |= {f"{name}, change": value for name, value in _changes(runs, supervised).items()}
    row["distinct-2"] = f"{np.mean([run['diversity'] for run in runs]):.4f}"
    if "kept" in runs[0]:
        row["kept"] = "; ".join(_kept(runs, task) for task in runs[0]["kept"])
        row["minutes"] = f"{np.mean([run['minutes'] for run in runs]):.1f}"
    return row


def _kept(runs: list[dict[str, Any]], task: str) -> str:
    return f"{task} kept in {sum(run['kept'][task]['kept'] for run in runs)} of {len(runs)} seeds"


def _bars(found: dict[str, list[dict[str, Any]]]) -> list[Bar]:
    ours, theirs = found["prefix"], found["supervised"]
    items, texts = (f" ({_kept(ours, task)})" if task in ours[0]["kept"] else "" for task in ("cid2cid", "cid2ins"))
    bars = []
    for name in ("ndcg, all items", "ndcg, unseen items"):
        after, before = (float(_pooled(runs, name).mean()) for runs in (ours, theirs))
        bars.append(Bar(f"{name}: after / before{items}", after / before, "at least 1", after >= before))
    for name in ("target similarity", "self-consistency"):
        change = bootstrap(_pooled(ours, name) - _pooled(theirs, name))
        bars.append(Bar(f"{name}: change, low end{texts}", change.low, "above 0", change.low > 0))
    valid = float(_pooled(ours, "valid").mean())
    bars.append(Bar("valid answers", valid, "1", valid == 1.0))
    diversity = float(np.mean([run["diversity"] for run in ours]) / np.mean([run["diversity"] for run in theirs]))
    bars.append(Bar(f"distinct-2: after / before{texts}", diversity, "at least 0.95", diversity >= LEAST_DIVERSITY))
    return bars


@torch.no_grad()
def _rollouts(folder: Path, dataset: str, settings: dict) -> dict[str, float]:
    """Samples a second in one run: items as training rolls them out, and by `generate` with a prefix function; and
    instructions.
    """
    config, _, (train_data, _, test_data) = _opened(dataset, settings)
    model, sequences = load_navigen(config, train_data._dataset, folder), train_data._dataset.sequences
    lm, batch = model.lm, next(iter(test_data))[0][:ROLLOUT_USERS]
    rendered = model.history(batch)
    plain, trie = plain_causal_lm(lm), dictionary_trie(lm)
    tokens, mask = flat_tokens(plain, rendered)
    width = tokens.shape[1]
    moments, draws = torch.Generator().manual_seed(0), torch.Generator(model.device).manual_seed(0)
    items = ItemPolicy(model, sequences, "prefix")
    written = load_writer(folder, lm, model.table)
    author, renderer, own = written.model, written.renderer, written.settings
    rows = supervision_stage(config, train_data._dataset, model.table, Stages())
    limits = (model.max_seq_length, own["think_share"], own["choose_item"])
    rows = InstructionRows(rows, sequences, renderer, *limits, written.planner)
    texts = InstructionPolicy(author, renderer, rows, model.table.terms, TermScorer(), "prefix")

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

    timed: dict[str, tuple[int, Callable[[], Any]]] = {
        "items/s, as in training": (ROLLOUT_USERS, lambda: items.roll(ROLLOUT_USERS, GROUP, moments, draws)),
        "items/s, generate": (ROLLOUT_USERS, generate),
        "instructions/s, as in training": (ROLLOUT_TEXTS, lambda: texts.roll(ROLLOUT_TEXTS, GROUP, moments, draws)),
    }
    speeds = {}
    for name, (prompts, roll) in timed.items():
        roll()
        times = []
        for _ in range(5):
            start = time.perf_counter()
            roll()
            times.append(time.perf_counter() - start)
        speeds[name] = prompts * GROUP / sorted(times)[2]
    return speeds


if __name__ == "__main__":
    main()
