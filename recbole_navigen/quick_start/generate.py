"""`run_generate`: instructions for users of a data set, by a finished run or one trained for it, or from a file."""

import inspect
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from recbole_navigen.config import Config, RunSettings
from recbole_navigen.config.calls import SETTINGS, checks
from recbole_navigen.config.locate import cache_folder
from recbole_navigen.config.raw_ids import ALL, Id, asked_users, chosen_users
from recbole_navigen.config.teachers import refuse_absent_teachers
from recbole_navigen.data import create_dataset
from recbole_navigen.errors import InputError
from recbole_navigen.generation.feedback_file import said_preferences
from recbole_navigen.generation.instruction_file import chosen_records, refuse_unread, titles_of_records
from recbole_navigen.generation.interfaces import Catalogue
from recbole_navigen.generation.records import FILE, InstructionRecord, read_records, write_records
from recbole_navigen.generation.settings import (
    RETRIEVAL,
    GenerationSettings,
    device_of,
    generation_settings,
    refuse_absent,
    split_generation,
)
from recbole_navigen.language.tags import DRAFTS, DRAWS, MEDIA, TOP_P
from recbole_navigen.pipeline.check import refuse_broken_teachers
from recbole_navigen.pipeline.write import add_writer, has_writer
from recbole_navigen.presentation.tables import to_terminal
from recbole_navigen.quick_start.recommend import SOMEBODY
from recbole_navigen.quick_start.run import find_run, finished_run, require_writable
from recbole_navigen.quick_start.user_instructions import show_records, user_instructions
from recbole_navigen.runs.layout import STARTED, WRITER
from recbole_navigen.runs.load import run_config
from recbole_navigen.runs.result import read_result
from recbole_navigen.runs.summary import titles_of
from recbole_navigen.serving.preferences import Preferences
from recbole_navigen.serving.recommender import Recommender
from recbole_navigen.supervision.feedback_lines import read_feedback
from recbole_navigen.supervision.settings import learns_instructions, refuse_textless, settings_of

USERS = 5
MOST_PRINTED = 20

logger = logging.getLogger(__name__)


@checks(
    **SETTINGS,
    **DRAWS,
    output="path or None",
    run="path or None",
    instructions="path or None",
    feedback="path or None",
    calibrate="bool",
    media=f"one of {', '.join(MEDIA)}, mixed",
    held_out="bool",
    generation="whole dict or None",
)
def run_generate(
    dataset: str | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: dict[str, Any] | None = None,
    argv: Sequence[str] = (),
    users: str | Sequence[Id] | None = None,
    n_users: int | None = None,
    output: str | Path | None = None,
    run: str | Path | None = None,
    media: str = "image",
    think: bool = True,
    temperature: float | None = None,
    top_p: float = TOP_P,
    drafts: int = DRAFTS,
    seed: int = 0,
    held_out: bool = False,
    generation: Mapping[str, Any] | None = None,
    instructions: str | Path | None = None,
    preferences: str | Mapping[str, float] | None = None,
    feedback: str | Path | None = None,
    calibrate: bool = False,
) -> list[InstructionRecord]:
    """Write instructions after everything that users of a data set did, or read them from a file, and, where a model
    for them is named, make the media.

    Args:
        dataset, config_file_list, config_dict, argv: settings as `run_navigen` takes them. The newest finished run with
            these settings is used; if there is none, it is trained. So is the writer beside it.
        users: `all`, a file with one raw id a line, raw ids with commas, or a list of them. n_users: how many, in the
            order of the data. Without both: 5, or all of the file.
        output: folder for `instructions.jsonl`, one record a line, `result.json`, `report.html` and media; None writes
            none. Not that of a run, whose files would be overwritten, nor one inside it.
        run: folder of a finished run instead of settings. A writer that it lacks is trained beside it.
        media: `image`, `video`, or `mixed` (by turns). think, temperature, top_p, drafts, seed: see
            `Recommender.instruct`.
        held_out: whether a user's last item is kept out of the history; instructions and media are scored against it.
        generation: settings of properties/generation.yaml; those in `argv` stand above them. `image_model` or
            `video_model` make media, in `output`.
        instructions: file of records, such as an earlier call wrote and somebody edited, to make media from. With `run`
            they are also scored, where every one has a target.
        preferences: what the users say they like, see `Recommender.recommend`; where no users are named, it is somebody
            new who says it, without a history.
        feedback: file that `navigen-feedback` writes; what a user kept and edited joins the user's preferences.
        calibrate: see `Recommender.instruct`; what it costs in relevance is printed.

    Returns:
        One record an instruction.
    """
    # 1. What cannot be meant is refused.
    media_settings, argv = split_generation(argv)
    if run is not None and argv:
        raise InputError(f"a finished run is written from as it is; leave out {' '.join(argv)}.")
    generation = generation_settings({**(generation or {}), **media_settings})
    refuse_absent(generation)
    records: list[InstructionRecord] = []
    new = preferences is not None and users is None and n_users is None and instructions is None
    if new and held_out:
        raise InputError("held_out needs users with a history; name some beside preferences.")
    stated = Preferences.of(preferences)
    said = [] if feedback is None else read_feedback(feedback)
    if users is None and n_users is None:
        users, n_users = (ALL, None) if instructions is not None else (None, 1 if new else USERS)
    choice = asked_users(users, n_users)
    draws = {"think": think, "temperature": temperature, "top_p": top_p, "drafts": drafts, "seed": seed}
    draws |= {"calibrate": calibrate} if calibrate else {}
    if instructions is not None:
        ways = {
            "media": media,
            **draws,
            "calibrate": calibrate,
            "held_out": held_out,
            "preferences": preferences,
            "feedback": feedback,
        }
        defaults = {name: inspect.signature(run_generate).parameters[name].default for name in ways}
        unread = [f"{name}={value}" for name, value in ways.items() if value != defaults[name]]
        refuse_unread(unread, (dataset, config_file_list, config_dict, *argv), generation)
        records = chosen_records(read_records(instructions), choice, instructions)
        held_out = all(record.target is not None for record in records)
    if generation.models and output is None:
        raise InputError(f"{next(iter(generation.models))}_model makes media, which need a folder; set --output=DIR.")
    if instructions is not None and not generation.models and run is None:
        raise InputError(
            f"instructions={instructions} are written already; set --image_model or --video_model to make media of "
            "them, or --run=DIR to score them."
        )
    if generation.image_to_image and (media == "video" or {record.media for record in records} == {"video"}):
        raise InputError("image_to_image starts images and only videos are asked for; leave it out.")
    _refuse_unscored(generation, held_out)
    if output is not None:
        place = Path(output).resolve()
        for folder in (place, *place.parents):
            if (folder / STARTED).is_file() or (run is not None and folder == Path(run).resolve()):
                raise InputError(f"output={output} is in the folder of a run, {folder}; name one outside of it.")
        require_writable(output, "output")

    # 2. The run, and the models of media, all of them loaded before anything is written.
    progress = True
    if instructions is None:
        run, progress = _run(run, (dataset, config_file_list, config_dict, argv), choice, media, generation)
    if run is not None and (model := read_result(run)["model"]) != "NaviGen":
        raise InputError(f"{run} holds a {model}, which writes no instructions; name a run of NaviGen.")
    recommender = None if run is None else Recommender.load(run, device_of(generation))
    chosen = [] if instructions is not None else [SOMEBODY] if new else chosen_users(recommender.users, choice)
    kinds = _kinds(media, len(chosen)) or [record.media for record in records]
    catalogue = Catalogue(titles_of_records(records, generation) if recommender is None else recommender.titles)
    head = None
    if generation.models or generation.reads_pictures:
        from recbole_navigen.generation.media_head import MediaHead

        cache = cache_folder({"checkpoint_dir": "saved"} if recommender is None else recommender.settings)
        head = MediaHead(catalogue.texts, cache, generation, kinds if generation.models else (), progress)
        catalogue = head.catalogue

    # 3. Instructions, and what they are worth.
    if instructions is None:
        learned = said_preferences(said, recommender.table.known_terms)
        space = recommender.preference_space if said else None
        tastes = [stated + space.matched(learned[user]) if user in learned else stated for user in chosen]
        records = user_instructions(recommender, chosen, kinds, held_out, head, tastes, draws, progress)
    if output is not None:  # before anything else can fail
        write_records(Path(output) / FILE, records)
    show_records(records[:MOST_PRINTED])
    console = Console(highlight=False)
    if changed := [record.more["calibration"] for record in records if "calibration" in record.more]:
        means = {name: sum(own[name] for own in changed) / len(changed) for name in changed[0]}
        console.print(
            "calibrated: the divergence from the users' own proportions is {divergence:.3f} nats in place of "
            "{uncalibrated:.3f}, for {price:.3f} of 10 points of the drafts' score".format(**means),
            soft_wrap=True,
        )
    scores = None
    if held_out and recommender is not None:
        from recbole_navigen.generation.record_scores import score_records

        scores = score_records(recommender, records, generation, progress)
        for part in [] if scores is None else to_terminal([scores.summary()]):
            console.print(part)

    # 4. Media and the page.
    if output is not None:
        from recbole_navigen.generation.outcome import PAGE, write_outcome

        new_media = head.make(records, output) if generation.models else None
        write_outcome(output, records, catalogue, run, recommender, scores, new_media)
        if new_media is not None:
            console.print(f"media: {new_media.generated.counts}", markup=False, soft_wrap=True)
    if len(records) > MOST_PRINTED:
        console.print(f"the first {MOST_PRINTED} of {len(records)} users are shown", markup=False)
    places = [] if run is None else [f"run {run}"]
    if output is not None:
        places += [f"instructions in {Path(output) / FILE}", f"page in {Path(output) / PAGE}"]
    console.print(", ".join(places), markup=False, soft_wrap=True)
    return records


def _run(
    run: str | Path | None,
    settings: tuple[Any, ...],
    choice: int | list[str] | None,
    media: str,
    generation: GenerationSettings,
) -> tuple[Path, bool]:
    """The folder of a finished run that has learned to write, and whether bars are shown: the run that is named, or the
    newest of the settings (as `run_navigen` takes them). What is missing is trained.
    """
    if run is not None:
        record, finished = read_result(run), Path(run)
        writes = record["model"] != "NaviGen" or learns_instructions(record["config"]) or (finished / WRITER).is_dir()
        if writes:  # what is no NaviGen is refused when it is loaded
            return finished, True
        config, progress = run_config(finished), True
    else:
        config = Config("NaviGen", *settings)
        if (named := config.given.external.get("model", "NaviGen")) != "NaviGen":
            raise InputError(
                f"model={named} writes no instructions; run_generate takes NaviGen alone, so leave it out."
            )
        finished, progress = find_run(config), RunSettings.of(config).show_progress
    refuse_textless(config)
    refuse_absent_teachers(settings_of(config))  # the writer's; the ranking model is trained before it
    apart = not learns_instructions(config)
    if finished is None or (apart and not has_writer(config, finished)):
        refuse_broken_teachers(settings_of(config))
        _try(config, choice, media, generation)
    if run is None:
        finished = finished_run(*settings)
    if apart:
        if not has_writer(config, finished):
            Console(highlight=False).print(
                f"{finished} has no writer of these settings yet. It is trained now, once: first the instructions to "
                f"learn from, then {config['writer_steps']} steps; the bars say how many minutes each takes.",
                markup=False,
                soft_wrap=True,
            )
        add_writer(config, finished)
    return finished, progress


def _refuse_unscored(generation: GenerationSettings, held_out: bool) -> None:
    """Refuse extra scores that nothing could be scored with, and say that a CLIP-like model has nothing to do."""
    if generation.models and held_out:
        return
    if generation.extra_metrics:
        names = ", ".join(generation.extra_metrics)
        raise InputError(f"extra_metrics ({names}) score media against held-out items; make media with --held_out.")
    used = RETRIEVAL in generation.models.values() or generation.reference_image
    if generation.clip_model and not used:
        logger.warning("clip_model=%s scores nothing; make media with --held_out", generation.clip_model)


def _kinds(media: str, count: int) -> list[str]:
    """The medium of each of some users."""
    return [MEDIA[place % 2] if media == "mixed" else media for place in range(count)]


def _try(config: Config, choice: int | list[str] | None, media: str, generation: GenerationSettings) -> None:
    """Refuse before anything is trained what would only be seen after it: users that are unknown, and models of media
    and pictures that cannot be loaded. What was loaded is let go, since training needs the memory.
    """
    data = create_dataset(config)
    chosen_users(data.field2id_token[data.uid_field][1:].tolist(), choice)
    if generation.models or generation.reads_pictures:
        from recbole_navigen.generation.media_head import MediaHead

        kinds = _kinds(media, 2) if generation.models else ()
        MediaHead(titles_of(config, data), cache_folder(config), generation, kinds, config["show_progress"])
