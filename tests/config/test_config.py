"""Settings: rank of the sources, safe values, secrets, and that the stock baselines need no extra flags."""

import math
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recbole.utils import ModelType

from recbole_navigen.config import Config
from recbole_navigen.config.reading import parse_argv, parse_value
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.errors import InputError
from recbole_navigen.redaction import without_secrets

BASELINES = ["Pop", "ItemKNN", "BPR", "LightGCN", "GRU4Rec", "SASRec", "BERT4Rec"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        (".5e+1", 5.0),
        ("-2.5", -2.5),
        ("True", True),
        ("false", False),
        ("None", None),
        ("~", None),
        ("[5, 10]", [5, 10]),
        ("{'LS': valid_only}", {"LS": "valid_only"}),
        ("{'RS':[0.8,0.1,0.1]}", {"RS": [0.8, 0.1, 0.1]}),
        ("2020-10-10", "2020-10-10"),
        ("a=b", "a=b"),
        ("'007'", "007"),
        ("@home", "@home"),
        ("__import__('os').system('true')", "__import__('os').system('true')"),
        ("0/0", "0/0"),
        ("SASRec", "SASRec"),
    ],
)
def test_values_follow_yaml_and_are_never_evaluated(text: str, value) -> None:
    parsed = parse_value("key", text)
    assert parsed == value and type(parsed) is type(value)
    assert parse_argv([f"--key={text}"]) == {"key": value}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_arrives(number: float) -> None:
    assert parse_value("key", repr(number)) == number


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1))
def test_any_text_is_a_value_or_one_clear_sentence(text: str) -> None:
    try:
        parse_value("key", text)
    except InputError as error:
        assert text in str(error)


def test_intervals_stay_text() -> None:
    assert parse_argv(["--user_inter_num_interval=[3,inf)"]) == {"user_inter_num_interval": "[3,inf)"}
    assert parse_argv(["--item_inter_num_interval=[3,10]"]) == {"item_inter_num_interval": "[3,10]"}


def test_rank_of_the_sources(tiny: Path) -> None:
    Path("one.yaml").write_text("epochs: 11\neval_step: 2\nstopping_step: 3\nlearning_rate: 1e-4\n")
    Path("two.yaml").write_text("eval_step: 12\nstopping_step: 4\nlearning_rate: 2e-4\n")
    config = Config(
        "BPR",
        "tiny",
        ["one.yaml", "two.yaml"],
        {"stopping_step": 13, "learning_rate": 3e-4},
        ["--learning_rate=4e-4"],
    )
    assert [config[key] for key in ("epochs", "eval_step", "stopping_step", "learning_rate")] == [11, 12, 13, 4e-4]
    # Below them: the model's yaml above our overall.yaml above RecBole's.
    assert config["eval_batch_size"] == 2_000_000
    assert config["valid_metric"] == "NDCG@10"
    assert config["embedding_size"] == 64


def test_a_folder_of_properties_in_the_working_directory_adds_to_ours(tiny: Path) -> None:
    Path("properties/dataset").mkdir(parents=True)
    Path("properties/dataset/tiny.yaml").write_text("item_text_fields: [title]\nMAX_ITEM_LIST_LENGTH: 7\n")
    config = Config("SASRec", "tiny")
    assert (config["item_text_fields"], config["MAX_ITEM_LIST_LENGTH"]) == (["title"], 7)


def test_model_and_dataset_come_from_a_config_file(tiny: Path) -> None:
    Path("run.yaml").write_text("model: BPR\ndataset: tiny\n")
    config = Config(config_file_list=["run.yaml"])
    assert (config["model"], config["dataset"]) == ("BPR", "tiny")
    assert Config("Pop", config_file_list=["run.yaml"])["model"] == "Pop"


def test_sys_argv_is_not_read(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest", "--epochs=99", "--maxfail=3", "x"])
    config = Config("BPR", "tiny")
    assert config["epochs"] == 300 and "maxfail" not in config


def test_config_dict_is_left_alone_and_runs_do_not_leak(tiny: Path) -> None:
    given = {"eval_args": {"order": "TO"}, "topk": 5, "valid_metric": "NDCG@5"}
    config = Config("BPR", "tiny", config_dict=given)
    assert given == {"eval_args": {"order": "TO"}, "topk": 5, "valid_metric": "NDCG@5"}
    assert config["topk"] == [5]
    assert "item_text_fields" in Config("BPR", "ml-100k").parameters["Dataset"]
    assert "item_text_fields" not in Config("BPR", "tiny").parameters["Dataset"]


def test_whole_floats_become_counts(tiny: Path) -> None:
    config = Config("BPR", "tiny", argv=["--epochs=1e1", "--learning_rate=1", "--reproducibility=0"])
    assert type(config["epochs"]) is int and config["epochs"] == 10
    assert type(config["learning_rate"]) is float
    assert config["reproducibility"] is False


@pytest.mark.parametrize("model", BASELINES)
def test_baselines_share_one_protocol_without_flags(model: str, tiny: Path) -> None:
    config = Config(model, "tiny")
    expected = {"LS": "valid_and_test"}, "TO", "user", {"valid": "full", "test": "full"}
    assert tuple(config["eval_args"][key] for key in ("split", "order", "group_by", "mode")) == expected
    assert config["topk"] == [5, 10, 20]
    sequential = config["MODEL_TYPE"] == ModelType.SEQUENTIAL
    assert config["repeatable"] is sequential
    assert config["train_neg_sample_args"]["distribution"] == ("none" if sequential else "uniform")


def test_a_partial_eval_args_keeps_the_protocol(tiny: Path) -> None:
    config = Config("BPR", "tiny", argv=["--eval_args={mode: {valid: uni100}}"])
    assert config["eval_args"]["split"] == {"LS": "valid_and_test"} and config["eval_args"]["order"] == "TO"
    assert config["eval_args"]["mode"] == {"valid": "uni100", "test": "uni100"}


def test_pairwise_loss_keeps_its_negatives(tiny: Path) -> None:
    assert Config("SASRec", "tiny", argv=["--loss_type=BPR"])["train_neg_sample_args"]["distribution"] == "uniform"
    Config("SASRec", "tiny", argv=["--train_neg_sample_args=None"])
    with pytest.raises(InputError, match="train_neg_sample_args"):
        Config("SASRec", "tiny", argv=["--train_neg_sample_args={distribution: uniform}"])


def test_kinds_that_need_labels_or_a_graph_keep_what_recbole_gives_them() -> None:
    config = Config("FM", "ml-100k")
    assert config["eval_args"]["mode"]["test"] == "labeled" and config["metrics"] == ["AUC", "LogLoss"]
    assert "kg" in Config("CFKG", "ml-100k")["load_col"]
    assert "item" in Config("SASRecF", "ml-100k")["load_col"]
    assert Config("CFKG", "ml-100k")["eval_args"]["split"] == {"LS": "valid_and_test"}


def test_a_model_class_may_bring_its_own_settings(tiny: Path) -> None:
    from recbole.model.general_recommender.bpr import BPR

    class Mine(BPR):
        def __init__(self, config, dataset):
            self.own = config["own_setting"]
            super().__init__(config, dataset)

    config = Config(Mine, "tiny", argv=["--own_setting=3", "--embedding_size=8"])
    assert (config["model"], config["own_setting"]) == ("Mine", 3)
    train = data_preparation(config, create_dataset(config))[0]
    assert Mine(config, train._dataset).own == 3


def test_one_file_may_serve_several_models(tiny: Path) -> None:
    Path("all.yaml").write_text("n_layers: 1\nknn_method: item\n")
    assert Config("SASRec", "tiny", ["all.yaml"])["n_layers"] == 1
    with pytest.raises(InputError, match="knn_method"):
        Config("SASRec", "tiny", argv=["--knn_method=item"])


def test_devices(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert Config("BPR", "tiny", argv=["--gpu_id="])["gpu_id"] == ""
    assert Config("BPR", "tiny", argv=["--use_gpu=False"])["gpu_id"] == ""
    assert Config("BPR", "tiny", argv=["--gpu_id=0,1"])["gpu_id"] == "0,1"


def test_secrets_are_hidden_wherever_settings_are_shown(tiny: Path) -> None:
    config = Config("BPR", "tiny")
    config["teacher_api_key"] = "hush1"
    config["teacher"] = {"password": "hush2", "url": "https://me:hush3@host/v1", "hf_token": "hush4", "name": "x"}
    for shown in (str(config), repr(config), repr(config.public())):
        assert "hush" not in shown and "(hidden)" in shown
    assert config["teacher_api_key"] == "hush1"
    assert without_secrets({"USER_ID_FIELD": "user_id", "k": 5, "api_key": None}) == {
        "USER_ID_FIELD": "user_id",
        "k": 5,
        "api_key": None,
    }
    assert config.public()["MODEL_TYPE"] == "GENERAL" and config.public()["device"] == "cpu"


def test_numbers_in_yaml_files_read_as_numbers(tiny: Path) -> None:
    Path("one.yaml").write_text("learning_rate: 1e-3\nweight_decay: 1e-05\n")
    config = Config("BPR", "tiny", ["one.yaml"])
    assert math.isclose(config["learning_rate"], 0.001) and math.isclose(config["weight_decay"], 1e-5)
