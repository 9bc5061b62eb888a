"""Generation and its evaluator on the tiny world, where the truth behind every score is known.

    python benchmarks/generation.py [--data_path=FOLDER] [--users=400] [--video_users=100]
    python benchmarks/generation.py --posters=FOLDER_OF_ML_100K_MEDIA  # retrieval on posters only

FOLDER, by default runs/generation, holds models, data set, media and scores; what is missing or not of these settings
is made, the rest is found again. Compared are, with the same pipelines and the same seed a user, for users whom no
training saw and whose last item is held out:

    ground truth     the held-out item's own text
    NaviGen          its instruction, from a ranking model and a writer trained on other users
    history terms    the most common value of each attribute in the history
    recent terms     the same, where an item counts .8 times as much as the one after it
    last item        the text of the last item of the history
    popular item     the text of the item that training users had most
    random user      NaviGen's instruction for another user
    retrieval        the catalogue picture nearest to NaviGen's instruction, in the place of a generated one

A gap is a medium's mean cosine with its own user's references less that with other users' (`control_users` of them):
the gap to the target with the held-out item's text, the gap to the history with the texts of the history. The first
asks for what comes next, which repeating the history does not answer; the second is easy for whoever repeats it.

FOLDER/report.html shows everything. Numbers go to results/generation.json, those of posters to generation-posters.json.
"""

import argparse
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy.stats import spearmanr

from harness.common import Bar, write_results
from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.encoders.frames import read_frames
from recbole_navigen.evaluation.media_scores import METRICS, MediaScores
from recbole_navigen.evaluation.statistics import bootstrap, interval, resampled_means
from recbole_navigen.generation.cards import user_cards
from recbole_navigen.generation.interfaces import Catalogue, item_images
from recbole_navigen.generation.make import Generated, build_encoder, build_generators, generate, media_cases, score
from recbole_navigen.generation.outcome import PAGE
from recbole_navigen.generation.page import write_media_page
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.generation.settings import GenerationSettings, generation_settings
from recbole_navigen.runs.page import run_sections
from worlds import tiny_models, tiny_navigen
from worlds import tiny_world as world

RUNS = Path(__file__).resolve().parent / "runs" / "generation"
TRUTH, OURS, TERMS, LAST, POPULAR = "ground truth", "NaviGen", "history terms", "last item", "popular item"
RECENT, OTHER, RETRIEVAL = "recent terms", "random user", "retrieval"
SINGLE = "item that NaviGen would write for"
GAPS = {"gap to the target": "CLIPScore", "gap to the history": "CLIPPersonalisation"}
SHARE = 0.6  # of the ground truth's gap, and of its clips, that are to be as they should
CHANCE = 1 / len(world.ATTRIBUTES["motion"])


def sequences(file: Path) -> dict[str, list[str]]:
    """Item ids of each user by time, from an .inter file."""
    rows = pd.read_csv(file, sep="\t", dtype=str)
    rows.columns = [column.partition(":")[0] for column in rows.columns]
    rows["timestamp"] = rows["timestamp"].astype(float)
    rows = rows.sort_values("timestamp", kind="stable")
    return rows.groupby("user_id", sort=False)["item_id"].agg(list).to_dict()


def instructions(
    ours: Sequence[InstructionRecord], texts: Mapping[str, str], popular: str, seed: int = 0
) -> dict[str, list[InstructionRecord]]:
    """What each method asks for, method -> one record a user.

    Args:
        ours: NaviGen's records, one a user. texts: of items. popular: item id. seed: of who is whose other user.
    """
    order = np.random.default_rng(seed).permutation(len(ours))
    other = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))

    def terms(history: Sequence[str], fading: float = 1.0) -> str:
        # The most common value of each attribute, in the order of attributes.
        found: Counter[str] = Counter()
        for age, item in enumerate(reversed(history)):
            found.update(dict.fromkeys(texts[item].replace(",", "").split(), fading**age))
        return ", ".join(max(values, key=lambda value: found[value]) for values in world.ATTRIBUTES.values())

    asked = {
        TRUTH: [texts[record.target] for record in ours],
        TERMS: [terms(record.history) for record in ours],
        RECENT: [terms(record.history, 0.8) for record in ours],
        LAST: [texts[record.history[-1]] for record in ours],
        POPULAR: [texts[popular]] * len(ours),
        OTHER: [ours[other[place]].instruction for place in range(len(ours))],
    }
    others = {
        name: [
            InstructionRecord(record.user, record.media, text, record.target, record.history)
            for record, text in zip(ours, written, strict=True)
        ]
        for name, written in asked.items()
    }
    return {OURS: list(ours), **others}


def read_media(made: Generated) -> np.ndarray:
    """The scene in each medium, by the nearest drawing; -1, which is no value, where there is none. Shape (B, 6)."""
    files = [made.file(place) for place in range(len(made.instructions))]
    found = np.full((len(files), len(world.NAMES)), -1)
    held = [place for place, file in enumerate(files) if file is not None]
    if not held:
        return found
    if files[held[0]].suffix == ".mp4":
        found[held] = world.read_clips(np.stack([np.stack(read_frames(files[place])) for place in held]))
    else:
        found[held] = world.read(np.stack([np.asarray(Image.open(files[place])) for place in held]))
    return found


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


def throughput(folder: Path, made: Generated, catalogue: Catalogue, settings: GenerationSettings) -> dict[str, float]:
    """Pairs a second of a whole evaluation, against scoring one pair at a time as metric libraries do it."""
    encoder = ClipEncoder(str(folder / "clip"), batch_size=settings.clip_batch_size)  # without a store
    start = time.perf_counter()
    scores = score(made, catalogue, encoder, settings)
    seconds = time.perf_counter() - start
    cases = media_cases(made, catalogue, settings.history_items, "image")
    held = [case for case in cases if case.media is not None]
    pairs = [(case.media, text) for case in held for text in (case.target_text, *case.history_texts)]
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
    fresh = ClipEncoder(str(folder / "clip"), batch_size=settings.clip_batch_size)
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
    folder: Path,
    media: str,
    asked: dict[str, list[InstructionRecord]],
    catalogue: Catalogue,
    settings: GenerationSettings,
) -> tuple[dict[str, MediaScores], dict[str, Generated], ClipEncoder]:
    """Generate and score all methods; retrieval reads NaviGen's instructions."""
    encoder = build_encoder(settings, folder / "cache")
    scores, made = {}, {}
    generators = build_generators([media], settings, catalogue, encoder)
    nearest = build_generators([media], replace(settings, **{f"{media}_model": "retrieval"}), catalogue, encoder)
    for name, records in {**asked, RETRIEVAL: asked[OURS]}.items():
        own = nearest if name == RETRIEVAL else generators
        made[name] = generate(records, own, folder / "media" / name.replace(" ", "-"), settings, show_progress=True)
        scores[name] = score(made[name], catalogue, encoder, settings, media)
    return scores, made, encoder


def bars_of(media: str, scores: dict[str, MediaScores], made: dict[str, Generated], scenes: dict) -> tuple[list, dict]:
    """Gaps, ordering and validity of one kind of medium: bars, and rows of the table."""
    bars: list[Bar] = []
    shares: dict[str, str] = {}
    for kind, metric in GAPS.items():
        ours, truth = (scores[name].gap(metric) for name in (OURS, TRUTH))
        own, means = bootstrap(ours), resampled_means(np.stack([ours, truth]))
        share = interval(ours.mean() / truth.mean(), means[0] / means[1])
        shares[kind] = str(share)
        bars.append(Bar(f"{media}: {kind} of {OURS}, low end", own.low, "above 0", own.low > 0))
        name = f"{media}: {kind} of {OURS}, share of the ground truth's, {share.low:.2f} to {share.high:.2f}"
        bars.append(Bar(name, share.mean, f"at least {SHARE}", share.mean >= SHARE))
    simple = (TERMS, RECENT, LAST, POPULAR, OTHER)
    pairs = [(TRUTH, name) for name in (OURS, *simple)] + [(OURS, name) for name in simple]
    pairs += [(LAST, OTHER), (LAST, POPULAR)]
    differences = {}
    for better, worse in (*pairs, (TRUTH, RETRIEVAL), (OURS, RETRIEVAL)):
        gain = scores[better].difference(scores[worse], "CLIPScore")
        differences[f"{better} - {worse}"] = str(gain)
        # Retrieval shows real drawings of the catalogue and no generator's faults: it is compared, not to be beaten.
        if worse != RETRIEVAL:
            bars.append(Bar(f"{media}: {better} - {worse}, CLIPScore, low end", gain.low, "above 0", gain.low > 0))

    # Accuracy of the attributes in what came out, against the target's, over all users and methods. Frames do not show
    # motion, so the score cannot know of it; it is read apart.
    accuracies, cosines, rows = [], [], {}
    for name, own in made.items():
        meant = np.stack([scenes[record.target] for record in own.instructions])
        read = read_media(own)
        accuracies.append(world.accuracy(read, meant))
        cosines.append(scores[name].per_user("CLIPScore"))
        rows[name] = {metric: str(summary.own) for metric in METRICS if (summary := scores[name].summary(metric))}
        rows[name] |= {kind: str(scores[name].summary(metric).gap) for kind, metric in GAPS.items()}
        rows[name] |= {"attribute accuracy": str(bootstrap(accuracies[-1])), "failed": int(scores[name].failed.sum())}
        if media == "video":
            asked = np.stack([world.named(record.instruction) for record in own.instructions])
            obeyed = bootstrap(read[:, -1] == asked[:, -1])
            if name == TRUTH:
                bar = f"video: motion as its words ask of {TRUTH} (chance {CHANCE})"
                bars.append(Bar(bar, obeyed.mean, f"at least {SHARE}", obeyed.mean >= SHARE))
            rows[name] |= {
                "motion as its words ask": str(obeyed),
                "motion accuracy": str(bootstrap(read[:, -1] == meant[:, -1])),
                "motion accuracy of its words": str(bootstrap(asked[:, -1] == meant[:, -1])),
                "consistency": float(np.nanmean(scores[name].consistency)),
                "motion": float(np.nanmean(scores[name].motion)),
            }
    # A failure has accuracy 0 and no cosine: it would only make the correlation look better.
    validity = float(spearmanr(np.concatenate(accuracies), np.concatenate(cosines), nan_policy="omit").statistic)
    name = f"{media}: rank correlation of CLIPScore and attribute accuracy"
    bars.append(Bar(name, validity, "at least 0.7", validity >= 0.7))
    rows[f"{OURS} / {TRUTH}"] = shares
    gains = {f"{media}: {name}": {"CLIPScore": gain} for name, gain in differences.items()}
    return bars, {f"{media}: {name}": row for name, row in rows.items()} | gains


def posters(folder: Path, media: Path, count: int) -> None:
    """Retrieval and the report on real posters; the tiny CLIP knows nothing of films, so only the way is tested."""
    import recbole

    tiny_models.build(folder, parts=("clip",))
    rows = pd.read_csv(media / "ml-100k.item", sep="\t", dtype=str, keep_default_na=False)
    texts = dict(
        zip(rows.iloc[:, 0], rows["movie_title:token_seq"] + " (" + rows["release_year:token"] + ")", strict=True)
    )
    histories = sequences(Path(recbole.__file__).parent / "dataset_example" / "ml-100k" / "ml-100k.inter")
    catalogue = Catalogue(texts, item_images(media / "posters", list(texts)))
    given = {"image_model": "retrieval", "clip_model": str(folder / "clip"), "clip_framing": "pad"}
    settings = generation_settings(given)
    users = sorted(histories, key=int)[:count]
    records = [
        InstructionRecord(user, "image", f"a poster like {texts[own[-2]]}", own[-1], tuple(own[:-1]))
        for user, own in ((user, histories[user]) for user in users)
    ]
    start = time.perf_counter()
    encoder = build_encoder(settings, folder / "cache", show_progress=True)
    generators = build_generators({record.media for record in records}, settings, catalogue, encoder)
    made = generate(records, generators, folder / "posters", settings)
    scores = {"retrieval": score(made, catalogue, encoder, settings)}
    page = folder / "posters" / PAGE
    facts = {"Users": str(len(users)), "Posters": f"{len(catalogue.images):,}"}
    cards = user_cards(made.instructions, catalogue, made, {"image": scores["retrieval"]})
    write_media_page(page, "Retrieval on film posters", facts, scores, cards)
    seconds = time.perf_counter() - start
    print(f"{made.counts}, {seconds:.1f} s, {page} ({page.stat().st_size / 2**20:.1f} MiB)")
    share = made.counts["done"] / len(records)
    history = sum(item in catalogue.images for record in records[: len(cards)] for item in record.history[-8:])
    thumbnails = sum(picture.address is not None for card in cards for picture in card.history)
    bars = [
        Bar("users who got a poster, share", share, "1", share == 1),
        Bar("history items with a poster that the page shows, share", thumbnails / history, "1", thumbnails == history),
        Bar("history items that the page shows as posters", thumbnails, "above 0", thumbnails > 0),
    ]
    write_results(
        "generation-posters", bars, {"users": len(users), "posters": len(catalogue.images), "seconds": seconds}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_path", type=Path, default=RUNS, help="of models, data set, runs and media")
    parser.add_argument("--users", type=int, default=400, help="who get an image")
    parser.add_argument("--video_users", type=int, default=100, help="who get a video")
    parser.add_argument("--posters", type=Path, help="a folder with ml-100k.item and posters/")
    parser.add_argument("--steps", type=int, default=12, help="denoising steps")
    parser.add_argument("--guidance", type=float, default=3.0)
    arguments = parser.parse_args()
    folder = arguments.data_path
    if arguments.posters:
        posters(folder, arguments.posters, arguments.users)
        return
    trained = tiny_models.build(folder)
    scenes = world.write_data(folder)
    texts = {item: world.title(scene) for item, scene in scenes.items()}
    own = folder / tiny_navigen.DATASET
    catalogue = Catalogue(texts, item_images(own / "images", list(texts)))
    counts = Counter(item for items in sequences(own / "tiny-world.inter").values() for item in items)
    popular = counts.most_common(1)[0][0]
    histories = sequences(own / "held-out.inter")
    run = tiny_navigen.train(folder)
    given = {f"{name}_model": str(folder / name) for name in ("clip", "image", "video")}
    given |= {f"{media}_steps": arguments.steps for media in ("image", "video")}
    given |= {f"{media}_guidance": arguments.guidance for media in ("image", "video")}
    size = [world.SIZE] * 2
    given |= {"image_size": size, "video_size": size, "video_frames": world.FRAMES, "generation_batch_size": 16}
    settings = generation_settings(given)

    bars, details = [], {"training": trained, "steps": arguments.steps, "guidance": arguments.guidance, "table": {}}
    pages: dict[str, Any] = {"scores": {}, "cards": []}
    for media, count in (("image", arguments.users), ("video", arguments.video_users)):
        users = list(histories)[:count]
        if not users:
            continue
        ours = tiny_navigen.instructions(folder, run, media, histories, users)
        asked = instructions(ours, texts, popular)
        scores, made, encoder = compare(folder, media, asked, catalogue, settings)
        found, rows = bars_of(media, scores, made, scenes)
        bars += found
        details["table"] |= rows
        # What is asked for, before any generator comes in; beside it, what one item would ask for.
        single = [texts[item] for item in tiny_navigen.single_items(run, histories, users)]
        written = {name: [record.instruction for record in records] for name, records in asked.items()}
        meant = np.stack([scenes[record.target] for record in ours])
        for name, wanted in {**written, SINGLE: single}.items():
            words = world.accuracy(np.stack([world.named(text) for text in wanted]), meant)
            row = details["table"].setdefault(f"{media}: {name}", {})
            row["attribute accuracy of its words"] = str(bootstrap(words))
        details[f"{media} users"] = len(users)
        pages["cards"] += user_cards(made[OURS].instructions, catalogue, made[OURS], {media: scores[OURS]}, users=12)
        pages["scores"] |= {f"{name}, {media}": scores[name] for name in scores}
        for name in scores:
            scores[name].save(folder / "scores" / media / name.replace(" ", "-"))
        if media == "image":
            validity = drawn_validity(encoder)
            bars.append(Bar("drawings with wrong texts: rank correlation", validity, "at least 0.7", validity >= 0.7))
            details["throughput"] = speed = throughput(folder, made[TRUTH], catalogue, settings)
            times = speed["pairs_per_second"] / speed["pairs_per_second_one_at_a_time"]
            bars.append(Bar("evaluator against one pair at a time, pairs/s, times", times, "at least 5", times >= 5))
            times = speed["images_per_second_with_one_text_each"] / speed["images_per_second_one_at_a_time"]
            bars.append(Bar("evaluator against one pair at a time, images/s, times", times, "at least 5", times >= 5))
    facts = {"Image users": str(arguments.users), "Video users": str(arguments.video_users), "Items": str(len(texts))}
    title = "Generation on the tiny world"
    write_media_page(folder / PAGE, title, facts, pages["scores"], pages["cards"], folded=run_sections(run))
    write_results("generation", bars, details)


if __name__ == "__main__":
    main()
