"""The released data of NaviGen itself."""

from recbole_navigen.conversion.layouts.code_sequences import ReleasedSequences
from recbole_navigen.conversion.layouts.special import Parquet
from recbole_navigen.conversion.spec import Attributes, Format, Interactions, words
from recbole_navigen.conversion.text import listed

RELEASED = (
    Format(
        "navigen-release",
        (
            Interactions(
                r"(train|valid|test)_cid2cid\.parquet",
                ReleasedSequences(),
                "user",
                "item",
                clock="position",
                several=True,
            ),
            Attributes(
                "items",
                r"pid2cid2tid\.parquet",
                Parquet(),
                "sid",
                (words("terms", "tid", role="name", cell=lambda terms: listed(map(str, terms or ()))),),
            ),
        ),
        repeats="all",
        traps=(
            "Items are known by their codes alone: those that share a code are one item, and its id is the code.",
            "There are no times: the place in a user's history is the time, the target is the last.",
            "The files divide the users, not the time: together they are one data set, whose last items are the test.",
        ),
    ),
)
