"""From written instructions to media, their scores, one result and one page: the second half of `run_generate`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_navigen.artefacts import write_record
from recbole_navigen.config.media_metrics import NAMES, media_result
from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.evaluation.extras import extra_scores, load_extras
from recbole_navigen.evaluation.media_scores import MediaCase, MediaScores
from recbole_navigen.generation.cards import user_cards
from recbole_navigen.generation.image import open_picture
from recbole_navigen.generation.interfaces import MEDIA, Catalogue, Request, item_images
from recbole_navigen.generation.make import Generated, build_encoder, build_generators, generate, media_cases, score
from recbole_navigen.generation.page import extra_table, write_media_page
from recbole_navigen.generation.retrieval import picture_terms
from recbole_navigen.runs.layout import RESULT
from recbole_navigen.runs.page import run_sections
from recbole_navigen.runs.result import read_result
from recbole_navigen.serving.recommender import Recommender
from recbole_navigen.supervision.evolution import evolve
from recbole_navigen.supervision.interfaces import Sample
from recbole_navigen.supervision.roles import build_roles, search_settings
from recbole_navigen.supervision.settings import settings_of

PAGE = "report.html"


class MediaHead:
    """Encoder and catalogue of one call, loaded before anything is written.

    Args:
        titles: a name for each raw item id. cache: folder of what runs share. settings: from `generation_settings`.
        kinds: of media that will be asked for. show_progress: whether bars are shown.
    """

    def __init__(
        self,
        titles: Mapping[str, str],
        cache: Path,
        settings: Mapping[str, Any],
        kinds: Sequence[str],
        show_progress: bool,
    ):
        self.settings, self.cache, self.show_progress = settings, cache, show_progress
        pictures = settings["item_images"]
        self.catalogue = Catalogue(titles, item_images(pictures, list(titles)) if pictures else {})
        if settings["reference_image"]:
            open_picture(
                settings["reference_image"], f"reference_image={settings['reference_image']}"
            )  # refused here, before anything is written
        self.encoder: ClipEncoder | None = build_encoder(settings, self.cache, show_progress)
        self.measures = load_extras(settings["extra_metrics"])
        self.generators = build_generators(kinds, settings, self.catalogue, self.encoder)

    def reference(self, recommender: Recommender) -> str | None:
        """The item that stands for `reference_image` in the histories, None without one: the picture's terms by the
        CLIP-like model, and the item that these terms name by the recommender (tid2cid).
        """
        if not self.settings["reference_image"]:
            return None
        terms = sorted({term for item in recommender.table.terms for term in item})
        images = list(self.catalogue.images.values())
        count = self.settings["reference_terms"]
        found = picture_terms(self.encoder, self.settings["reference_image"], terms, count, images)
        return recommender.item_of_terms([term for term, _ in found])

    def make(
        self, recommender: Recommender, records: Sequence[Mapping[str, Any]], folder: str | Path, run: str | Path
    ) -> dict[str, Any]:
        """Make the media of `run_generate`'s records, score them where an item was held out, and write the page.

        Args:
            recommender: of the run. records: see `run_generate`.
            folder: gets images/, videos/, metadata.jsonl, scores, result.json and report.html.
            run: folder of the run, whose training the page shows.

        Returns:
            `counts` of what became of the requests, and for each kind of medium that was scored its mean metrics.
        """
        requests = [
            Request(
                row["user"],
                row["target_type"],
                row["target_ins"],
                row["held_out"] or row["next_item"],
                tuple(row["history"]),
                row["reasoning"] or "",
                held_out=row["held_out"] is not None,
            )
            for row in records
        ]
        made = generate(requests, self.generators, folder, self.settings, self.show_progress)
        scores = self._score(made, records)
        for media, own in scores.items():
            own.save(Path(folder) / f"scores-{media}")
        extras = {
            media: extra_scores(self.measures, self._cases(made, media), self.settings["clip_frames"])
            for media in (scores if self.measures else ())
        }
        result = self._result(recommender, run, scores, extras)
        write_record(Path(folder) / RESULT, {"run": Path(run).name, "counts": made.counts, "test_result": result})
        facts = {"run": Path(run).name, **{name: str(count) for name, count in made.counts.items()}}
        checkers = {media: generator.identity["safety_checker"] for media, generator in self.generators.items()}
        facts |= {f"safety checker of {media}s": checker for media, checker in checkers.items()}
        tables, plots = run_sections(run, self._trace(recommender, records[0]))
        if extras:
            tables.insert(0, extra_table(extras))
        cards = user_cards(made, self.catalogue, scores)
        write_media_page(Path(folder) / PAGE, "Personal media", facts, scores, cards, tables=tables, plots=plots)
        summaries = {media: own.summary("CLIPScore") for media, own in scores.items()}
        return {"counts": made.counts, **{media: found.own.mean for media, found in summaries.items() if found}}

    def _cases(self, made: Generated, media: str) -> list[MediaCase]:
        return media_cases(made, self.catalogue, self.settings["history_items"], media)

    def _result(
        self,
        recommender: Recommender,
        run: str | Path,
        scores: Mapping[str, MediaScores],
        extras: Mapping[str, Mapping[str, np.ndarray]],
    ) -> dict[str, dict[str, float]]:
        """The run's test result with the CLIP metrics that its `metrics` name (all of them if it names none) and with
        the extra scores, for each kind of medium.
        """
        settings = recommender.settings
        named = [metric for metric in settings["metrics"] if metric.lower() in {name.lower() for name in NAMES}]
        wanted = {"metrics": named or NAMES, "metric_decimal_place": settings["metric_decimal_place"]}
        tested = read_result(run)["test_result"]
        found = {media: {**tested, **media_result(wanted, own)} for media, own in scores.items()}
        for media, values in extras.items():
            found[media] |= {name: float(np.nanmean(own)) for name, own in values.items() if np.isfinite(own).any()}
        return found

    def _trace(self, recommender: Recommender, record: Mapping[str, Any]) -> dict[str, Any] | None:
        """How the teacher's search comes to an instruction for one record's next item, to be drawn on the page.

        Only the offline teacher is asked: a language model would have to be paid, or waited for.
        """
        settings = settings_of(recommender.settings)
        if settings["teacher"] != "template" or settings["judge"] not in (None, "template"):
            return None
        table = recommender.table
        terms = dict(zip(table.item_tokens, table.terms, strict=True))
        sample = Sample(
            record["user"],
            tuple(terms[item] for item in record["history"]),
            terms[record["next_item"]],
            record["domain"],
            record["target_type"],
            settings["name_target"],
        )
        roles = build_roles(settings, table.terms, self.cache)
        (found,) = evolve([sample], roles.teacher, roles.judge, search_settings(settings)).results
        return None if found is None else found.trace

    def _score(self, made: Generated, records: Sequence[Mapping[str, Any]]) -> dict[str, MediaScores]:
        """Scores by kind of medium; without held-out items or without an encoder there are none."""
        if self.encoder is None or not all(row["held_out"] for row in records):
            return {}
        kinds = [media for media in MEDIA if any(row["target_type"] == media for row in records)]
        return {media: score(made, self.catalogue, self.encoder, self.settings, media) for media in kinds}
