"""Reviews and ratings of goods, shops and books. The earliest row of a user and an item counts."""

from recbole_navigen.conversion.layouts import Delimited, Json, Literal, Paragraphs
from recbole_navigen.conversion.spec import Attributes, Format, Interactions, text, tokens, words
from recbole_navigen.conversion.text import clean, free_price, listed, page_title, plain, price

_LEAKS = ("average_rating", "rating_number")


def _asin_check(era: str, other: str):
    """Amazon's csv files of 2014 and 2018 differ in the order of two columns only; items have 10 characters."""

    def check(users: list, items: list) -> None:
        tens = [sum(len(value) == 10 for value in values[:1000]) for values in (users, items)]
        if 2 * tens[1] < len(items[:1000]) and tens[0] > tens[1]:
            raise ValueError(
                f"the ids of 10 characters, which are items, stand where {era} has users; "
                f"this is a file of {other}: navigen-convert {other} ..."
            )

    return check


def _ratings(columns: tuple[str, ...], era: str, other: str) -> Interactions:
    layout = Delimited(names_given=columns)
    check = _asin_check(era, other)
    return Interactions(r".*\.csv", layout, "user", "item", "timestamp", "rating", check=check)


def _amazon_fields(brand: str, categories: str) -> tuple:
    return (
        words("title", role="name", cell=page_title),
        text("brand", brand, role="brand"),
        tokens(
            "categories", categories, role="genre", cell=lambda value: listed(value if isinstance(value, list) else ())
        ),
        text("price", "price", kind="float", cell=price),
    )


_BENCHMARK = Delimited()


def _benchmark(files: str, place: int, variant: int = 1) -> Interactions:
    columns = ("user_id", "parent_asin", "timestamp", "rating")
    return Interactions(files, _BENCHMARK, *columns, clock="ms", place=place, variant=variant)


AMAZON2023 = Format(
    "amazon2023",
    (
        Interactions(r"(?!meta_).*\.jsonl?", Json(), "user_id", "parent_asin", "timestamp", "rating", clock="ms"),
        _benchmark(r".*\.train\.csv", 0),
        _benchmark(r".*\.valid\.csv", 1),
        _benchmark(r".*\.test\.csv", 2),
        _benchmark(r"(?!.*\.(train|valid|test)\.csv$).*\.csv", 0, variant=2),
        Attributes("items", r"meta_.*\.jsonl?", Json(), "parent_asin", _amazon_fields("store", "categories")),
    ),
    left_out=_LEAKS,
    sizes={"Video_Games 5-core benchmark": (94762, 25612, 814586), "Video_Games, no core": (2766656, 137249, 4555500)}
    | {"Baby_Products, no core": (3386206, 217654, 5953891), "Books, no core": (10297355, 4446065, 29139329)}
    | {"Toys_and_Games, no core": (8116226, 890667, 16052440)}
    | {"Sports_and_Outdoors, no core": (10331141, 1587219, 19349403)}
    | {"Beauty_and_Personal_Care, no core": (11325787, 1028731, 23591312)}
    | {"Clothing_Shoes_and_Jewelry, no core": (22553370, 7216886, 65179586)}
    | {"Office_Products, no core": (7613158, 710403, 12689349), "Digital_Music, no core": (100952, 70511, 128763)},
    traps=(
        "asin is a variant; parent_asin is the item.",
        "Times are Unix milliseconds.",
        "There are exact copies of reviews and of metadata, and one rating of 0.0.",
        "In the benchmark's splits, validation and test rows may share a millisecond: train, valid and test are "
        "read in this order.",
        "Some items have no metadata, some metadata no title.",
    ),
)

AMAZON2018 = Format(
    "amazon2018",
    (
        Interactions(r"(?!meta_).*\.json", Json(), "reviewerID", "asin", "unixReviewTime", "overall"),
        _ratings(("item", "user", "rating", "timestamp"), "amazon2018", "amazon2014"),
        Attributes("items", r"meta_.*\.json", Json(), "asin", _amazon_fields("brand", "category")),
    ),
    left_out=("rank", "also_buy", "also_view", "vote"),
    traps=(
        "Times are whole days, so many users' last rows tie and the order of the file decides which is the test item.",
        "Ids such as 0439893577 are text; read as numbers they lose their zero.",
        "Titles may be script of the page (getTime), prices style sheets or ranges: those cells stay empty.",
        "The csv files have the item first, those of 2014 the user.",
    ),
)

AMAZON2014 = Format(
    "amazon2014",
    (
        Interactions(r"(?!meta_).*\.json", Literal(), "reviewerID", "asin", "unixReviewTime", "overall"),
        _ratings(("user", "item", "rating", "timestamp"), "amazon2014", "amazon2018"),
        Attributes("items", r"meta_.*\.json", Literal(), "asin", _amazon_fields("brand", "categories")),
    ),
    left_out=("salesRank", "related"),
    sizes={"Toys_and_Games 5-core": (19412, 11924, 167597), "Video_Games core once": (31013, 23715, 287107)}
    | {"Beauty core once": (None, None, 394908)},
    traps=(
        "Metadata lines are Python literals, not JSON.",
        "Times are whole days and the file is sorted by item, so the item with the larger id comes last on a tie.",
        "The 5-core of SASRec's script counts once (--core_rule=once); everyone else's repeats until nothing changes.",
    ),
)

STEAM = Format(
    "steam",
    (
        Interactions(
            r"steam_(new|reviews?).*\.json|.*reviews.*",
            Literal(),
            "username",
            "product_id",
            "date",
            "hours",
            clock="iso",
        ),
        Attributes(
            "items",
            r"steam_games.*|.*games.*",
            Literal(),
            "id",
            (
                words("title", "title+app_name", role="name"),
                text("developer", role="brand"),
                tokens("genres", role="genre"),
                tokens("tags", role="tag"),
                text("price", "price", kind="float", cell=free_price),
            ),
        ),
    ),
    value="play_hours",
    left_out=("sentiment", "metascore", "found_funny", "products"),
    sizes={"all": (2567538, 32135, 7793069)},
    traps=(
        "Lines are Python 2 literals; review texts may quote such lines, so patterns read wrong users.",
        "User names are free text; one is called null.",
        "Dates are whole days: midnight UTC, never a local time zone.",
    ),
)

YELP = Format(
    "yelp",
    (
        Interactions(r".*review.*\.json", Json(), "user_id", "business_id", "date", "stars", clock="iso"),
        Attributes(
            "items",
            r".*business.*\.json",
            Json(),
            "business_id",
            (words("title", "name", role="name"), text("city"), tokens("categories", role="genre")),
        ),
    ),
    left_out=("stars", "review_count", "useful", "funny", "cool"),
    sizes={"2022": (1987929, 150346, 6990280)},
    traps=(
        "Dates are text, with a time of day in new editions and without in old ones: read as UTC.",
        "Ids may begin with - or _; categories are text, null, or a list in old editions.",
        "A shop reviewed again: the first review stays.",
    ),
)

_STATES = (
    "to-read currently-reading owned default favorites favourites books-i-own wish-list wishlist own-it library to-buy "
    "kindle ebook ebooks e-book e-books audiobook audiobooks audio-book audio audible my-books owned-books "
    "i-own my-library "
    "re-read reread dnf did-not-finish abandoned unfinished read-in-2010 read-in-2011 read-in-2012 read-in-2013 "
    "read-in-2014 read-in-2015 read-in-2016 read-in-2017 maybe home-library borrowed on-hold tbr"
)


def _shelves(value: object) -> str:
    """Shelves that name topics; those of state (`to-read`) and of possession are none."""
    names = [plain(entry.get("name")) for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
    return listed(name for name in names if name not in _STATES.split())


_GOODREADS_BOOKS = Attributes(
    "items",
    r"goodreads_books.*\.json|.*books.*\.json",
    Json(),
    "book_id",
    (
        words("title", "title+title_without_series", role="name"),
        tokens("shelves", "popular_shelves", role="tag", cell=_shelves),
    ),
)

GOODREADS = Format(
    "goodreads",
    (
        Interactions(
            r".*(interactions|reviews).*\.json", Json(), "user_id", "book_id", "date_added", "rating", clock="goodreads"
        ),
        Interactions(
            r"goodreads_interactions\.csv", Delimited(), "user_id", "book_id", None, "rating", clock="file", variant=1
        ),
        _GOODREADS_BOOKS,
    ),
    left_out=("average_rating", "ratings_count", "text_reviews_count", "n_votes", "n_comments"),
    traps=(
        "Dates have a zone offset; the time of a row is date_added, since read_at is often empty or in the year 1.",
        "Rating 0 means that there is none; such rows are shelves and stay, --min_rating=1 drops them.",
        "Shelves of state such as to-read are no topics.",
        "goodreads_interactions.csv has no times and ids of its own.",
    ),
)


def _beer(title: str, style: str, brewery: str) -> tuple:
    fields = words("title", title, role="name"), text("style", style, role="genre")
    return (*fields, text("brewery", brewery, role="brand"))


_BEER_CSV = _beer("beer_name", "beer_style", "brewery_name")
_BEER_LINES = _beer("beer/name", "beer/style", "beer/brewerId")
_BEER_ROWS = ("review/profileName", "beer/beerId", "review/time", "review/overall")

BEERADVOCATE = Format(
    "beeradvocate",
    (
        Interactions(r".*\.csv", Delimited(), "review_profilename", "beer_beerid", "review_time", "review_overall"),
        Interactions(r".*\.txt", Paragraphs(), *_BEER_ROWS),
        Interactions(r".*\.json", Literal(), *_BEER_ROWS),
        Attributes("items", r".*\.csv", Delimited(), "beer_beerid", _BEER_CSV, repeated=True),
        Attributes("items", r".*\.txt", Paragraphs(), "beer/beerId", _BEER_LINES, repeated=True),
        Attributes("items", r".*\.json", Literal(), "beer/beerId", _BEER_LINES, repeated=True),
    ),
    left_out=("review_aroma", "review_appearance", "review_palate", "review_taste"),
    traps=(
        "User names are free text: rows of empty ones are dropped, NA is a name.",
        "Every row repeats the beer's text: the first row counts, items whose rows disagree are counted.",
    ),
)

_BX = Delimited(";", '"', "\\")


def _unless(nothing: str):
    """A cell function of clean text in which one word means nothing."""
    return lambda value: "" if plain(value).strip() == nothing else clean(value)


BOOK_CROSSING = Format(
    "book-crossing",
    (
        Interactions(
            r".*ratings.*\.csv",
            _BX,
            "User-ID",
            "ISBN|Book-ID",
            None,
            "Book-Rating|Rating",
            clock="file",
            encoding="latin-1",
        ),
        Attributes(
            "items",
            r".*books.*\.csv",
            _BX,
            "ISBN",
            (
                words("title", "Book-Title|Title", role="name"),
                text("author", "Book-Author|Author", role="brand"),
                text("release_year", "Year-Of-Publication|Year", cell=_unless("0")),
                text("publisher", "Publisher"),
            ),
            encoding="latin-1",
        ),
        Attributes(
            "users",
            r".*users.*\.csv",
            _BX,
            "User-ID",
            (text("location", "Location"), text("age", "Age", cell=_unless("NULL"))),
            encoding="latin-1",
        ),
    ),
    traps=(
        "There are no times: what is last cannot be known; --order=file takes the order of the file.",
        "Rating 0 means seen, not rated.",
        "Files are latin-1, with backslashes before quotation marks; three lines of BX-Books.csv are broken.",
        "ISBNs have leading zeros and X.",
    ),
)

REVIEWS = (AMAZON2014, AMAZON2018, AMAZON2023, STEAM, YELP, GOODREADS, BEERADVOCATE, BOOK_CROSSING)
