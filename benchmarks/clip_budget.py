"""Whether `language/budget.py` says enough: its estimate of CLIP tokens beside those of CLIP's own tokenizer.

    python benchmarks/clip_budget.py --merges=bpe_simple_vocab_16e6.txt.gz [--dataset=ml-100k] [--plans=3000]

The merges are in the packages clip-anytorch and open_clip_torch. Plans are drawn at random over random histories and
expectations of the catalogue, with the budget of the settings.
"""

import argparse
import gzip
import random
from pathlib import Path

import numpy as np
from transformers import CLIPTokenizer

from expectation import drawn_plan
from harness.common import Bar, write_results
from recbole_navigen.config import Config
from recbole_navigen.config.reading import parse_argv
from recbole_navigen.data import create_dataset, read_item_text
from recbole_navigen.identifiers.terms import extract_terms
from recbole_navigen.language.budget import clip_tokens
from recbole_navigen.language.tags import MEDIA
from recbole_navigen.supervision.dataset_facts import facts_of
from recbole_navigen.supervision.planner import planner_of
from recbole_navigen.supervision.settings import settings_of


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--merges", required=True)
    parser.add_argument("--plans", type=int, default=3000)
    arguments, argv = parser.parse_known_args()

    # 1. CLIP's vocabulary: bytes, bytes at the end of a word, merges in their order, the two ends.
    lines = gzip.decompress(Path(arguments.merges).read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    merges = [tuple(line.split()) for line in lines]
    letters = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in letters]
    signs = [*map(chr, letters), *(chr(256 + place) for place in range(len(rest)))]
    words = [*signs, *(f"{sign}</w>" for sign in signs), *map("".join, merges), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: place for place, word in enumerate(words)}, merges=merges)

    # 2. Plans, and how many tokens they take.
    config = Config("NaviGen", arguments.dataset, config_dict={**parse_argv(argv), "state": "WARNING"})
    dataset = create_dataset(config)
    terms = extract_terms(read_item_text(config, dataset).text[1:]).terms
    planner, draws, texts = planner_of(settings_of(config), facts_of(config, dataset, terms)), random.Random(0), []
    for place in range(arguments.plans):
        history, items = (draws.choices(range(len(terms)), k=size) for size in (8, 10))
        brief = planner.brief(history, items, [1.0] * 10, MEDIA[place % 2], ())
        texts.append(planner.say(drawn_plan(brief, draws), brief)[0])
    real = np.array([len(tokenizer(text)["input_ids"]) for text in texts])
    said = np.array([clip_tokens(text) for text in texts])
    more = int((real > said).sum())
    bars = [Bar("plans that take more than is said", more, "0", not more)]
    bars.append(Bar("plans past the budget", int((real > planner.budget).sum()), "0", real.max() <= planner.budget))
    table = {"mean, real": float(real.mean()), "mean, said": float(said.mean()), "most, real": int(real.max())}
    write_results(f"clip-budget-{arguments.dataset}", bars, table)


if __name__ == "__main__":
    main()
