"""Users of a generation as cards of the report."""

from collections.abc import Mapping, Sequence

import numpy as np

from recbole_navigen.evaluation.media_scores import METRICS, MediaScores
from recbole_navigen.generation.interfaces import Catalogue
from recbole_navigen.generation.media_folder import Generated
from recbole_navigen.generation.page import Picture, UserCard, picture
from recbole_navigen.generation.records import InstructionRecord


def user_cards(
    instructions: Sequence[InstructionRecord],
    catalogue: Catalogue,
    generated: Generated | None = None,
    scores: Mapping[str, MediaScores] | None = None,
    users: int = 24,
    history: int = 8,
) -> list[UserCard]:
    """Cards of the first users.

    Args:
        instructions: what was written. catalogue: texts and pictures of items.
        generated: from `generate`, of the same instructions in the same order; None: no media were made.
        scores: kind of medium -> its scores.
        users: how many cards. history: how many of the newest items each shows.
    """
    values = {
        media: {metric: dict(zip(own.user.tolist(), own.per_user(metric), strict=True)) for metric in METRICS}
        for media, own in (scores or {}).items()
    }

    def item(raw: str, role: str = "") -> Picture:
        return picture(catalogue.images.get(raw), role + catalogue.texts.get(raw, f"item {raw}"))

    cards = []
    for place, entry in enumerate(instructions[:users]):
        by_metric, lines, medium, key = values.get(entry.media, {}), [], None, None
        if generated is not None:
            record = generated.records[place]
            numbers = {metric: of_users.get(entry.user, np.nan) for metric, of_users in by_metric.items()}
            lines = [f"{metric} {number:.3f}" for metric, number in numbers.items() if np.isfinite(number)]
            words = f"made by {record['model']}, seed {record['seed']}"
            if record["status"] != "done":
                words = f"{record['status']}: {record['reason']}"
            else:
                key = {"user": entry.user, "media": entry.media, "sha256": record["sha256"]}
                if "item" in record:
                    words = f"nearest in the catalogue: {catalogue.texts.get(record['item'], record['item'])}"
            medium = picture(generated.file(place), words)
        roles = (("held out: ", entry.target), ("stands for what is expected: ", entry.aim))
        cards.append(
            UserCard(
                f"User {entry.user}, {entry.media}",
                entry.instruction,
                entry.reasoning or "",
                tuple(item(raw) for raw in entry.history[-history:]),
                medium,
                tuple(item(raw, role) for role, raw in roles if raw is not None),
                tuple(lines),
                key,
            )
        )
    return cards
