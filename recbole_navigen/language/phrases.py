"""Tokens that span words: byte-pair merges across spaces, after those within words (superword BPE, Liu et al., 2025).

Instructions are made of phrases that come again and again. With one token for a phrase, a text has about a third of the
tokens, costs a third to learn and to write, and a small model has fewer places at which to lose its thread.
"""

import heapq
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

from tokenizers import Tokenizer

LEAST = 4  # times a phrase must occur
_WORD = re.compile(r"(?:Ġ?[A-Za-z0-9'-]+)+")  # punctuation ends a phrase, so a list of terms is never merged


def learn_phrases(tokenizer: Tokenizer, texts: Iterable[str], count: int) -> list[tuple[str, str]]:
    """The next merges of a byte-level BPE tokenizer, over neighbouring words.

    Args:
        tokenizer: with its merges within words. texts: what to learn from. count: at most so many merges.

    Returns:
        Pairs of tokens, the commonest first.
    """
    # 1. Runs of words and how often each occurs; templates repeat themselves, so these are few.
    occurrences: Counter[tuple[str, ...]] = Counter()
    for encoding in tokenizer.encode_batch(list(texts)):
        run: list[str] = []
        for token in [*encoding.tokens, "."]:
            if _WORD.fullmatch(token):
                run.append(token)
                continue
            if len(run) > 1:
                occurrences[tuple(run)] += 1
            run = []
    runs, weights = [list(run) for run in occurrences], list(occurrences.values())

    # 2. Merge the commonest pair; only the runs that hold it change. The heap may hold old counts, which are dropped.
    counts: Counter[tuple[str, str]] = Counter()
    holders: dict[tuple[str, str], set[int]] = defaultdict(set)
    for place, run in enumerate(runs):
        for pair in pairwise(run):
            counts[pair] += weights[place]
            holders[pair].add(place)
    heap = [(-times, pair) for pair, times in counts.items()]
    heapq.heapify(heap)
    merges: list[tuple[str, str]] = []
    while heap and len(merges) < count:
        times, pair = heapq.heappop(heap)
        if counts[pair] != -times:
            continue
        if -times < LEAST:
            break
        merges.append(pair)
        changed: set[tuple[str, str]] = set()
        for place in sorted(holders[pair]):
            old, new, step = runs[place], [], 0
            while step < len(old):
                merged = tuple(old[step : step + 2]) == pair
                new.append(old[step] + old[step + 1] if merged else old[step])
                step += 1 + merged
            runs[place] = new
            for sign, run in ((-1, old), (1, new)):
                for other in pairwise(run):
                    counts[other] += sign * weights[place]
                    changed.add(other)
                    if sign > 0:
                        holders[other].add(place)
        counts[pair] = 0
        for other in changed:
            if counts[other] > 0:
                heapq.heappush(heap, (-counts[other], other))
    return merges


def with_phrases(tokenizer: Tokenizer, merges: list[tuple[str, str]]) -> Tokenizer:
    """A tokenizer with further merges, which may now cross spaces. Any string is still read back unchanged."""
    written = json.loads(tokenizer.to_str())
    vocabulary = written["model"]["vocab"]
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    written["model"]["merges"] += [[left, right] for left, right in merges]
    written["pre_tokenizer"]["use_regex"] = False
    return Tokenizer.from_str(json.dumps(written))
