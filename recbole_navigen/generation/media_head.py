"""From written instructions to media and their scores: the second half of `run_generate`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recbole_navigen.config.media_metrics import NAMES, media_result
from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.evaluation.extras import extra_scores, load_extras
from recbole_navigen.evaluation.media_scores import MediaScores
from recbole_navigen.generation.interfaces import Catalogue, item_images
from recbole_navigen.generation.make import Generated, build_encoder, build_generators, generate, media_cases, score
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.generation.settings import GenerationSettings, device_of
from recbole_navigen.generation.user_pictures import (
    PictureContext,
    ShownTerms,
    name_of,
    opened,
    picture_vectors,
    pictures_of,
    weighed,
)
from recbole_navigen.language.tags import MEDIA
from recbole_navigen.serving.recommender import Recommender


class MediaHead:
    """Encoder and catalogue of one call, loaded before anything is written.

    Args:
        titles: a name for each raw item id. cache: folder of what runs share.
        kinds: of media that will be asked for. show_progress: whether bars are shown.
    """

    def __init__(
        self,
        titles: Mapping[str, str],
        cache: Path,
        settings: GenerationSettings,
        kinds: Sequence[str],
        show_progress: bool,
    ):
        self.settings, self.cache, self.show_progress = settings, cache, show_progress
        pictures = settings.item_images
        self.catalogue = Catalogue(titles, item_images(pictures, list(titles)) if pictures else {})
        if settings.reference_image:
            opened(settings.reference_image, settings)  # refused here, before anything is written
        self.encoder: ClipEncoder | None = build_encoder(settings, self.cache, show_progress)
        self.measures = load_extras(settings.extra_metrics, device_of(settings))
        self.generators = build_generators(kinds, settings, self.catalogue, self.encoder)

    def contexts(self, recommender: Recommender, histories: Mapping[str, Sequence[str]]) -> dict[str, PictureContext]:
        """What the pictures of users say, of those who have some: their terms by the CLIP-like model, and the item that
        these terms name by the recommender (tid2cid).

        histories: raw item ids of each user.
        """
        known: dict[tuple[tuple[Path, ...], tuple[float, ...]], PictureContext] = {}
        of_users: dict[str, PictureContext] = {}
        brought = {user: files for user in histories if (files := tuple(pictures_of(self.settings, user)))}
        if not brought:
            return of_users
        vectors = {files: picture_vectors(self.encoder, files) for files in dict.fromkeys(brought.values())}
        shown = ShownTerms(self.encoder, recommender.table.known_terms, list(self.catalogue.images.values()))
        for user, files in brought.items():
            texts = [self.catalogue.texts[item] for item in histories[user][-self.settings.history_items :]]
            weights = weighed(self.encoder, vectors[files], texts if len(files) > 1 else ())
            key = (files, tuple(weights.round(6).tolist()))
            if key not in known:
                words = tuple(term for term, _ in shown(vectors[files], weights, self.settings.reference_terms))
                names = (name_of(file, self.settings) for file in files)
                known[key] = PictureContext(
                    recommender.item_of_terms(words), words, dict(zip(names, key[1], strict=True))
                )
            of_users[user] = known[key]
        return of_users

    def make(self, records: Sequence[InstructionRecord], folder: str | Path) -> "MadeMedia":
        """Make the media of instructions, and score them where every one of them has a target.

        Args:
            records: what is to be made. folder: gets images/, videos/, metadata.jsonl and scores.
        """
        generated = generate(records, self.generators, folder, self.settings, self.show_progress)
        scores: dict[str, MediaScores] = {}
        if self.encoder is not None and all(entry.target is not None for entry in records):
            for media in (media for media in MEDIA if any(entry.media == media for entry in records)):
                scores[media] = score(generated, self.catalogue, self.encoder, self.settings, media)
                scores[media].save(Path(folder) / f"scores-{media}")
        extras = {}
        for media in scores if self.measures else ():
            cases = media_cases(generated, self.catalogue, self.settings.history_items, media)
            extras[media] = extra_scores(self.measures, cases, self.settings.clip_frames)
        checkers = {media: generator.identity["safety_checker"] for media, generator in self.generators.items()}
        return MadeMedia(generated, scores, extras, checkers)


@dataclass(frozen=True, slots=True)
class MadeMedia:
    """Media of instructions, and their scores.

    Attributes:
        generated: the files. scores: kind of medium -> its scores. extras: kind -> score -> one value a user.
        checkers: kind -> what is known of its safety checker.
    """

    generated: Generated
    scores: dict[str, MediaScores]
    extras: dict[str, dict[str, np.ndarray]]
    checkers: dict[str, str]

    def result(self, settings: Mapping[str, Any], tested: Mapping[str, float]) -> dict[str, dict[str, float]]:
        """The run's test result with the CLIP metrics that its `metrics` name (all of them if it names none) and with
        the extra scores, for each kind of medium.

        Args:
            settings: `metrics` and `metric_decimal_place` of the run. tested: its test result; may be empty.
        """
        named = [metric for metric in settings["metrics"] if metric.lower() in {name.lower() for name in NAMES}]
        wanted = {"metrics": named or NAMES, "metric_decimal_place": settings["metric_decimal_place"]}
        result = {media: {**tested, **media_result(wanted, own)} for media, own in self.scores.items()}
        for media, values in self.extras.items():
            result[media] |= {name: float(np.nanmean(own)) for name, own in values.items() if np.isfinite(own).any()}
        return result
