"""Films and series: MovieLens and Netflix. The earliest rating of a pair counts."""

from recbole_navigen.conversion.layouts import Delimited, Netflix
from recbole_navigen.conversion.spec import Attributes, Format, Interactions, text, tokens, words
from recbole_navigen.conversion.text import film_title, film_year, listed, parts, plain

_TITLE = words("title", role="name", cell=film_title)
_YEAR = text("release_year", "title", cell=film_year)
_GENRES = tokens("genres", separator="|", role="genre", cell=parts("|", "(no genres listed)"))

_FLAGS = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
)
_FLAGS += ("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western")


def _flagged(*flags: object) -> str:
    return listed(name for name, flag in zip(_FLAGS, flags, strict=True) if plain(flag).strip() == "1")


_ML_100K_ITEM = ("id", "title", "date", "video", "url", *_FLAGS)

ML_100K = Format(
    "ml-100k",
    (
        Interactions(
            r"u\.data",
            Delimited("\t", None, names_given=("user", "item", "rating", "time")),
            "user",
            "item",
            "time",
            "rating",
        ),
        Attributes(
            "items",
            r"u\.item",
            Delimited("|", None, names_given=_ML_100K_ITEM),
            "id",
            (_TITLE, _YEAR, tokens("genres", "+".join(_FLAGS), role="genre", cell=_flagged)),
            encoding="latin-1",
        ),
        Attributes(
            "users",
            r"u\.user",
            Delimited("|", None, names_given=("id", "age", "gender", "occupation", "zip")),
            "id",
            (text("age"), text("gender"), text("occupation"), text("zip_code", "zip")),
            encoding="latin-1",
        ),
    ),
    sizes={"all": (943, 1682, 100000)},
    traps=(
        "u.item is latin-1.",
        "The year is the last pair of brackets, before a mark such as (V); other brackets belong to the title.",
        "415 of 943 users' last two rows tie.",
    ),
)

_DAT = ("user", "item", "rating", "time")


def _ratings_dat() -> Interactions:
    return Interactions(r"ratings\.dat", Delimited("::", None, names_given=_DAT), "user", "item", "time", "rating")


def _movies_dat(encoding: str) -> Attributes:
    layout = Delimited("::", None, names_given=("id", "title", "genres"))
    return Attributes("items", r"movies\.dat", layout, "id", (_TITLE, _YEAR, _GENRES), encoding=encoding)


ML_1M = Format(
    "ml-1m",
    (
        _ratings_dat(),
        _movies_dat("latin-1"),
        Attributes(
            "users",
            r"users\.dat",
            Delimited("::", None, names_given=("id", "gender", "age", "occupation", "zip")),
            "id",
            (text("age"), text("gender"), text("occupation"), text("zip_code", "zip")),
            encoding="latin-1",
        ),
    ),
    sizes={"all": (6040, 3706, 1000209)},
    traps=(
        "The separator is `::`; titles hold single colons.",
        "movies.dat is latin-1.",
        "Age and occupation are codes, not numbers.",
    ),
)

ML_10M = Format(
    "ml-10m",
    (_ratings_dat(), _movies_dat("utf-8")),
    traps=("The separator is `::`; files are UTF-8, ratings have half stars.",),
)

_CSV = (
    Interactions(r"ratings\.csv", Delimited(), "userId", "movieId", "timestamp", "rating"),
    Attributes("items", r"movies\.csv", Delimited(), "movieId", (_TITLE, _YEAR, _GENRES)),
)
ML_CSV = tuple(
    Format(
        name,
        _CSV,
        sizes=sizes,
        traps=(
            "Titles are quoted where they hold commas; a quotation mark inside is doubled.",
            "Years may be open, (2007-), or absent; `(no genres listed)` means none.",
        ),
    )
    for name, sizes in {
        "ml-20m": {"all": (138493, 26744, 20000263)},
        "ml-25m": {},
        "ml-32m": {},
        "ml-latest": {},
    }.items()
)

NETFLIX = Format(
    "netflix",
    (
        Interactions(
            r"combined_data_\d+\.txt|mv_\d+\.txt|training_set.*\.txt",
            Netflix(),
            "user",
            "movie",
            "date",
            "rating",
            clock="iso",
            several=True,
        ),
        Attributes(
            "items",
            r"movie_titles\.(csv|txt)",
            Delimited(",", None, names_given=("id", "year", "title"), splits=2),
            "id",
            (
                words("title", role="name"),
                text("release_year", "year", cell=lambda v: "" if v.strip() == "NULL" else v.strip()),
            ),
            encoding="latin-1",
        ),
    ),
    traps=(
        "Movie heads such as `1:` stand between the rows.",
        "Titles hold commas and are not quoted; the file is latin-1.",
        "Times are days, and files are sorted by movie, so the larger movie number comes last on a tie.",
    ),
)

MOVIES = (ML_100K, ML_1M, ML_10M, *ML_CSV, NETFLIX)
