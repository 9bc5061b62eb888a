"""Supervision of a data set with the template teacher: seconds, and what the evolutionary search gains.

    python benchmarks/supervision.py [--dataset=ml-100k] [--users=1000] [--seeds=5] [--data_path=FOLDER]

The whole supervision is that of a run with the defaults, several moments a user. What the search gains is measured on
one moment of each of at most --users users, with four instructions: one shot (the balanced founder), the best founder,
the released search (three drafts, one round; terms are found as words here too, so that scores compare), and the full
search, whose founders the first two are. Each is scored by the search's own judge and by one that the search never saw:
the cosine between the sentence embeddings (all-MiniLM-L6-v2, extra `offline`) of the instruction and of the target
item's text. A control gives the held-out judge another user's target. Scores are means over the seeds of the teacher,
differences are paired over users (bootstrap, 95%). Defaults of the search were chosen with other seeds than these, from
100 on.
"""

import argparse
import time

import numpy as np

from harness.common import Bar, write_results
from recbole_navigen.config import Config
from recbole_navigen.config.teachers import supervision_settings
from recbole_navigen.data import create_dataset, data_preparation, read_item_text
from recbole_navigen.encoders.sentences import SentenceSpace, packaged_encoder
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.identifiers.terms import extract_terms
from recbole_navigen.pipeline.supervision import facts_of, planner_of
from recbole_navigen.supervision.evolution import SearchSettings, evolve
from recbole_navigen.supervision.rows import samples_of, supervise
from recbole_navigen.supervision.settings import settings_of
from recbole_navigen.supervision.template.judge import TemplateJudge
from recbole_navigen.supervision.template.reasoner import TemplateReasoner
from recbole_navigen.supervision.template.template_teacher import TemplateTeacher
from recbole_navigen.supervision.template.term_space import TermSpace

SECONDS = 120.0
RELEASED = SearchSettings(population=3, rounds=1, patience=0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data_path", default="dataset/")
    parser.add_argument("--seeds", type=int, default=5, help="of the template teacher; scores are averaged over them")
    parser.add_argument("--users", type=int, default=1000, help="at most so many, spread evenly")
    arguments = parser.parse_args()
    defaults = supervision_settings()
    domain = defaults.domains.get(arguments.dataset, "generic")
    settings = {"data_path": arguments.data_path, "show_progress": False, "state": "WARNING"}
    config = Config("NaviGen", arguments.dataset, config_dict=settings)
    dataset = create_dataset(config)
    train, _, _ = data_preparation(config, dataset)
    texts = read_item_text(config, dataset).text[1:]

    # 1. The whole supervision, timed.
    start = time.perf_counter()
    terms = extract_terms(texts).terms
    facts = facts_of(config, dataset, terms)
    space, planner = TermSpace(terms, facts, domain), planner_of(settings_of(config), facts)
    teacher, judge, reasoner = TemplateTeacher(space), TemplateJudge(space), TemplateReasoner()
    sequences = train._dataset.sequences
    users = dataset.field2id_token[dataset.uid_field]
    of = (sequences, terms, users, domain, defaults.media)
    every = samples_of(*of, per_user=defaults.moments_per_user, at_most=defaults.samples, planner=planner)
    supervision = supervise(every, teacher, judge, reasoner, show_progress=True)
    seconds = time.perf_counter() - start

    # 2. The search against its own founders and against the released one.
    sources = samples_of(*of, at_most=arguments.users, planner=planner)
    samples = [source.sample for source in sources]
    teachers = [TemplateTeacher(space, seed) for seed in range(arguments.seeds)]
    start = time.perf_counter()
    runs = [evolve(samples, writes, judge).results for writes in teachers]
    per_minute = 60 * len(samples) * len(runs) / (time.perf_counter() - start)
    released = [evolve(samples, writes, judge, RELEASED).results for writes in teachers]
    users_kept = [place for place in range(len(samples)) if all(run[place] is not None for run in (*runs, *released))]
    chosen: dict[str, list[dict]] = {"one shot": [], "best founder": [], "released search": [], "full search": []}
    for run, short in zip(runs, released, strict=True):
        for place in users_kept:
            candidates, rounds = run[place].trace["candidates"], run[place].trace["rounds"]
            chosen["one shot"].append(next(one for one in candidates if one["operator"] == "balanced"))
            chosen["best founder"].append(candidates[rounds[0]["elite"]])
            chosen["full search"].append(candidates[rounds[-1]["elite"]])
            candidates, rounds = short[place].trace["candidates"], short[place].trace["rounds"]
            chosen["released search"].append(candidates[rounds[-1]["elite"]])

    # 3. Both judges; each user's scores are means over the seeds.
    places = [(sources[place].row, sources[place].target) for place in users_kept]
    items = [int(sequences.items[sequences.offsets[row] + target]) - 1 for row, target in places]
    prompts = {name: [draft["prompt"] for draft in drafts] for name, drafts in chosen.items()}
    different = list(
        dict.fromkeys([texts[item] for item in items] + [text for row in prompts.values() for text in row])
    )
    vectors = dict(zip(different, SentenceSpace(packaged_encoder())(different), strict=True))
    targets = np.array([vectors[texts[item]] for item in items])
    others = np.roll(targets, 1, axis=0)
    own, held_out, control = {}, {}, {}
    for name, drafts in chosen.items():
        shape = (len(runs), len(users_kept))
        own[name] = np.array([draft["overall"] for draft in drafts]).reshape(shape).mean(axis=0)
        written = np.array([vectors[text] for text in prompts[name]]).reshape(*shape, -1).mean(axis=0)
        held_out[name], control[name] = (written * targets).sum(1), (written * others).sum(1)
    table, bars = {}, []
    for name in chosen:
        table[name] = {
            "own judge": str(bootstrap(own[name])),
            "consistency": f"{np.mean([draft['consistency'] for draft in chosen[name]]):.3f}",
            "held-out judge": str(bootstrap(held_out[name])),
            "held-out, another's target": str(bootstrap(control[name])),
        }
    bars.append(Bar("whole supervision, seconds", seconds, f"at most {SECONDS:.0f}", seconds <= SECONDS))
    bars.append(Bar("searches a minute", per_minute, "at least 1000", per_minute >= 1000))
    for name in ("one shot", "best founder", "released search"):
        for judged, values in (("own", own), ("held-out", held_out)):
            gain = bootstrap(values["full search"] - values[name])
            table[f"full search - {name}, {judged} judge"] = {f"{judged} judge": str(gain)}
            label = f"full search - {name}, {judged} judge, low end"
            bars.append(Bar(label, gain.low, "above 0", gain.low > 0))
    gap = bootstrap(held_out["full search"] - control["full search"])
    bars.append(Bar("own - another's target, held-out judge, low end", gap.low, "above 0", gap.low > 0))
    write_results(
        f"supervision-{arguments.dataset}",
        bars,
        {
            "samples": len(every),
            "users": len(samples),
            "seeds": arguments.seeds,
            "report": supervision.report,
            "table": table,
        },
    )


if __name__ == "__main__":
    main()
