"""What else than a history is known of somebody, in the words of their thought."""

from collections.abc import Sequence

from recbole_navigen.serving.preferences import Preferences
from recbole_navigen.supervision.plans import listed


def thought_with(thought: str | None, stated: Preferences, pictures: Sequence[str] = ()) -> str | None:
    """A thought that begins with what was stated, and with what somebody's pictures show; None stays None.

    pictures: terms. Phrases of weight 0 change nothing and are not named.
    """
    if thought is None:
        return None
    wanted, unwanted = ([phrase for phrase, weight in stated.weights.items() if weight * sign > 0] for sign in (1, -1))
    said = []
    if wanted:
        said.append(f"I said that I like {listed(wanted)}" + (f", but not {listed(unwanted)}." if unwanted else "."))
    elif unwanted:
        said.append(f"I said that I do not like {listed(unwanted)}.")
    if pictures:
        said.append(f"The pictures that I brought show {listed(list(pictures))}.")
    return " ".join([*said, thought])
