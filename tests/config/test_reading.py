"""How data are read is one thing for NaviGen, for its collaborative model, and for whoever opens the run afterwards."""

import json
from pathlib import Path

import pytest
from synthetic import write_atomic
from tiny_settings import NAVIGEN

from recbole_navigen.config import Config
from recbole_navigen.config.shipped import dataset_arguments
from recbole_navigen.pipeline.collaborative import collaborative_config
from recbole_navigen.quick_start import Recommender, run_navigen

# A yaml as users of RecBole have them: names, separators and encoding of their own, filters, doubles removed.
OWN = """\
USER_ID_FIELD: uid
ITEM_ID_FIELD: iid
RATING_FIELD: stars
TIME_FIELD: ts
LIST_SUFFIX: _hist
ITEM_LIST_LENGTH_FIELD: hist_length
field_separator: "|"
seq_separator: ";"
encoding: latin1
load_col: {inter: [uid, iid, stars, ts], item: [iid, title]}
val_interval: {stars: "[2,inf)"}
user_inter_num_interval: "[4,inf)"
rm_dup_inter: first
item_text_fields: [title]
"""


@pytest.fixture
def own_names(own_folder: Path) -> Path:
    """The data set `mine` with columns of its own names, in latin1 and with its own separator."""
    write_atomic(own_folder / "data", "mine", users=40, items=30)
    names = {"user_id:": "uid:", "item_id:": "iid:", "rating:": "stars:", "timestamp:": "ts:", "Tale": "Fábula"}
    for file in (own_folder / "data" / "mine").iterdir():
        text = file.read_text()
        for theirs, mine in names.items():
            text = text.replace(theirs, mine)
        file.write_bytes(text.replace("\t", "|").encode("latin1"))
    (own_folder / "own.yaml").write_text(OWN)
    return own_folder


def test_a_yaml_with_its_own_columns_serves_navigen_and_the_run_is_used_from_anywhere(
    own_names: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {key: value for key, value in NAVIGEN.items() if key != "item_text_fields"}
    more = {"epochs": 1, "use_gpu": False, "show_progress": False, "data_path": "data", "MAX_ITEM_LIST_LENGTH": 6}
    config = Config("NaviGen", "mine", ["own.yaml"], {**small, **more})
    given = collaborative_config(config)
    for key in dataset_arguments():
        assert given.get(key) == config[key], key

    folder = Path(run_navigen("NaviGen", "mine", ["own.yaml"], {**small, **more})["run_dir"]).resolve()
    data_path = json.loads((folder / "result.json").read_text())["config"]["data_path"]
    assert Path(data_path).is_absolute() and Path(data_path) == own_names / "data" / "mine"

    elsewhere = own_names / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(own_names))
    recommender = Recommender.load(f"~/{folder.relative_to(own_names)}")
    history = recommender.history_of(recommender.users[0])
    assert history and all(item.startswith("i") for item in history)
    assert any(title.startswith("Fábula") for title in recommender.titles.values())
    assert recommender.recommend(history, k=3)


@pytest.mark.parametrize("unset", ["load_col", "val_interval"])
def test_what_a_run_unsets_stays_unset(unset: str, tiny: Path) -> None:
    Path("properties/dataset").mkdir(parents=True)
    Path("properties/dataset/tiny.yaml").write_text('val_interval: {rating: "[2,inf)"}\n')
    config = Config("NaviGen", "tiny", config_dict={unset: None})
    assert config[unset] is None and collaborative_config(config)[unset] is None
