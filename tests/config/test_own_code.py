"""Models and metrics in a user's file: read before they are imported, run everywhere, and part of a run's identity."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from docs_commands import python_blocks
from recbole.evaluator import register
from synthetic import make_config

from recbole_navigen.__main__ import main
from recbole_navigen.config.own_code import own_metrics, own_model
from recbole_navigen.errors import InputError
from recbole_navigen.quick_start import Recommender, load_run, run_compare, run_hyper, run_navigen
from recbole_navigen.runs.identity import identity
from recbole_navigen.runs.result import read_result

SMALL = {"epochs": 1, "loss_type": "CE", "bag_width": 4, "use_gpu": False, "show_progress": False, "state": "ERROR"}
SMALL |= {"MAX_ITEM_LIST_LENGTH": 8, "topk": [5], "valid_metric": "NDCG@5"}


@pytest.fixture
def files(own_folder: Path) -> Iterator[Path]:
    """The two files of the how-tos, and a class that derives from SASRec; RecBole's tables are as before afterwards."""
    tables = (register.metrics_dict, register.metric_information, register.metric_types)
    before, smaller = [dict(table) for table in tables], list(register.smaller_metrics)
    derived = "\nfrom recbole.model.sequential_recommender import SASRec\n\n\nclass Wide(SASRec):\n    pass\n"
    (own_folder / "my_models.py").write_text(python_blocks()["docs/howto/own_model.md"][0] + derived)
    (own_folder / "my_metrics.py").write_text(python_blocks()["docs/howto/own_metric.md"][0])
    yield own_folder
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)
    register.smaller_metrics[:] = smaller


def test_a_file_is_read_before_it_is_imported(files: Path) -> None:
    bag, wide = (own_model("my_models.py", name) for name in ("Bag", "Wide"))
    assert (bag.family, bag.base, bag.keys) == ("sequential_recommender", None, {"bag_width"})
    assert (wide.family, wide.base) == ("sequential_recommender", "SASRec")
    assert own_metrics("my_metrics.py") == {"first": "TOP_K", "recent": "RANKING"}
    assert own_model("my_models.py", "BPR") is None
    Path("broken.py").write_text("class Bag(:\n")
    Path("sub.py").write_text("from recbole_navigen.model.navigen import NaviGen\nclass Mine(NaviGen):\n    pass\n")
    for file, name, message in (
        ("my_models.py", "Bug", "has no class Bug; the nearest is Bag"),
        ("nowhere.py", "Bag", "cannot be read"),
        ("broken.py", "Bag", "is not Python, line 1"),
        ("sub.py", "Mine", "derives from NaviGen"),
    ):
        with pytest.raises(InputError, match=message):
            own_model(file, name)
    with pytest.raises(InputError, match="has no metric"):
        own_metrics("my_models.py")


def test_mistakes_are_refused_in_one_line(files: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["--model=my_models.py:Bag", "--bag_widht=3"], "unknown setting `bag_widht`"),
        (["--model=my_models.py:Bug"], "has no class Bug"),
        (["--model=BPR", "--metrics_file=my_metrics.py", "--metrics=[NDCG,Fisrt]"], "unknown metric `Fisrt`"),
        (["--model=BPR", "--metrics_file=my_metrics.py", "--metrics=[First]", "--valid_metric=First"], "needs its k"),
    ):
        assert main(["--dataset=tiny", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_a_model_of_ones_own_from_a_run_to_its_use(files: Path, tiny: Path, in_this_process: list[str]) -> None:
    settings = {**SMALL, "metrics_file": "my_metrics.py", "metrics": ["NDCG", "First", "Recent"]}
    result = run_navigen("my_models.py:Bag", "tiny", config_dict=settings)
    assert set(result["test_result"]) == {"ndcg@5", "first@5", "recent"}
    assert result["test_result"]["first@5"] <= result["test_result"]["ndcg@5"]
    run = load_run(result["run_dir"])
    assert type(run.model).__name__ == "Bag" and run.model.items.weight.shape[1] == 4
    assert len(Recommender.load(result["run_dir"]).recommend(["i1", "i2"], k=3)) == 3
    # Beside others, and in a sweep; the run from above is found again.
    config = {key: value for key, value in settings.items() if key not in ("metrics", "metrics_file")}
    compared = run_compare(["my_models.py:Bag", "my_models.py:Wide", "Pop"], "tiny", config_dict=config)
    assert [row.label for row in compared["comparison"].contenders] == ["Bag", "Wide", "Pop"]
    assert sorted(in_this_process) == ["Bag", "Pop", "Wide"]
    Path("space.yaml").write_text("bag_width: [4, 8]\n")
    config.pop("bag_width")
    found = run_hyper("my_models.py:Bag", "tiny", "space.yaml", n_trials=1, config_dict=config)
    assert found["best"]["settings"]["model_file"] == str(files / "my_models.py")


def test_the_code_is_part_of_the_identity(files: Path, tiny: Path) -> None:
    own = {"model_file": "my_models.py", "metrics_file": "my_metrics.py", "metrics": ["NDCG", "First"]}
    own |= {"loss_type": "CE", "bag_width": 4}

    def named() -> dict:
        return identity(make_config("Bag", tiny, **own))

    first = named()
    assert first["code_hash"] and first["metrics_hash"] and named() == first
    for file, old, new, changed in (
        ("my_models.py", "Ranks items", "Orders items", set()),  # a docstring
        ("my_models.py", ".sum(dim=1)", ".amax(dim=1)", {"code_hash"}),
        ("my_metrics.py", "hits[:, :1]", "hits[:, 1:2]", {"metrics_hash"}),
    ):
        text = Path(file).read_text()
        Path(file).write_text(text.replace(old, new))
        now = named()
        assert {key for key in now if now[key] != first.get(key)} == changed
        Path(file).write_text(text)
    # Where the file lies does not count.
    Path("elsewhere").mkdir()
    Path("my_models.py").rename("elsewhere/models.py")
    own["model_file"] = "elsewhere/models.py"
    assert named() == first


def test_a_smaller_metric_is_minimized(files: Path, tiny: Path) -> None:
    text = Path("my_metrics.py").read_text()
    Path("my_metrics.py").write_text(text.replace("    metric_type =", "    smaller = True\n    metric_type ="))
    own = {"metrics_file": "my_metrics.py", "metrics": ["NDCG", "Recent"], "valid_metric": "Recent", "epochs": 1}
    result = run_navigen("BPR", "tiny", config_dict={"show_progress": False, "state": "ERROR", **own})
    assert read_result(result["run_dir"])["valid_score_bigger"] is False
