"""How well scores rank pictures for each user, on public ratings (PAMELA's layout: user, image, prompt, rating).

    python benchmarks/preference.py --ratings=FILE --images=FOLDER --clip_model=FOLDER_OR_HUB_ID [--same_prompt]

Compared are the cosine to the prompt, the history-conditioned score with the user's own and with another user's
history, and the mean rating of the other users, which is what can be known without the person. A claim of personal
taste needs the own history ahead of another user's, and of the others' mean where people disagree. The data are not
part of this project; numbers go to results/preference.json.
"""

import argparse
from pathlib import Path

from harness.common import Bar, write_results
from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.evaluation.preference import (
    HISTORY,
    MISMATCHED,
    OTHERS,
    difference,
    others,
    personal_scores,
    prompt_scores,
    rank_agreement,
    read_ratings,
    split_ratings,
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Pairwise accuracy of scores for each user.")
    parser.add_argument("--ratings", type=Path, required=True, help="CSV, TSV, JSON lines or parquet")
    parser.add_argument("--images", type=Path, required=True, help="folder of the rated pictures")
    parser.add_argument("--clip_model", required=True, help="folder or hub id of a CLIP-like model")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    parser.add_argument("--same_prompt", action="store_true", help="only pairs of one prompt")
    parser.add_argument("--share", type=float, default=0.5, help="of a user's ratings that are the history")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    ratings = read_ratings(given.ratings, given.images)
    known, asked = split_ratings(ratings, given.share, given.seed)
    encoder = ClipEncoder(given.clip_model, device=given.device, show_progress=True)
    scores = {"prompt": prompt_scores(encoder, asked)}
    scores |= personal_scores(encoder, known, asked, given.seed) | others(known, asked)
    found = rank_agreement(scores, asked, given.same_prompt)
    bars = []
    for other in (MISMATCHED, "prompt", OTHERS):
        gain = difference(found[HISTORY], found[other])
        bars.append(Bar(f"{HISTORY} - {other}, pairwise accuracy, low end", gain.low, "above 0", gain.low > 0))
    details = {
        "encoder": encoder.identity["model"],
        "users": len(found[HISTORY].users),
        "users without a pair": found[HISTORY].skipped,
        "pairs": int(found[HISTORY].pairs.sum()),
        "pairwise accuracy": {name: str(one.accuracy) for name, one in found.items()},
    }
    write_results("preference", bars, details)


if __name__ == "__main__":
    main()
