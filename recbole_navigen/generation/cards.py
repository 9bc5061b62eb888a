"""Users of a generation as cards of the report."""

from collections.abc import Mapping

import numpy as np

from recbole_navigen.evaluation.media_scores import METRICS, MediaScores
from recbole_navigen.generation.interfaces import Catalogue
from recbole_navigen.generation.make import Generated
from recbole_navigen.generation.page import UserCard, picture


def user_cards(
    generated: Generated, catalogue: Catalogue, scores: Mapping[str, MediaScores], users: int = 24, history: int = 8
) -> list[UserCard]:
    """Cards of the first users.

    Args:
        generated: from `generate`. catalogue: texts and pictures of items.
        scores: kind of medium -> its scores; may be empty.
        users: how many cards. history: how many of the newest items each shows.
    """
    values = {
        media: {metric: dict(zip(own.user.tolist(), own.per_user(metric), strict=True)) for metric in METRICS}
        for media, own in scores.items()
    }
    cards = []
    for place, (request, record) in enumerate(zip(generated.requests, generated.records, strict=True)):
        if len(cards) == users:
            break
        own = values.get(request.media, {})
        lines = [
            f"{metric} {found:.3f}" for metric in own if np.isfinite(found := own[metric].get(request.user, np.nan))
        ]
        if record["status"] != "done":
            lines.append(f"{record['status']}: {record['reason']}")
        shown = "held out" if request.held_out else "recommended"
        cards.append(
            UserCard(
                f"{request.user}, {request.media}",
                request.instruction,
                request.reasoning,
                tuple(
                    picture(catalogue.images.get(item), catalogue.texts[item]) for item in request.history[-history:]
                ),
                picture(catalogue.images.get(request.target), f"{shown}: {catalogue.texts[request.target]}"),
                picture(generated.file(place), f"made by {record['model']}, seed {record['seed']}"),
                tuple(lines),
            )
        )
    return cards
