"""Data sets that are downloaded: what they are, where they are got, and the command that converts them.

What their files hold is said in recbole_navigen/conversion/formats. Standard library only.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Download:
    """A data set family.

    Attributes:
        title: what it is. get: where it is got. example: a command that converts it. aliases: other names of it.
    """

    title: str
    get: str
    example: str
    aliases: tuple[str, ...] = ()


DOWNLOADS: dict[str, Download] = {
    "amazon2014": Download(
        "Amazon reviews 2014: reviews (JSON), metadata (Python literals), and ratings in csv (user first)",
        "https://jmcauley.ucsd.edu/data/amazon (reviews_CATEGORY_5.json.gz, meta_CATEGORY.json.gz)",
        "navigen-convert amazon2014 reviews_Beauty_5.json.gz meta_Beauty.json.gz --name=beauty",
        ("amazon-2014", "amazon_2014", "amazon"),
    ),
    "amazon2018": Download(
        "Amazon reviews 2018: reviews, metadata, and ratings in csv (item first)",
        "https://nijianmo.github.io/amazon (CATEGORY_5.json.gz or CATEGORY.json.gz, and meta_CATEGORY.json.gz)",
        "navigen-convert amazon2018 Video_Games_5.json.gz meta_Video_Games.json.gz --name=games-2018",
        ("amazon-2018", "amazon_2018"),
    ),
    "amazon2023": Download(
        "Amazon reviews 2023: raw reviews and metadata, and the benchmark's files with and without histories",
        "https://amazon-reviews-2023.github.io (CATEGORY.jsonl.gz and meta_CATEGORY.jsonl.gz)",
        "navigen-convert amazon2023 Video_Games.jsonl.gz meta_Video_Games.jsonl.gz --name=games --core=5",
        ("amazon-2023", "amazon_2023"),
    ),
    "steam": Download(
        "Steam reviews and games (Kang and McAuley): Python 2 literals",
        "https://cseweb.ucsd.edu/~jmcauley/datasets.html (steam_reviews.json.gz, steam_games.json.gz)",
        "navigen-convert steam steam_reviews.json.gz steam_games.json.gz --name=steam --core=5",
    ),
    "yelp": Download(
        "Yelp open data set: reviews and businesses",
        "https://www.yelp.com/dataset (yelp_dataset.tar, or its review and business files)",
        "navigen-convert yelp yelp_dataset.tar --name=yelp --core=10",
    ),
    "goodreads": Download(
        "Goodreads (UCSD Book Graph): interactions or reviews of a genre, and books",
        "https://mengtingwan.github.io/data/goodreads (interactions or reviews, and books)",
        "navigen-convert goodreads goodreads_*_poetry.json.gz --name=poetry",
    ),
    "beeradvocate": Download(
        "BeerAdvocate: beer_reviews.csv, or the files of Stanford and UCSD",
        "https://www.kaggle.com/datasets/rdoume/beerreviews (beer_reviews.csv)",
        "navigen-convert beeradvocate beer_reviews.csv --name=beer --core=5",
        ("beer-advocate", "ratebeer"),
    ),
    "book-crossing": Download(
        "Book-Crossing: ratings, books and readers (no times)",
        "http://www2.informatik.uni-freiburg.de/~cziegler/BX (BX-CSV-Dump.zip)",
        "navigen-convert book-crossing BX-CSV-Dump.zip --name=book-crossing --order=file --bad_lines=skip",
        ("book_crossing", "bookcrossing", "bx"),
    ),
    "ml-100k": Download(
        "MovieLens 100K: u.data, u.item, u.user",
        "https://grouplens.org/datasets/movielens/100k (ml-100k.zip)",
        "navigen-convert ml-100k ml-100k.zip --name=movielens-100k",
        ("ml100k", "movielens-100k"),
    ),
    "ml-1m": Download(
        "MovieLens 1M: ratings.dat, movies.dat, users.dat",
        "https://grouplens.org/datasets/movielens/1m (ml-1m.zip)",
        "navigen-convert ml-1m ml-1m.zip --name=ml-1m",
        ("ml1m", "movielens-1m"),
    ),
    "ml-10m": Download(
        "MovieLens 10M: ratings.dat, movies.dat",
        "https://grouplens.org/datasets/movielens/10m (ml-10m.zip)",
        "navigen-convert ml-10m ml-10m.zip --name=ml-10m",
        ("ml10m", "movielens-10m", "ml-10m100k"),
    ),
    "ml-20m": Download(
        "MovieLens 20M: ratings.csv, movies.csv",
        "https://grouplens.org/datasets/movielens (ml-20m.zip)",
        "navigen-convert ml-20m ml-20m.zip --name=ml-20m",
        ("ml20m",),
    ),
    "ml-25m": Download(
        "MovieLens 25M: ratings.csv, movies.csv",
        "https://grouplens.org/datasets/movielens (ml-25m.zip)",
        "navigen-convert ml-25m ml-25m.zip --name=ml-25m",
        ("ml25m",),
    ),
    "ml-32m": Download(
        "MovieLens 32M: ratings.csv, movies.csv",
        "https://grouplens.org/datasets/movielens (ml-32m.zip)",
        "navigen-convert ml-32m ml-32m.zip --name=ml-32m",
        ("ml32m",),
    ),
    "ml-latest": Download(
        "MovieLens latest, full or small: ratings.csv, movies.csv",
        "https://grouplens.org/datasets/movielens (ml-latest.zip)",
        "navigen-convert ml-latest ml-latest.zip --name=ml-latest",
        ("ml-latest-small", "ml-csv"),
    ),
    "netflix": Download(
        "Netflix prize: combined_data_1.txt to 4, movie_titles.csv",
        "https://www.kaggle.com/datasets/netflix-inc/netflix-prize-data",
        "navigen-convert netflix netflix-prize-data.zip --name=netflix --core=10",
        ("netflix-prize",),
    ),
    "microlens": Download(
        "MicroLens 50k, 100k, 1M: pairs and titles",
        "https://github.com/westlake-repl/MicroLens (MicroLens-50k_pairs.csv, MicroLens-50k_titles.csv)",
        "navigen-convert microlens MicroLens-50k_pairs.csv MicroLens-50k_titles.csv --name=microlens",
    ),
    "kuairec": Download(
        "KuaiRec 2.0: big_matrix.csv or small_matrix.csv, captions and categories",
        "https://kuairec.com (KuaiRec.zip)",
        "navigen-convert kuairec big_matrix.csv kuairec_caption_category.csv --name=kuairec",
    ),
    "kuairand": Download(
        "KuaiRand Pure, 1K, 27K: logs of standard and random exposure",
        "https://kuairand.com",
        "navigen-convert kuairand KuaiRand-Pure.tar.gz --name=kuairand --events=click",
    ),
    "pixelrec": Download(
        "PixelRec: interactions and items",
        "https://github.com/westlake-repl/PixelRec",
        "navigen-convert pixelrec Pixel50K.csv item_info.csv --name=pixelrec",
    ),
    "mind": Download(
        "MIND: behaviors.tsv and news.tsv (English news)",
        "https://msnews.github.io (MINDsmall_train.zip)",
        "navigen-convert mind MINDsmall_train.zip --name=mind",
    ),
    "lastfm-1k": Download(
        "Last.fm 1K: plays with times, tracks as items",
        "http://ocelma.net/MusicRecommendationDataset/lastfm-1K.html (lastfm-dataset-1K.tar.gz)",
        "navigen-convert lastfm-1k lastfm-dataset-1K.tar.gz --name=lastfm --item_core=20",
        ("lastfm1k", "lastfm", "lastfm-dataset-1k"),
    ),
    "hm": Download(
        "H&M: transactions, articles, customers",
        "https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations",
        "navigen-convert hm transactions_train.csv articles.csv --name=hm --core=5",
        ("h&m", "h-and-m", "hm-fashion"),
    ),
    "pog": Download(
        "POG (Alibaba iFashion): clicks of users, items",
        "https://github.com/wenyuer/POG",
        "navigen-convert pog user_data.txt item_data.txt --name=pog",
        ("ifashion", "alibaba-ifashion"),
    ),
    "taobao": Download(
        "Taobao user behaviour (Tianchi): UserBehavior.csv",
        "https://tianchi.aliyun.com/dataset/649 (UserBehavior.csv.zip)",
        "navigen-convert taobao UserBehavior.csv.zip --name=taobao --events=buy --core=5",
    ),
    "tmall": Download(
        "Tmall: IJCAI-16 (ijcai2016_taobao.csv), repeat buyers of IJCAI-15 (user_log_format1.csv, train_format2.csv)",
        "https://tianchi.aliyun.com/dataset/53 (IJCAI-16), https://tianchi.aliyun.com/dataset/42 (repeat buyers)",
        "navigen-convert tmall ijcai2016_taobao.csv --name=tmall --events=buy",
    ),
    "retailrocket": Download(
        "RetailRocket: events and item properties",
        "https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset",
        "navigen-convert retailrocket events.csv item_properties_part1.csv --name=retailrocket --events=view",
    ),
    "diginetica": Download(
        "Diginetica (CIKM Cup 2016): sessions of item views",
        "https://competitions.codalab.org/competitions/11161 (dataset-train-diginetica.zip)",
        "navigen-convert diginetica dataset-train-diginetica.zip --name=diginetica --item_core=5",
    ),
    "gowalla": Download(
        "Gowalla (SNAP): check-ins",
        "https://snap.stanford.edu/data/loc-gowalla.html (loc-gowalla_totalCheckins.txt.gz)",
        "navigen-convert gowalla loc-gowalla_totalCheckins.txt.gz --name=gowalla --core=10",
    ),
    "lastfm-hetrec": Download(
        "Last.fm of HetRec 2011: artists listened to (no times)",
        "https://grouplens.org/datasets/hetrec-2011 (hetrec2011-lastfm-2k.zip)",
        "navigen-convert lastfm-hetrec hetrec2011-lastfm-2k.zip --name=lastfm --order=file",
        ("lastfm-2k", "hetrec2011-lastfm-2k"),
    ),
    "navigen-release": Download(
        "NaviGen's own data: sequences of codes, and the terms of each code (parquet)",
        "https://github.com/iLearn-Lab/NaviGen (train, valid and test_cid2cid.parquet, pid2cid2tid.parquet; Git LFS)",
        "navigen-convert navigen-release . --name=navigen",
    ),
}


def name_of(name: str) -> str | None:
    """The name of a data set family, by it or by an alias."""
    lower = name.lower()
    return next((known for known, entry in DOWNLOADS.items() if lower == known or lower in entry.aliases), None)


def hint(name: str) -> str:
    """A sentence on where a missing data set is got; empty where its name tells nothing.

    Args:
        name: of the data set, as in `--dataset`.
    """
    known = name_of(name)
    if known is None:
        plain = re.sub(r"[\W_]+", "-", name.lower())
        fitting = [k for k, e in DOWNLOADS.items() if plain.startswith((k, *e.aliases)) or k in plain.split("-")]
        known = max(fitting, key=len, default=None)
    if known is None:
        return ""
    entry = DOWNLOADS[known]
    command = re.sub(r"--name=\S+", f"--name={name}", entry.example)
    return f"{entry.title.partition(':')[0]} is got at {entry.get}, and `{command}` converts it"
