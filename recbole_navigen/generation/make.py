"""The generation head: instructions in; media files, `metadata.jsonl` and scores out.

settings = generation_settings({"image_model": FOLDER, "clip_model": FOLDER})
catalogue = Catalogue(texts, item_images(folder, items))
encoder = build_encoder(settings, "saved/cache")
generators = build_generators(["image"], settings, catalogue, encoder)
generated = generate(read_records(FILE), generators, "saved/RUN/media", settings)
scores = score(generated, catalogue, encoder, settings)
"""

import logging
import re
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_navigen.artefacts import content_hash, file_hash, plain, write_bytes
from recbole_navigen.bars import tqdm
from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.media_pairs import MediaCase, score_media
from recbole_navigen.evaluation.media_scores import MediaScores
from recbole_navigen.generation.arguments import DEFAULT_FPS
from recbole_navigen.generation.interfaces import Catalogue, Generator
from recbole_navigen.generation.media_folder import Generated, file_name, is_whole, metadata_line, metadata_of
from recbole_navigen.generation.records import METADATA, InstructionRecord
from recbole_navigen.generation.settings import RETRIEVAL, GenerationSettings, device_of
from recbole_navigen.language.tags import MEDIA
from recbole_navigen.leftovers import remove_leftovers
from recbole_navigen.redaction import hide

# Of a generator's identity, what each record repeats; None where it says nothing.
_TOLD = ("revision", "weights", "pipeline", "dtype", "safety_checker", "arguments")

logger = logging.getLogger(__name__)


def build_encoder(
    settings: GenerationSettings, cache: str | Path | None = None, show_progress: bool = False
) -> ClipEncoder | None:
    """The CLIP-like model of the settings; None if they name none.

    Args:
        cache: folder for vectors, shared by runs.
        show_progress: whether bars are shown.
    """
    if settings.clip_model is None:
        return None
    return ClipEncoder(
        settings.clip_model,
        settings.clip_revision,
        device_of(settings),
        settings.clip_batch_size,
        settings.long_text,
        settings.clip_framing,
        None if cache is None else Path(cache) / "clip",
        show_progress,
        settings.clip_processor,
    )


def build_generators(
    kinds: Collection[str], settings: GenerationSettings, catalogue: Catalogue, encoder: ClipEncoder | None
) -> dict[str, Generator]:
    """Load what some kinds of media need: media -> generator.

    Args:
        kinds: of MEDIA, those that will be asked for.
        catalogue, encoder: for `retrieval`.
    """
    generators: dict[str, Generator] = {}
    for media in MEDIA:
        if media not in kinds:
            continue
        model = settings.of(media, "model")
        if model is None:
            raise InputError(
                f"{media}s are asked for and there is no {media}_model; set --{media}_model=FOLDER_OR_HUB_ID."
            )
        if model == RETRIEVAL:
            from recbole_navigen.generation.retrieval import RetrievalGenerator

            frames = settings.video_frames or settings.clip_frames
            fps = settings.video_fps or DEFAULT_FPS
            generators[media] = RetrievalGenerator(media, encoder, catalogue, frames, fps)
        elif media == "image":
            from recbole_navigen.generation.image import ImageGenerator

            generators[media] = ImageGenerator(settings)
        else:
            from recbole_navigen.generation.video import VideoGenerator

            generators[media] = VideoGenerator(settings)
    return generators


def user_seed(seed: int, user: str) -> int:
    """A user's seed: the same for every method, and different for ids that hold the same characters."""
    return int(content_hash("generation seed", seed, user)[:8], 16)


def generate(
    instructions: Sequence[InstructionRecord],
    generators: Mapping[str, Generator],
    folder: str | Path,
    settings: GenerationSettings,
    show_progress: bool = False,
) -> Generated:
    """Make what is not there yet.

    Args:
        instructions: at most one a user and kind of medium. generators: from `build_generators`.
        folder: gets `images/USER.png`, `videos/USER.mp4` and `metadata.jsonl`.
        show_progress: whether a bar is shown.

    A file is kept if its record has the same hash (generator, instruction, seed) and its content is what the record
    says; so is the refusal of a safety checker. An instruction that ends without a file leaves none from earlier calls.
    An error takes down one user only: it is recorded, counted, and tried again by the next call.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    places = {(entry.user, entry.media): place for place, entry in enumerate(instructions)}
    if len(places) < len(instructions):
        raise InputError("a user has two instructions for one kind of medium; keep one of them.")

    # 1. What each instruction comes to: blocked, there already, or to be made.
    known = metadata_of(folder / METADATA)
    identities = {media: plain(generator.identity) for media, generator in generators.items()}
    records: list[dict[str, Any]] = []
    starts: list[Path | None] = []
    todo: set[int] = set()
    reused = 0
    for place, entry in enumerate(instructions):
        generator, identity = generators[entry.media], identities[entry.media]
        seed = user_seed(settings.generation_seed, entry.user)
        start = generator.start_of(entry) if hasattr(generator, "start_of") else None
        starts.append(start)
        key = content_hash(identity, entry.instruction, seed, *([] if start is None else [file_hash(start)]))
        tokens = {name: list(pair) for name, pair in generator.lengths(entry.instruction).items()}
        record = {
            "user": entry.user,
            "media": entry.media,
            "status": "todo",
            "instruction": entry.instruction,
            "seed": seed,
            "model": identity["model"],
            **{name: identity.get(name) for name in _TOLD},
            "tokens": tokens,
            "cut": bool(tokens) and all(length > limit for length, limit in tokens.values()),
            "unmeasured": not tokens,
            **({} if start is None else {"start": str(start)}),
            "hash": key,
        }
        word = blocked_by(entry.instruction, settings.block_list)
        old = known.get((entry.user, entry.media), {})
        if word:
            reason = f"the instruction holds {word!r} of the block list"
            record |= {"status": "blocked", "blocked_by": "block_list", "reason": reason}
        # What the list blocked before may pass now; what the checker refused would be refused again.
        elif old.get("hash") == key and (old.get("blocked_by") == "checker" or is_whole(folder, old)):
            record, reused = {**record, **old}, reused + 1
        else:
            todo.add(place)
        records.append(record)

    # 2. Batches of one kind of medium; a batch that fails is taken apart to find whose fault it is.
    metadata = folder / METADATA
    with tqdm(total=len(todo), desc="media", unit="user", disable=not show_progress) as bar, metadata.open("ab") as log:
        if metadata.stat().st_size:
            log.write(b"\n")  # ends a line that a killed process may have left half-written
        for media, generator in generators.items():
            # Cut without regard to what is there: noise is each user's own, but rounding is a batch's, and a call that
            # goes on after a kill is to make what one call would have made.
            queue = [
                place
                for place, record in enumerate(records)
                if record["media"] == media and record.get("blocked_by") != "block_list"
            ]
            batches = [queue[i : i + generator.batch_size] for i in range(0, len(queue), generator.batch_size)]
            batches = [left for batch in batches if (left := [place for place in batch if place in todo])]
            while batches:
                batch = batches.pop(0)
                start = time.perf_counter()
                try:
                    texts = [instructions[place].instruction for place in batch]
                    begins = [starts[place] for place in batch if starts[place] is not None]
                    more = [begins] if begins else []
                    contents = generator(texts, [records[place]["seed"] for place in batch], *more)
                    if hasattr(generator, "items"):
                        for place, item in zip(batch, generator.items(texts), strict=True):
                            records[place]["item"] = item
                except Exception as error:  # whatever a pipeline raises must not cost the other users their media
                    if len(batch) > 1:
                        batches[:0] = [[place] for place in batch]
                        continue
                    reason = hide(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
                    records[batch[0]] |= {"status": "failed", "reason": reason}
                    contents = []
                seconds = (time.perf_counter() - start) / len(batch)
                for place, content in zip(batch, contents, strict=False):
                    records[place]["seconds"] = round(seconds, 3)
                    if content is None:
                        reason = "the pipeline's safety checker refused it"
                        records[place] |= {"status": "blocked", "blocked_by": "checker", "reason": reason}
                        continue
                    name = file_name(instructions[place].user, media)
                    write_bytes(folder / name, content)
                    records[place] |= {"status": "done", "file": name, "sha256": file_hash(folder / name)}
                for place in batch:
                    log.write(metadata_line(records[place]))
                log.flush()
                bar.update(len(batch))
                bar.set_postfix(failed=sum(record["status"] == "failed" for record in records))

    # 3. No file of an earlier call stands for what is blocked or failed now. One line an instruction, in order; what
    # other calls left about other users stays.
    for record in records:
        if "file" not in record:
            (folder / file_name(record["user"], record["media"])).unlink(missing_ok=True)
    mine = {(record["user"], record["media"]): record for record in records}
    write_bytes(metadata, b"".join(map(metadata_line, ({**known, **mine}).values())))
    counts = Counter(record["status"] for record in records)
    counts |= {"kept": reused, **{name: sum(record[name] for record in records) for name in ("cut", "unmeasured")}}
    if counts["cut"]:
        logger.warning("%d of %d instructions are longer than the text encoder reads", counts["cut"], len(records))
    if counts["unmeasured"]:
        logger.warning("%d of %d instructions: no tokenizer tells how much is read", counts["unmeasured"], len(records))
    names = ("done", "failed", "blocked", "kept", "cut", "unmeasured")
    return Generated(folder, tuple(instructions), tuple(records), {name: counts[name] for name in names})


def score(
    generated: Generated, catalogue: Catalogue, encoder: ClipEncoder, settings: GenerationSettings, media: str = "image"
) -> MediaScores:
    """Score the media of one kind.

    Args:
        generated: from `generate`. catalogue: texts and pictures of items. encoder: from `build_encoder`.
        media: `image` or `video`.

    What failed or was blocked counts as a failure.
    """
    return score_media(
        encoder,
        media_cases(generated, catalogue, settings.history_items, media),
        settings.clip_frames,
        settings.control_users,
        settings.generation_seed,
    )


def media_cases(generated: Generated, catalogue: Catalogue, history_items: int, media: str) -> list[MediaCase]:
    """The instructions for one kind of media with what their media are compared with."""
    cases = []
    for place, entry in enumerate(generated.instructions):
        if entry.media != media:
            continue
        if entry.target is None:
            raise InputError(f"user {entry.user} has no target, which media are scored against; leave the user out.")
        history = entry.history[-history_items:]
        unknown = [item for item in (entry.target, *history) if item not in catalogue.texts]
        if unknown:
            raise InputError(f"user {entry.user}: item {unknown[0]!r} is not in the catalogue; check the instructions.")
        cases.append(
            MediaCase(
                entry.user,
                entry.instruction,
                generated.file(place),
                catalogue.texts[entry.target],
                catalogue.images.get(entry.target),
                tuple(catalogue.texts[item] for item in history),
                tuple(catalogue.images[item] for item in history if item in catalogue.images),
            )
        )
    return cases


def blocked_by(instruction: str, words: Sequence[str]) -> str | None:
    """The first word of a block list that an instruction holds as a word of its own, whatever its case."""
    lower = instruction.lower()
    return next((word for word in words if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", lower)), None)
