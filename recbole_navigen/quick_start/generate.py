"""`run_generate`: instructions for users of a data set, from a finished run, or from one trained for it."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from tqdm import tqdm

from recbole_navigen.artefacts import write_bytes
from recbole_navigen.config import Config
from recbole_navigen.config.calls import SETTINGS, checked, checks
from recbole_navigen.config.teachers import refuse_absent_teachers
from recbole_navigen.data import create_dataset
from recbole_navigen.errors import InputError
from recbole_navigen.generation.settings import (
    RETRIEVAL,
    generation_settings,
    refuse_absent,
    split_generation,
)
from recbole_navigen.language.tags import DRAFTS, DRAWS, MEDIA, TEMPERATURE, TOP_P
from recbole_navigen.pipeline.check import refuse_broken_teachers
from recbole_navigen.pipeline.write import add_writer, has_writer
from recbole_navigen.quick_start.run import find_run, finished_run, require_writable
from recbole_navigen.runs.layout import STARTED
from recbole_navigen.runs.summary import titles_of
from recbole_navigen.serving.answers import Instruction
from recbole_navigen.serving.recommender import Recommender, known_user
from recbole_navigen.supervision.settings import learns_instructions, settings_of
from recbole_navigen.visible import visible

FILE = "instructions.jsonl"
USERS_AT_ONCE = 64  # between two movements of the progress bar
SHOWN_HISTORY = 5
MOST_PRINTED = 20

logger = logging.getLogger(__name__)


@checks(
    **SETTINGS,
    **DRAWS,
    output="path or None",
    run="path or None",
    media=f"one of {', '.join(MEDIA)}, mixed",
    held_out="bool",
    generation="whole dict or None",
)
def run_generate(
    dataset: str | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: dict[str, Any] | None = None,
    argv: Sequence[str] = (),
    users: int | str | Sequence[str] = 5,
    output: str | Path | None = None,
    run: str | Path | None = None,
    media: str = "image",
    think: bool = True,
    temperature: float = TEMPERATURE,
    top_p: float = TOP_P,
    drafts: int = DRAFTS,
    seed: int = 0,
    held_out: bool = False,
    generation: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Write instructions after everything that users of a data set did and, where a model for them is named, make the
    media.

    Args:
        dataset, config_file_list, config_dict, argv: settings as `run_navigen` takes them. The newest finished run with
            these settings is used; if there is none, it is trained. So is the writer beside it.
        users: how many, in the order of the data; raw ids as a list or with commas; or `all`.
        output: folder for `instructions.jsonl`, one user a line, and for media; None writes none. Not that of a run,
            whose files would be overwritten, nor one inside it.
        run: folder of a finished run instead of settings.
        media: `image`, `video`, or `mixed` (by turns). think, temperature, top_p, drafts, seed: see
            `Recommender.instruct`.
        held_out: whether a user's last item is kept out of the history; media are scored against it.
        generation: settings of properties/generation.yaml; those in `argv` stand above them. `image_model` or
            `video_model` make media, in `output`.

    Returns:
        One record a user: user, domain, target_type, history (raw ids and titles), held_out (raw id or None), the next
        item (id, title, terms, probability), reasoning, target_tid, target_ins, and the raw answer.
    """
    asked = _asked(users)
    own, argv = split_generation(argv)
    if run is not None and argv:
        raise InputError(f"a finished run is written from as it is; leave out {' '.join(argv)}.")
    generation = generation_settings({**(generation or {}), **own})
    refuse_absent(generation)
    makes = generation["image_model"] is not None or generation["video_model"] is not None
    if makes and output is None:
        named = "image_model" if generation["image_model"] is not None else "video_model"
        raise InputError(f"{named} makes media, which need a folder; set --output=DIR.")
    if generation["image_to_image"] and media == "video":
        raise InputError("image_to_image starts images and only videos are asked for; leave it out.")
    _refuse_unscored(generation, makes, held_out)
    if output is not None:
        _refuse_runs(output, run)
        require_writable(output, "output")
    if run is None:
        config = Config("NaviGen", dataset, config_file_list, config_dict, argv)
        if (named := config.given.external.get("model", "NaviGen")) != "NaviGen":
            raise InputError(
                f"model={named} writes no instructions; run_generate takes NaviGen alone, so leave it out."
            )
        refuse_absent_teachers(settings_of(config))  # the writer's; the ranking model is trained before it
        found, apart = find_run(config), not learns_instructions(config)
        if found is None or (apart and not has_writer(config, found)):
            refuse_broken_teachers(settings_of(config))
            _try(config, asked, media, generation, makes)
        run = finished_run(dataset, config_file_list, config_dict, argv)
        if apart:
            add_writer(config, run)
        progress = config["show_progress"]
    else:
        progress = True
    recommender = Recommender.load(run)
    chosen = _users(recommender.users, asked)
    kinds = _kinds(media, len(chosen))
    head = reference = None
    if makes or generation["reference_image"]:
        from recbole_navigen.generation.media_head import PAGE, MediaHead  # loads diffusion libraries

        cache = Path(recommender.settings["checkpoint_dir"]) / "cache"
        head = MediaHead(recommender.titles, cache, generation, kinds if makes else (), progress)
        reference = head.reference(recommender)
    records: list[dict[str, Any]] = []
    with tqdm(total=len(chosen), desc="instructions", ncols=100, disable=not progress) as bar:
        for begin in range(0, len(chosen), USERS_AT_ONCE):
            part = slice(begin, begin + USERS_AT_ONCE)
            whole = [recommender.history_of(user) for user in chosen[part]]
            histories = [history[:-1] if held_out else history for history in whole]
            read = [history if reference is None else [*history, reference] for history in histories]
            draws = {"temperature": temperature, "top_p": top_p, "drafts": drafts, "seed": seed}
            written = recommender.instruct(read, kinds[part], think=think, **draws)
            for user, history, all_items, instruction in zip(chosen[part], histories, whole, written, strict=True):
                target = all_items[-1] if held_out else None
                records.append(_record(recommender, user, history, target, instruction))
            bar.update(len(written))
    _show(records[:MOST_PRINTED])
    if output is not None:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in records)
        write_bytes(Path(output) / FILE, lines.encode())
    console = Console(highlight=False)
    if makes:
        made = head.make(recommender, records, output, run)
        console.print(f"media: {made}, page in {Path(output) / PAGE}", markup=False, soft_wrap=True)
    if len(records) > MOST_PRINTED:
        console.print(f"the first {MOST_PRINTED} of {len(records)} users are shown", markup=False)
    places = f"run {run}" + ("" if output is None else f", instructions in {Path(output) / FILE}")
    console.print(places, markup=False, soft_wrap=True)
    return records


def _refuse_runs(output: str | Path, run: str | Path | None) -> None:
    place = Path(output).resolve()
    for folder in (place, *place.parents):
        if (folder / STARTED).is_file() or (run is not None and folder == Path(run).resolve()):
            raise InputError(f"output={output} is in the folder of a run, {folder}; name one outside of it.")


def _refuse_unscored(generation: Mapping[str, Any], makes: bool, held_out: bool) -> None:
    """Refuse extra scores that nothing could be scored with, and say that a CLIP-like model has nothing to do."""
    if makes and held_out:
        return
    if generation["extra_metrics"]:
        names = ", ".join(generation["extra_metrics"])
        raise InputError(f"extra_metrics ({names}) score media against held-out items; make media with --held_out.")
    used = RETRIEVAL in (generation["image_model"], generation["video_model"]) or generation["reference_image"]
    if generation["clip_model"] and not used:
        logger.warning("clip_model=%s scores nothing; make media with --held_out", generation["clip_model"])


def _asked(users: Any) -> int | list[str] | None:
    """How many users are asked for, or which; None: all."""
    if isinstance(users, str):
        if users == "all":
            return None
        users = int(users) if users.isdecimal() else [name.strip() for name in users.split(",")]
    if isinstance(users, int):
        return checked("users", "int from 1", users)
    names = checked("users", "int from 1 or list of str", users)
    twice = [name for name in names if names.count(name) > 1]
    if not names or not all(names) or twice:
        raise InputError(
            f"users names {twice[0]!r} twice; keep one."
            if names and all(names)
            else f"users={users!r} leaves a name empty; give a number, raw ids with commas, or all."
        )
    return names


def _users(known: Sequence[str], asked: int | list[str] | None) -> list[str]:
    """Raw ids of the users that were asked for."""
    return list(known[:asked]) if not isinstance(asked, list) else [known_user(name, known) for name in asked]


def _kinds(media: str, count: int) -> list[str]:
    """The medium of each of some users."""
    return [MEDIA[place % 2] if media == "mixed" else media for place in range(count)]


def _try(config: Config, asked: int | list[str] | None, media: str, generation: Mapping[str, Any], makes: bool) -> None:
    """Refuse before anything is trained what would only be seen after it: users that are unknown, and models of media
    and pictures that cannot be loaded. What was loaded is let go, since training needs the memory.
    """
    data = create_dataset(config)
    _users(data.field2id_token[data.uid_field][1:].tolist(), asked)
    if makes or generation["reference_image"]:
        from recbole_navigen.generation.media_head import MediaHead

        cache = Path(config["checkpoint_dir"]) / "cache"
        MediaHead(
            titles_of(config, data), cache, generation, _kinds(media, 2) if makes else (), config["show_progress"]
        )


def _record(
    recommender: Recommender, user: str, history: list[str], target: str | None, written: Instruction
) -> dict[str, Any]:
    titles = recommender.titles
    return {
        "user": user,
        "domain": written.domain,
        "target_type": written.media,
        "history": history,
        "history_titles": [titles[item] for item in history],
        "held_out": target,
        "next_item": written.recommended.item,
        "next_title": titles[written.recommended.item],
        "next_terms": list(written.recommended.terms),
        "next_probability": written.recommended.probability,
        "reasoning": written.reasoning,
        "target_tid": list(written.target_tid),
        "target_ins": written.target_ins,
        "answer": written.answer,
    }


def _show(records: Sequence[dict[str, Any]]) -> None:
    """Print users in words. Titles are printed as Text: square brackets in them are not markup."""
    console = Console(highlight=False)
    for record in records:
        titles = record["history_titles"][-SHOWN_HISTORY:]
        earlier = len(record["history_titles"]) - len(titles)
        lines = [f"User {record['user']}" + (f"  ({earlier} items before)" if earlier else "")]
        lines += [f"  read    {title}" for title in titles]
        lines.append(f"  next    {record['next_title']}  ({record['next_probability']:.1%})")
        lines.append(f"          {', '.join(record['next_terms'])}")
        if record["reasoning"]:
            lines.append(f"  thinks  {record['reasoning']}")
        lines.append(f"  terms   {', '.join(record['target_tid'])}")
        lines.append(f"  {record['target_type']}   {record['target_ins']}")
        console.print(Text("\n".join(map(visible, lines)) + "\n"), soft_wrap=True)
