"""The formats without a fixture, from invented rows in their exact layouts, and any table."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recbole_navigen.cli.convert import convert
from recbole_navigen.config.downloads import DOWNLOADS
from recbole_navigen.conversion.formats import FORMATS, TABLES

KUAIRAND = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,"
    "play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab\n"
)
HEADER = "user_id:token\titem_id:token\ttimestamp:float\n"
RATED = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
# Format -> files, further options, and the files that must come of them.
CASES = {
    "kuairand": (
        {
            "log_standard_4_08_to_4_21_pure.csv": KUAIRAND
            + "7,5,20220409,1200,1649476800123,1,0,0,0,0,0,1,900,1000,0,0,0,0,1\n"
            + "7,6,20220409,1200,1649476800124,0,0,0,0,0,0,0,900,1000,0,0,0,0,1\n",
            "log_standard_4_22_to_5_08_pure.csv": KUAIRAND
            + "7,5,20220423,1200,1650686400000,1,1,0,0,0,0,1,900,1000,0,0,0,0,1\n",
            "log_random_4_22_to_5_08_pure.csv": KUAIRAND
            + "7,9,20220423,1200,1650686400001,1,1,0,0,0,0,1,900,1000,0,0,0,1,1\n",
        },
        ["--events=click"],
        {".inter": HEADER + "7\t5\t1649476800123\n7\t5\t1650686400000\n"},
    ),
    "hm": (
        {
            "transactions_train.csv": "t_dat,customer_id,article_id,price,sales_channel_id\n"
            "2018-09-20,000058a12d5b43e67d225668fa1f8d618c13dc232df0cad8ffe7ad4a1091e318,0663713001,0.0508,2\n"
            "2018-09-20,000058a12d5b43e67d225668fa1f8d618c13dc232df0cad8ffe7ad4a1091e318,0663713001,0.0508,2\n"
            "2018-09-21,000058a12d5b43e67d225668fa1f8d618c13dc232df0cad8ffe7ad4a1091e318,0541518023,0.0304,2\n",
        },
        [],
        {
            ".inter": HEADER
            + "000058a12d5b43e67d225668fa1f8d618c13dc232df0cad8ffe7ad4a1091e318\t0663713001\t1537401600\n"
            "000058a12d5b43e67d225668fa1f8d618c13dc232df0cad8ffe7ad4a1091e318\t0541518023\t1537488000\n"
        },
    ),
    "lastfm-1k": (
        {
            "userid-timestamp-artid-artname-traid-traname.tsv": 'user_1\t2009-05-04T23:08:57Z\ta1\tThe "Fakes"'
            '\tt1\t"So" it goes\n'
            'user_1\t2009-05-04T13:54:10Z\ta1\tThe "Fakes"\t\tNo id\n'
            'user_1\t2009-05-04T13:52:04Z\ta1\tThe "Fakes"\tt1\t"So" it goes\n'
        },
        [],
        {
            ".inter": HEADER + "user_1\tt1\t1241445124\nuser_1\tt1\t1241478537\n",
            ".item": 'item_id:token\ttitle:token_seq\tartist:token\nt1\t“So” it goes\tThe "Fakes"\n',
        },
    ),
    "diginetica": (
        {
            "train-item-views.csv": "sessionId;userId;itemId;timeframe;eventdate\n"
            "1;NA;81766;526309;2016-05-09\n1;NA;31331;1031018;2016-05-09\n2;17;81766;0;2016-05-10\n",
            "product-categories.csv": "itemId;categoryId\n81766;1096\n31331;1096\n9;9\n",
        },
        [],
        {
            ".inter": HEADER + "1\t81766\t1462752526309\n1\t31331\t1462753031018\n2\t81766\t1462838400000\n",
            ".item": "item_id:token\tcategory:token\n31331\t1096\n81766\t1096\n",
        },
    ),
    "ml-10m": (
        {
            "ratings.dat": "1::122::4.5::838985046\n1::185::5::838983525\n",
            "movies.dat": "122::Fakes: Été, L' (1992)::Comedy|Romance\n185::The Fake Net (1995)::Action\n",
        },
        [],
        {
            ".inter": RATED + "1\t185\t5\t838983525\n1\t122\t4.5\t838985046\n",
            ".item": "item_id:token\ttitle:token_seq\trelease_year:token\tgenres:token_seq\n"
            "122\tFakes: Été, L'\t1992\tComedy Romance\n185\tThe Fake Net\t1995\tAction\n",
        },
    ),
    "tmall": (
        {
            "user_log_format1.csv": "user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type\n"
            "328862,323294,833,2882,2661,829,0\n328862,844400,1271,2882,2661,1111,2\n"
        },
        ["--events=buy"],
        {
            ".inter": HEADER + "328862\t844400\t1415664000\n",
            ".item": "item_id:token\tcategory:token\tseller:token\tbrand:token\n844400\t1271\t2882\t2661\n",
        },
    ),
    "tmall-lists": (
        {
            "train_format2.csv": "user_id,age_range,gender,merchant_id,label,activity_log\n"
            "34176,6,0,944,-1,408895:1505:7370:1107:0#17235:1604:4396:0818:0\n34176,6,0,412,-1,\n"
        },
        [],
        {
            ".inter": HEADER + "34176\t17235\t1408320000\n34176\t408895\t1415318400\n",
            ".item": "item_id:token\tcategory:token\tbrand:token\n17235\t1604\t4396\n408895\t1505\t7370\n",
        },
    ),
    "book-crossing": (
        {
            "BX-Book-Ratings.csv": '"User-ID";"ISBN";"Book-Rating"\n'
            '"276725";"034545104X";"0"\n"276725";"0155061224";"5"\n',
            "BX-Books.csv": '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication";"Publisher";"Image-URL-S"\n'
            '"034545104X";"A Child \\"It\\": Fake &amp; Caf\xe9";"N. O. Body";"2002";"Fake Press";"u"\n',
        },
        ["--order=file"],
        {
            ".inter": RATED + "276725\t034545104X\t0\t0\n276725\t0155061224\t5\t1\n",
            ".item": "item_id:token\ttitle:token_seq\tauthor:token\trelease_year:token\tpublisher:token\n"
            "0155061224\t\t\t\t\n"
            '034545104X\tA Child "It": Fake & Café\tN. O. Body\t2002\tFake Press\n',
        },
    ),
    "beeradvocate": (
        {
            "beeradvocate.txt": "beer/name: Fake Ale\nbeer/beerId: 47986\nbeer/brewerId: 10325\nbeer/style: Stout\n"
            "review/time: 1234817823\nreview/profileName: fox\nreview/overall: 1.5\nreview/text: a: b\n\n"
            "beer/name: Fake Ale\nbeer/beerId: 47986\nbeer/brewerId: 10325\nbeer/style: Stout\n"
            "review/time: 1234817824\nreview/profileName: owl\nreview/overall: 3\n"
        },
        [],
        {
            ".inter": RATED + "fox\t47986\t1.5\t1234817823\nowl\t47986\t3\t1234817824\n",
            ".item": "item_id:token\ttitle:token_seq\tstyle:token\tbrewery:token\n47986\tFake Ale\tStout\t10325\n",
        },
    ),
    "amazon2018": (
        {"Toy_Box.csv": "0000000017,A1FAKEUSER0001,5.0,1514764800\nB00FAKE001,A1FAKEUSER0001,4.0,1514764801\n"},
        [],
        {
            ".inter": RATED
            + "A1FAKEUSER0001\t0000000017\t5.0\t1514764800\nA1FAKEUSER0001\tB00FAKE001\t4.0\t1514764801\n"
        },
    ),
    "amazon2023": (
        {
            "Toy_Box.train.csv": "user_id,parent_asin,rating,timestamp,history\nAE1,B0FAKE0001,5.0,1600000000000,\n"
            "AE1,B0FAKE0002,5.0,1600000000001,B0FAKE0001\n",
            "Toy_Box.valid.csv": "user_id,parent_asin,rating,timestamp,history\n"
            "AE1,B0FAKE0003,5.0,1600000000002,B0FAKE0001 B0FAKE0002\n",
        },
        [],
        {
            ".inter": RATED + "AE1\tB0FAKE0001\t5.0\t1600000000000\n"
            "AE1\tB0FAKE0002\t5.0\t1600000000001\nAE1\tB0FAKE0003\t5.0\t1600000000002\n"
        },
    ),
    "lastfm-hetrec": (
        {"user_artists.dat": "userID\tartistID\tweight\r\n2\t51\t13883\r\n2\t52\t11690\r\n"},
        ["--order=file"],
        {".inter": "user_id:token\titem_id:token\tweight:float\ttimestamp:float\n2\t51\t13883\t0\n2\t52\t11690\t1\n"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_format_without_a_fixture(name: str, own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files, options, expected = CASES[name]
    (own_folder / "download").mkdir()
    for file, text in files.items():
        encoding = "latin-1" if name == "book-crossing" else "utf-8"
        (own_folder / "download" / file).write_bytes(text.encode(encoding))
    kind = name.removesuffix("-lists")
    assert convert([kind, "download", "--name=small", *options]) == 0, capsys.readouterr().err
    for suffix, text in expected.items():
        assert (own_folder / "dataset" / "small" / f"small{suffix}").read_text(encoding="utf-8") == text


def test_every_format_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert FORMATS.keys() == DOWNLOADS.keys()
    for entry in FORMATS.values():
        assert convert(["--show", entry.name]) == 0
        shown = capsys.readouterr().out
        known = entry.download
        assert known.get in shown and known.example in shown and all(trap in shown for trap in entry.traps)
        assert entry.traps and known.example.startswith(f"navigen-convert {entry.name} ")
    assert convert(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in (*FORMATS, *TABLES))


ROWS = [("u1", "007", "2020-01-02", "x"), ("u1", "7", "2020-01-01 10:00:00+02:00", "y"), ("u2", "7", "2020-01-03", "x")]
TABLE_INTER = HEADER + "u1\t7\t1577865600\nu1\t007\t1577923200\nu2\t7\t1578009600\n"


def table(kind: str, path: Path) -> Path:
    """The same rows as csv, tsv, JSON lines, Python literals or parquet."""
    names = ("uid", "sku", "ts", "what")
    path = path / f"clicks.{kind}"
    if kind in ("csv", "tsv", "semicolon"):
        separator = {"csv": ",", "tsv": "\t", "semicolon": ";"}[kind]
        path.write_text("\n".join(separator.join(row) for row in (names, *ROWS)))
    elif kind == "parquet":
        pq.write_table(pa.table({name: [row[n] for row in ROWS] for n, name in enumerate(names)}), path)
    else:
        lines = [dict(zip(names, row, strict=True)) for row in ROWS]
        text = "\n".join(map(json.dumps if kind == "jsonl" else repr, lines)).encode()
        path.write_bytes(gzip.compress(text) if kind == "jsonl" else text)
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "semicolon", "jsonl", "literal", "parquet"])
def test_a_table_of_any_kind(kind: str, own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(kind, own_folder)
    (own_folder / "products.csv").write_text('sku,name,tags,average_rating\n007,"Kite, red",a|b c,4\n8,Robot,,3\n')
    arguments = ["csv", str(path), "--user=uid", "--item=sku", "--time=ts", "--name=mine"]
    items = ["--items=products.csv", "--title=name", "--item_columns=tags:|"]
    assert convert([*arguments, *items]) == 0, capsys.readouterr().err
    folder = own_folder / "dataset" / "mine"
    assert (folder / "mine.inter").read_text() == TABLE_INTER
    expected = "item_id:token\ttitle:token_seq\ttags:token_seq\n007\tKite, red\ta b_c\n7\t\t\n"
    assert (folder / "mine.item").read_text() == expected
    assert convert([*arguments, "--overwrite", "--event=what", "--events=x"]) == 0
    assert "u1\t7\t" not in (folder / "mine.inter").read_text()


def test_a_table_without_header_and_other_dates(own_folder: Path) -> None:
    (own_folder / "clicks.txt").write_text("a|1|02.01.2020\nb|2|03.01.2020\n")
    arguments = ["csv", "clicks.txt", "--no_header", "--separator=|", "--user=1", "--item=2", "--time=3", "--name=mine"]
    assert convert([*arguments, "--time_format=%d.%m.%Y"]) == 0
    written = (own_folder / "dataset" / "mine" / "mine.inter").read_text().splitlines()
    assert written[1:] == ["a\t1\t1577923200", "b\t2\t1578009600"]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("u,i,t\n1,2,3\n", ["--user=u", "--item=x", "--time=t"], "no column x; its columns are i, t, u"),
        ("u,i,t\n1,2,3\n", ["--user=u", "--item=i"], "--time=COLUMN is missing"),
        ("u,i,t\n1,2,3\n", ["--item=i", "--time=t"], "--user=COLUMN is missing"),
        ("u,i,t\n1,2,3\n4,5\n", ["--user=u", "--item=i", "--time=t"], "line 3: it has 2 columns and not 3"),
        ("u,i,t\n1,2,soon\n", ["--user=u", "--item=i", "--time=t"], "line 2: its time or value is no number or date"),
        ("u,i,t\n1,2,3\n1,2,2020-01-01\n", ["--user=u", "--item=i", "--time=t"], "line 3: its time or value"),
        ('u,i,t\n1,"2,3\n', ["--user=u", "--item=i", "--time=t"], "line 2: its quotation marks do not fit"),
        ('u,i,t\n1,"a\tb",3\n', ["--user=u", "--item=i", "--time=t"], "holds a tab"),
        ("u,i,t\n[PAD],b,3\n", ["--user=u", "--item=i", "--time=t"], "[PAD]"),
        ("u,i,t\n1,2,\n", ["--user=u", "--item=i", "--time=t", "--missing_times=refuse"], "line 2 has no time"),
        ("u,i,t\n1,2,\n", ["--user=u", "--item=i", "--time=t"], "no row is left"),
        ("u,i,t\n1,2,3\n", ["--user=u", "--item=i", "--time=t", "--core=2"], "no row is left after the core"),
        ("u,i,t\n1,2,3\n", ["--user=u", "--item=i", "--time=t", "--events=buy"], "--event=COLUMN"),
        ("u,i,t\n1,2,3\n", ["--user=u", "--item=i", "--time=t", "--title=i"], "--items=FILE"),
        ("u,i,t\n1,2,3\n", ["--user=u", "--item=i", "--time=t", "--min_rating=3"], "has no ratings"),
        ("", ["--user=u", "--item=i", "--time=t"], "is empty"),
    ],
)
def test_a_bad_table_is_refused(
    text: str, options: list[str], words: str, own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_folder / "bad.csv").write_text(text)
    assert convert(["csv", "bad.csv", "--name=bad", *options]) == 2
    said = capsys.readouterr().err
    assert words in said and said.startswith("error: ") and said.count("\n") == 1
    assert {file.name for file in own_folder.iterdir()} == {"bad.csv"}


def test_bad_lines_are_skipped_and_counted_when_asked(own_folder: Path) -> None:
    rows = ['1,"a",1', '2,"b"x,2', "3,c", '4,"d', "5,e,5", "6,f,soon", "7,g,7"]
    (own_folder / "bad.csv").write_text("\n".join(["u,i,t", *rows]))
    arguments = ["csv", "bad.csv", "--name=bad", "--user=u", "--item=i", "--time=t", "--bad_lines=skip"]
    assert convert(arguments) == 0
    report = json.loads((own_folder / "dataset" / "bad" / "bad.report.json").read_text())
    assert (report["rows_read"], report["rows_bad"], report["interactions"]) == (7, 4, 3)
    assert "bad.csv line 3: its quotation marks do not fit" in report["first_bad_line"]
