"""Short videos, pictures, news and music. Most are logs: every play stays."""

from recbole_navigen.conversion.clocks import news_time
from recbole_navigen.conversion.layouts import Delimited, Impressions, Timelines
from recbole_navigen.conversion.spec import Attributes, Format, Interactions, text, tokens, words
from recbole_navigen.conversion.text import clean, listed, parts, plain

MICROLENS = Format(
    "microlens",
    (
        Interactions(r".*pairs.*\.csv", Delimited(), "user", "item", "timestamp", clock="ms"),
        Interactions(r".*pairs.*\.tsv", Timelines("\t", " ", 2), "user", "item", clock="position", variant=1),
        Attributes(
            "items",
            r".*titles?.*\.csv",
            Delimited(",", None, names_given=("item", "title"), header=True, splits=1),
            "item",
            (words("title", role="name"),),
        ),
    ),
    repeats="all",
    left_out=("likes", "views", "comments"),
    traps=(
        "Times are Unix milliseconds; the tsv of pairs has no times, the position in a user's line is the time.",
        "Title files come with and without a header, with and without quotes: see what the title's comma does.",
        "Covers bear the item's id: covers/12.jpg is item 12.",
        "Likes and views sum over all time and are not written.",
    ),
)

_UNKNOWN = ("", "UNKNOWN", "-124")


def _caption(caption: object, cover: object) -> str:
    return next(
        (clean(value) for value in (caption, cover) if plain(value).strip() not in _UNKNOWN and clean(value)), ""
    )


def _categories(*names: object) -> str:
    return listed(name for name in names if plain(name).strip() not in _UNKNOWN)


def _topics(value: object) -> str:
    return parts(",", *_UNKNOWN)(plain(value).strip().removeprefix("[").removesuffix("]"))


_LEVELS = "+".join(f"{level}_level_category_name" for level in ("first", "second", "third"))

KUAIREC = Format(
    "kuairec",
    (
        Interactions(r"big_matrix\.csv", Delimited(), "user_id", "video_id", "timestamp", "watch_ratio"),
        Interactions(r"small_matrix\.csv", Delimited(), "user_id", "video_id", "timestamp", "watch_ratio", variant=1),
        Attributes(
            "items",
            r"kuairec_caption_category\.csv",
            Delimited(),
            "video_id",
            (
                words("title", "caption+manual_cover_text", role="name", cell=_caption),
                tokens("categories", _LEVELS, role="genre", cell=_categories),
                tokens("tags", "topic_tag", role="tag", cell=_topics),
            ),
        ),
        Attributes(
            "users",
            r"user_features\.csv",
            Delimited(),
            "user_id",
            (text("user_active_degree"), text("is_video_author"), text("is_live_streamer")),
        ),
    ),
    repeats="all",
    value="watch_ratio",
    left_out=("item_daily_features (views, likes and all other counts of a day)", "fans_user_num", "follow_user_num"),
    sizes={"big": (7176, 10728, 12530806), "small": (1411, 3327, 4676570)},
    traps=(
        "Ids were renumbered in version 2.0.",
        "Rows of the small matrix have no time where they were collected in the second stage: they are dropped "
        "and counted.",
        "There are exact duplicates; real repeats of a pair stay.",
        "Captions hold line ends inside quotes; UNKNOWN and -124 are no categories.",
    ),
)

_KUAIRAND_EVENTS = {
    name: f"is_{name}" for name in ("click", "like", "follow", "comment", "forward", "hate", "profile_enter")
} | {"long_view": "long_view"}


def _kuairand(files: str, variant: int) -> Interactions:
    return Interactions(
        files,
        Delimited(),
        "user_id",
        "video_id",
        "time_ms",
        clock="ms",
        events=_KUAIRAND_EVENTS,
        variant=variant,
        several=True,
    )


KUAIRAND = Format(
    "kuairand",
    (
        _kuairand(r"log_standard_.*\.csv", 0),
        _kuairand(r"log_random_.*\.csv", 1),
        Attributes(
            "items",
            r"video_features_basic.*\.csv",
            Delimited(),
            "video_id",
            (text("author", "author_id"), text("video_type"), text("music_type"), tokens("tags", "tag", role="tag")),
        ),
        Attributes(
            "users",
            r"user_features.*\.csv",
            Delimited(),
            "user_id",
            (text("user_active_degree"), text("is_video_author"), text("is_live_streamer")),
        ),
    ),
    repeats="all",
    left_out=("video_features_statistic (show, play and all other counts)", "fans_user_num", "follow_user_num"),
    sizes={"27K": (27285, 32038725, 322278385), "1K": (1000, 4369953, 11713045), "Pure": (27285, 7551, 1436609)},
    traps=(
        "Every row is an exposure; --events=click (or long_view, like, ...) keeps those that had one.",
        "Ids differ between the editions.",
        "From a folder or archive the standard logs are taken; name log_random_*.csv to convert the random ones.",
    ),
)

PIXELREC = Format(
    "pixelrec",
    (
        Interactions(r".*(interaction|pixel).*\.csv", Delimited(), "user_id", "item_id", "timestamp"),
        Attributes(
            "items",
            r".*(item|info).*\.csv",
            Delimited(),
            "item_id",
            (words("title", role="name"), words("tag", role="tag"), words("description", role="story")),
        ),
    ),
    repeats="all",
    left_out=tuple(f"{name}_number" for name in ("view", "comment", "thumbup", "share", "coin", "favorite", "barrage")),
    sizes={"50K": (50000, 82865, 989494)},
    traps=(
        "The item stands first.",
        "Descriptions go over several lines inside quotes.",
        "View, like and share counts hold the test rows and are not written.",
    ),
)

MIND = Format(
    "mind",
    (
        Interactions(r"behaviors\.tsv", Impressions(news_time), "user", "item", "time", several=True),
        Attributes(
            "items",
            r"news\.tsv",
            Delimited(
                "\t",
                None,
                names_given=("id", "category", "subcategory", "title", "abstract", "url", "entities", "more"),
            ),
            "id",
            (
                words("title", role="name"),
                tokens("categories", "category+subcategory", role="genre", cell=lambda *names: listed(names)),
                words("abstract", role="story"),
            ),
        ),
    ),
    repeats="all",
    sizes={"large": (698365, 79546, 73629852), "small": (49108, 33195, 5107630)},
    traps=(
        "The clock has 12 hours: 12:05 AM is five past midnight.",
        "The history has no times: its items come one second apart before the user's first impression, once a user.",
        "What was shown and not clicked is no interaction.",
        "Titles begin with quotation marks; the files have no quoting.",
    ),
    notes=("the history's times are made: one second apart, before the first impression",),
)

LASTFM_1K = Format(
    "lastfm-1k",
    (
        Interactions(
            r"userid-timestamp.*\.tsv",
            Delimited("\t", None, names_given=("user", "time", "artist_id", "artist", "track_id", "track")),
            "user",
            "track_id",
            "time",
            clock="iso",
        ),
        Attributes(
            "items",
            r"userid-timestamp.*\.tsv",
            Delimited("\t", None, names_given=("user", "time", "artist_id", "artist", "track_id", "track")),
            "track_id",
            (words("title", "track", role="name"), text("artist", role="brand")),
            repeated=True,
        ),
        Attributes(
            "users",
            r"userid-profile\.tsv",
            Delimited("\t", None, names_given=("#id", "gender", "age", "country", "registered"), header=True),
            "#id",
            (text("gender"), text("age"), text("country"), text("registered")),
        ),
    ),
    repeats="all",
    traps=(
        "Many tracks have no id: those rows are dropped and counted.",
        "Newest first; Z means UTC. A song played again stays.",
        "Track names hold quotation marks; the file has no quoting.",
    ),
)

MEDIA = (MICROLENS, KUAIREC, KUAIRAND, PIXELREC, MIND, LASTFM_1K)
