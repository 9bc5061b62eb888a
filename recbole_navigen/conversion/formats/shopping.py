"""Clicks, carts and purchases. All are logs: every row stays, exact copies but one."""

from recbole_navigen.conversion.layouts import Actions, Delimited, Timelines
from recbole_navigen.conversion.spec import Attributes, Format, Interactions, text, tokens, words
from recbole_navigen.conversion.text import listed, number

HM = Format(
    "hm",
    (
        Interactions(r"transactions.*\.csv", Delimited(), "customer_id", "article_id", "t_dat", clock="iso"),
        Attributes(
            "items",
            r"articles\.csv",
            Delimited(),
            "article_id",
            (
                words("title", "prod_name", role="name"),
                tokens(
                    "categories",
                    "product_type_name+product_group_name+index_group_name+section_name+garment_group_name",
                    role="genre",
                    cell=lambda *names: listed(names),
                ),
                text("color", "colour_group_name", role="kind"),
                words("description", "detail_desc", role="story"),
            ),
        ),
        Attributes(
            "users",
            r"customers\.csv",
            Delimited(),
            "customer_id",
            (text("age"), text("club_member_status"), text("fashion_news_frequency")),
        ),
    ),
    repeats="all",
    traps=(
        "Article ids have a leading zero and are text.",
        "Times are whole days: purchases of one day tie, the order of the file decides.",
        "Several of one article on one day are exact duplicates and count once.",
        "Pictures lie in images/0xx/ARTICLE.jpg.",
    ),
)

POG = Format(
    "pog",
    (
        Interactions(r"user_data.*\.txt", Timelines(",", ";", 3, once=True), "user", "item", clock="position"),
        Attributes(
            "items",
            r"item_data.*\.txt",
            Delimited(",", None, names_given=("item", "category", "picture", "title"), splits=3),
            "item",
            (words("title", role="name"), text("category", role="genre")),
        ),
    ),
    repeats="all",
    sizes={"all": (3569112, 4463302, None)},
    traps=(
        "The click list of a user is repeated for every outfit clicked: it is taken once.",
        "There are no times: the position is the time.",
        "Titles hold commas in a file that is separated by commas.",
    ),
)


def _attributes(**columns: str) -> tuple:
    return tuple(text(name, column, role="genre" if name == "category" else None) for name, column in columns.items())


_FOUR = {"pv": "pv", "click": "pv", "cart": "cart", "fav": "fav", "buy": "buy"}
_BEHAVIOUR = Delimited(names_given=("user", "item", "category", "event", "time"), header=True)

TAOBAO = Format(
    "taobao",
    (
        Interactions(r"userbehavior.*\.csv", _BEHAVIOUR, "user", "item", "time", event="event", events=_FOUR),
        Attributes(
            "items", r"userbehavior.*\.csv", _BEHAVIOUR, "item", _attributes(category="category"), repeated=True
        ),
    ),
    repeats="all",
    sizes={"all": (987994, 4162024, 100150807)},
    traps=(
        "Four behaviours stand in one file: choose with --events=pv,cart,fav,buy.",
        "Some times lie far outside 25 November to 3 December 2017: those before 1990 or after today are "
        "dropped and counted.",
    ),
)

_2015 = {"click": "0", "cart": "1", "buy": "2", "fav": "3"}

TMALL = Format(
    "tmall",
    (
        Interactions(
            r"ijcai2016_taobao\.csv",
            Delimited(),
            "use_ID",
            "ite_ID",
            "time",
            event="act_ID",
            clock="compact",
            events={"click": "0", "buy": "1"},
        ),
        Interactions(
            r"user_log_format1\.csv",
            Delimited(),
            "user_id",
            "item_id",
            "time_stamp",
            event="action_type",
            clock="month_day",
            events=_2015,
            variant=1,
        ),
        Interactions(
            r"(train|test)_format2\.csv",
            Actions(),
            "user",
            "item",
            "time",
            event="action",
            clock="month_day",
            events=_2015,
            variant=2,
            several=True,
        ),
        Attributes(
            "items",
            r"ijcai2016_taobao\.csv",
            Delimited(),
            "ite_ID",
            _attributes(category="cat_ID", seller="sel_ID"),
            repeated=True,
        ),
        Attributes(
            "items",
            r"user_log_format1\.csv",
            Delimited(),
            "item_id",
            _attributes(category="cat_id", seller="seller_id", brand="brand_id"),
            repeated=True,
        ),
        Attributes(
            "items",
            r"(train|test)_format2\.csv",
            Actions(),
            "item",
            _attributes(category="category", brand="brand"),
            repeated=True,
        ),
        Attributes("users", r"user_info_format1\.csv", Delimited(), "user_id", (text("age_range"), text("gender"))),
    ),
    repeats="all",
    traps=(
        "Events are numbers, which differ between the editions; --events=click,buy takes the words.",
        "Days are written 20150826; the repeat buyers' have month and day only (0829), and their year is 2014.",
        "An item sold by several sellers: the first row's stays, such items are counted.",
    ),
)

_THREE = {
    "view": "view",
    "cart": "addtocart",
    "addtocart": "addtocart",
    "buy": "transaction",
    "transaction": "transaction",
}

RETAILROCKET = Format(
    "retailrocket",
    (
        Interactions(
            r"events\.csv", Delimited(), "visitorid", "itemid", "timestamp", event="event", clock="ms", events=_THREE
        ),
        Attributes(
            "items",
            r"item_properties.*\.csv",
            Delimited(),
            "itemid",
            (text("category", "value"),),
            where=("property", "categoryid"),
            earliest="timestamp",
        ),
    ),
    repeats="all",
    sizes={"all events": (None, None, 2756101)},
    traps=(
        "Times are Unix milliseconds.",
        "Properties change over time: the earliest stays, a later one would look into the future.",
        "Words are hashed numbers: there is no text.",
    ),
)

DIGINETICA = Format(
    "diginetica",
    (
        Interactions(
            r"train-item-views\.csv",
            Delimited(";"),
            "sessionId|session_id",
            "itemId|item_id",
            "eventdate+timeframe",
            clock="day_ms",
        ),
        Attributes("items", r"product-categories\.csv", Delimited(";"), "itemId", (text("category", "categoryId"),)),
        Attributes(
            "items",
            r"products\.csv",
            Delimited(";"),
            "itemId",
            (text("price_log2", "pricelog2", kind="float", cell=number), tokens("name_tokens", "product.name.tokens")),
        ),
    ),
    repeats="all",
    sizes={"sessions as users": (310324, 122993, 1235380)},
    traps=(
        "Sessions are the users: userId is NA nearly everywhere.",
        "A time is the day and milliseconds within the session: both together are the time, in milliseconds.",
        "Words are hashed numbers: there is no text.",
    ),
    notes=("users are sessions", "times are the day plus the milliseconds within the session"),
)

SHOPPING = (HM, POG, TAOBAO, TMALL, RETAILROCKET, DIGINETICA)
