"""Generation and its evaluator on the tiny world, where the truth behind every score is known.

    python benchmarks/generation.py --data_path=FOLDER [--users=100] [--video_users=32] [--instructions=FILE.jsonl]
    python benchmarks/generation.py --data_path=FOLDER --posters=FOLDER_OF_ML_100K_MEDIA  # retrieval on posters only

FOLDER holds what `tiny_models.py` and `tiny_world.py` write; what is missing is made first (minutes). Methods, all with
the same pipelines and the same seed a user: the held-out item's own text (ground truth), the terms most common in the
history, the last item, the most popular item, the instruction of another user, and retrieval (the catalogue picture
nearest to the history terms). `--instructions` adds a method, NaviGen, from a file with one JSON object a line: `user`,
`media`, `instruction`, `target`; only its users are compared then.

FOLDER/report.html shows everything. Numbers go to results/generation.json.
"""

import argparse
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tiny_models
import tiny_world as world
import torch
from common import Bar, write_results
from PIL import Image
from scipy.stats import spearmanr

from recbole_navigen.evaluation.clip import ClipEncoder
from recbole_navigen.evaluation.frames import read_frames
from recbole_navigen.evaluation.media import METRICS, MediaScores
from recbole_navigen.evaluation.media_report import write_media_page
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.generation.cards import user_cards
from recbole_navigen.generation.head import Generated, build_encoder, build_generators, generate, media_cases, score
from recbole_navigen.generation.protocol import Catalogue, Request, item_images, read_requests
from recbole_navigen.generation.settings import generation_settings

TRUTH, TERMS, LAST, POPULAR, OTHER = "ground truth", "history terms", "last item", "popular item", "random user"
RETRIEVAL, OURS = "retrieval", "NaviGen"
SHARE = 0.6  # of the ground truth's personalisation gap


def sequences(folder: Path, name: str) -> dict[str, list[str]]:
    """Item ids of each user by time."""
    rows = pd.read_csv(folder / f"{name}.inter", sep="\t", dtype=str)
    rows.columns = [column.partition(":")[0] for column in rows.columns]
    rows["timestamp"] = rows["timestamp"].astype(float)
    rows = rows.sort_values("timestamp", kind="stable")
    return rows.groupby("user_id", sort=False)["item_id"].agg(list).to_dict()


def instructions(
    histories: dict[str, list[str]], texts: dict[str, str], users: list[str], media: str, seed: int = 0
) -> dict[str, list[Request]]:
    """What each method asks for, method -> one request a user. The last item of a user is held out."""
    counts = Counter(item for items in histories.values() for item in items[:-1])
    popular = texts[counts.most_common(1)[0][0]]
    order = np.random.default_rng(seed).permutation(len(users))
    other = {users[one]: users[two] for one, two in zip(order, np.roll(order, 1), strict=True)}

    def terms(user: str) -> str:
        # The most common value of each attribute, in the order of attributes.
        own = [text.replace(",", "").split() for text in (texts[item] for item in histories[user][:-1])]
        found = Counter(word for words in own for word in words)
        return ", ".join(max(values, key=lambda value: found[value]) for values in world.ATTRIBUTES.values())

    asked = {
        TRUTH: lambda user: texts[histories[user][-1]],
        TERMS: terms,
        LAST: lambda user: texts[histories[user][-2]],
        POPULAR: lambda user: popular,
        OTHER: lambda user: texts[histories[other[user]][-1]],
    }
    return {
        name: [Request(user, media, ask(user), histories[user][-1], tuple(histories[user][:-1])) for user in users]
        for name, ask in asked.items()
    }


def read_media(made: Generated) -> np.ndarray:
    """The scene in each medium, by the nearest drawing. Shape (B, 6)."""
    files = [made.file(place) for place in range(len(made.requests))]
    if files[0].suffix == ".mp4":
        return world.read_clips(np.stack([np.stack(read_frames(file)) for file in files]))
    return world.read(np.stack([np.asarray(Image.open(file)) for file in files]))


def drawn_validity(encoder: ClipEncoder, count: int = 600) -> float:
    """Rank correlation of cosine and attribute accuracy over held-out drawings whose texts are wrong in 0 to 5 ways."""
    rng = np.random.default_rng(0)
    scenes = world.split_scenes()[1]
    scenes = scenes[rng.permutation(len(scenes))[:count]]
    said = scenes.copy()
    for row, scene in enumerate(said):
        for column in rng.permutation(len(world.STILL))[: rng.integers(len(world.STILL) + 1)]:
            scene[column] = (scene[column] + rng.integers(1, len(world.ATTRIBUTES[world.NAMES[column]]))) % len(
                world.ATTRIBUTES[world.NAMES[column]]
            )
        said[row] = scene
    pictures = encoder.images(list(world.draw(scenes))).means
    texts = encoder.texts([world.title(scene, motion=False) for scene in said]).means
    return float(spearmanr((pictures * texts).sum(1), world.accuracy(said, scenes)).statistic)


def throughput(folder: Path, made: Generated, catalogue: Catalogue, settings: dict[str, Any]) -> dict[str, float]:
    """Pairs a second of a whole evaluation, against scoring one pair at a time as metric libraries do it."""
    encoder = ClipEncoder(str(folder / "clip"), batch_size=settings["clip_batch_size"])  # without a store
    start = time.perf_counter()
    scores = score(made, catalogue, encoder, settings)
    seconds = time.perf_counter() - start
    cases = media_cases(made, catalogue, settings["history_items"], "image")
    pairs = [(case.media, text) for case in cases for text in (case.target_text, *case.history_texts)]
    pairs = pairs[: max(50, len(cases))]
    start = time.perf_counter()
    with torch.inference_mode():
        for file, text in pairs:
            pixels = encoder.processor([Image.open(file).convert("RGB")], return_tensors="pt")["pixel_values"]
            tokens = encoder.tokenizer([text], truncation=True, max_length=encoder.limit, return_tensors="pt")
            image = encoder.model.get_image_features(pixel_values=pixels).pooler_output
            words = encoder.model.get_text_features(**tokens).pooler_output
            torch.nn.functional.cosine_similarity(image, words).item()
    alone = (time.perf_counter() - start) / len(pairs)
    # And with one text an image, where nothing is shared between pairs: what batches alone bring.
    fresh = ClipEncoder(str(folder / "clip"), batch_size=settings["clip_batch_size"])
    start = time.perf_counter()
    fresh.media([case.media for case in cases])
    fresh.texts([case.target_text for case in cases])
    batched = (time.perf_counter() - start) / len(cases)
    return {
        "pairs": len(scores.cosine),
        "pairs_per_second": len(scores.cosine) / seconds,
        "pairs_per_second_one_at_a_time": 1 / alone,
        "images_per_second_with_one_text_each": 1 / batched,
        "images_per_second_one_at_a_time": 1 / alone,
    }


def compare(
    folder: Path, media: str, asked: dict[str, list[Request]], catalogue: Catalogue, settings: dict[str, Any]
) -> tuple[dict[str, MediaScores], dict[str, Generated], ClipEncoder]:
    """Generate and score all methods; retrieval reads the instructions of the most personal method."""
    encoder = build_encoder(settings, folder / "cache")
    personal = asked.get(OURS, asked[TERMS])
    scores, made = {}, {}
    generators = build_generators([media], settings, catalogue, encoder)
    nearest = build_generators([media], {**settings, f"{media}_model": "retrieval"}, catalogue, encoder)
    for name, requests in {**asked, RETRIEVAL: personal}.items():
        own = nearest if name == RETRIEVAL else generators
        made[name] = generate(requests, own, folder / "media" / name.replace(" ", "-"), settings, show_progress=True)
        scores[name] = score(made[name], catalogue, encoder, settings, media)
    return scores, made, encoder


def bars_of(media: str, scores: dict[str, MediaScores], made: dict[str, Generated], scenes: dict) -> tuple[list, dict]:
    """Ordering, personalisation and validity of one kind of medium: bars, and rows of the table."""
    bars = []
    names = [name for name in scores if name not in (TRUTH, OURS)]
    pairs = [(TRUTH, name) for name in names] + [(LAST, OTHER), (LAST, POPULAR), (TERMS, OTHER)]
    gaps = {
        "personalisation gap": {name: own.summary("CLIPPersonalisation").gap for name, own in scores.items()},
        "target gap": {name: own.summary("CLIPScore").gap for name, own in scores.items()},
    }
    if OURS in scores:
        pairs += [(OURS, name) for name in names]
        for kind, found in gaps.items():
            bars.append(Bar(f"{media}: {kind} of {OURS}, low end", found[OURS].low, "above 0", found[OURS].low > 0))
            share = found[OURS].mean / found[TRUTH].mean
            name = f"{media}: {kind} of {OURS}, share of the ground truth's"
            bars.append(Bar(name, share, f"at least {SHARE}", share >= SHARE))
    differences = {}
    for better, worse in pairs:
        gain = scores[better].difference(scores[worse], "CLIPScore")
        differences[f"{better} - {worse}"] = str(gain)
        bars.append(Bar(f"{media}: {better} - {worse}, CLIPScore, low end", gain.low, "above 0", gain.low > 0))

    # Accuracy of the attributes in what came out, against the target's, over all users and methods. Frames do not show
    # motion, so the score cannot know of it; it is read apart.
    accuracies, cosines, rows = [], [], {}
    for name, own in made.items():
        meant = np.stack([scenes[request.target] for request in own.requests])
        read = read_media(own)
        accuracies.append(world.accuracy(read, meant))
        cosines.append(scores[name].per_user("CLIPScore"))
        rows[name] = {metric: str(summary.own) for metric in METRICS if (summary := scores[name].summary(metric))}
        rows[name] |= {kind: str(found[name]) for kind, found in gaps.items()}
        rows[name] |= {"attribute accuracy": str(bootstrap(accuracies[-1]))}
        if media == "video":
            rows[name] |= {
                "motion accuracy": float((read[:, -1] == meant[:, -1]).mean()),
                "consistency": float(np.nanmean(scores[name].consistency)),
                "motion": float(np.nanmean(scores[name].motion)),
            }
    validity = float(spearmanr(np.concatenate(accuracies), np.concatenate(cosines)).statistic)
    name = f"{media}: rank correlation of CLIPScore and attribute accuracy"
    bars.append(Bar(name, validity, "at least 0.7", validity >= 0.7))
    gains = {f"{media}: {name}": {"CLIPScore": gain} for name, gain in differences.items()}
    return bars, {f"{media}: {name}": row for name, row in rows.items()} | gains


def posters(folder: Path, media: Path) -> None:
    """Retrieval and the report on real posters; the tiny CLIP knows nothing of films, so only the way is tested."""
    import recbole

    rows = pd.read_csv(media / "ml-100k.item", sep="\t", dtype=str, keep_default_na=False)
    texts = dict(
        zip(rows.iloc[:, 0], rows["movie_title:token_seq"] + " (" + rows["release_year:token"] + ")", strict=True)
    )
    histories = sequences(Path(recbole.__file__).parent / "dataset_example" / "ml-100k", "ml-100k")
    catalogue = Catalogue(texts, item_images(media / "posters", list(texts)))
    given = {"image_model": "retrieval", "clip_model": str(folder / "clip"), "clip_framing": "pad"}
    settings = generation_settings(given)
    users = sorted(histories, key=int)[:100]
    requests = [
        Request(user, "image", f"a poster like {texts[own[-2]]}", own[-1], tuple(own[:-1]))
        for user, own in ((user, histories[user]) for user in users)
    ]
    start = time.perf_counter()
    encoder = build_encoder(settings, folder / "cache", show_progress=True)
    generators = build_generators({request.media for request in requests}, settings, catalogue, encoder)
    made = generate(requests, generators, folder / "posters", settings)
    scores = {"retrieval": score(made, catalogue, encoder, settings)}
    page = folder / "posters" / "report.html"
    facts = {"Users": str(len(users)), "Posters": f"{len(catalogue.images):,}"}
    cards = user_cards(made, catalogue, {"image": scores["retrieval"]})
    write_media_page(page, "Retrieval on film posters", facts, scores, cards)
    print(f"{made.counts}, {time.perf_counter() - start:.1f} s, {page} ({page.stat().st_size / 2**20:.1f} MiB)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_path", type=Path, required=True, help="of models, data set and media")
    parser.add_argument("--users", type=int, default=100, help="who get an image")
    parser.add_argument("--video_users", type=int, default=32, help="who get a video")
    parser.add_argument("--instructions", type=Path, help="a method's own, JSON lines")
    parser.add_argument("--posters", type=Path, help="a folder with ml-100k.item and posters/")
    parser.add_argument("--steps", type=int, default=12, help="denoising steps")
    parser.add_argument("--guidance", type=float, default=3.0)
    arguments = parser.parse_args()
    folder = arguments.data_path
    trained = tiny_models.build(folder)
    if arguments.posters:
        posters(folder, arguments.posters)
        return
    scenes = world.write_data(folder)
    texts = {item: world.title(scene) for item, scene in scenes.items()}
    catalogue = Catalogue(texts, item_images(folder / "tiny-world" / "images", list(texts)))
    histories = sequences(folder / "tiny-world", "tiny-world")
    given = {f"{name}_model": str(folder / name) for name in ("clip", "image", "video")}
    given |= {f"{media}_steps": arguments.steps for media in ("image", "video")}
    given |= {f"{media}_guidance": arguments.guidance for media in ("image", "video")}
    size = [world.SIZE] * 2
    given |= {"image_size": size, "video_size": size, "video_frames": world.FRAMES, "generation_batch_size": 16}
    settings = generation_settings(given)
    ours = read_requests(arguments.instructions) if arguments.instructions else []

    bars, details = [], {"training": trained, "steps": arguments.steps, "guidance": arguments.guidance, "table": {}}
    pages: dict[str, Any] = {"scores": {}, "cards": []}
    for media, count in (("image", arguments.users), ("video", arguments.video_users)):
        own = {request.user: request for request in ours if request.media == media}
        users = list(own or histories)[:count]
        if not users:
            continue
        asked = instructions(histories, texts, users, media)
        if own:
            asked[OURS] = [
                replace(own[user], target=histories[user][-1], history=tuple(histories[user][:-1])) for user in users
            ]
        scores, made, encoder = compare(folder, media, asked, catalogue, settings)
        found, rows = bars_of(media, scores, made, scenes)
        bars += found
        details["table"] |= rows
        details[f"{media} users"] = len(users)
        personal = OURS if own else TERMS
        pages["cards"] += user_cards(made[personal], catalogue, {media: scores[personal]}, users=12)
        pages["scores"] |= {f"{name}, {media}": scores[name] for name in scores}
        for name in scores:
            scores[name].save(folder / "scores" / media / name.replace(" ", "-"))
        if media == "image":
            validity = drawn_validity(encoder)
            bars.append(Bar("drawings with wrong texts: rank correlation", validity, "at least 0.7", validity >= 0.7))
            details["throughput"] = speed = throughput(folder, made[TRUTH], catalogue, settings)
            times = speed["pairs_per_second"] / speed["pairs_per_second_one_at_a_time"]
            bars.append(Bar("evaluator against one pair at a time, times", times, "at least 5", times >= 5))
    facts = {"Image users": str(arguments.users), "Video users": str(arguments.video_users), "Items": str(len(texts))}
    write_media_page(folder / "report.html", "Generation on the tiny world", facts, pages["scores"], pages["cards"])
    write_results("generation", bars, details)


if __name__ == "__main__":
    main()
