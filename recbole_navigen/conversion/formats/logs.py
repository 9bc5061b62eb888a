"""Check-ins and plays without text."""

from recbole_navigen.conversion.layouts import Delimited
from recbole_navigen.conversion.spec import Attributes, Format, Interactions, words

GOWALLA = Format(
    "gowalla",
    (
        Interactions(
            r".*checkins?.*\.txt",
            Delimited("\t", None, names_given=("user", "time", "latitude", "longitude", "place")),
            "user",
            "place",
            "time",
            clock="iso",
        ),
    ),
    repeats="all",
    sizes={"all": (107092, 1280969, 6442892)},
    traps=(
        "Newest first; Z means UTC.",
        "A place visited again stays; the same second twice does not.",
        "There is no text, so NaviGen's terms need a .item file of your own.",
    ),
)

LASTFM_HETREC = Format(
    "lastfm-hetrec",
    (
        Interactions(r"user_artists\.dat", Delimited("\t", None), "userID", "artistID", None, "weight", clock="file"),
        Attributes("items", r"artists\.dat", Delimited("\t", None), "id", (words("title", "name", role="name"),)),
    ),
    value="weight",
    sizes={"all": (1892, 17632, 92834)},
    traps=("There are no times; --order=file takes the order of the file.",),
)

LOGS = (GOWALLA, LASTFM_HETREC)
