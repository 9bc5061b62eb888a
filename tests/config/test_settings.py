"""The description of the settings: every described value that cannot be meant is refused, all others are taken."""

import math
import string
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_navigen.config import shipped
from recbole_navigen.config.checking import fitted, merged
from recbole_navigen.config.description import Kind, Setting, describe_text, every, parse_type
from recbole_navigen.config.forms import is_encoding, is_interval, is_mode, is_split
from recbole_navigen.config.given import gather
from recbole_navigen.config.reading import Partial, parse_argv, properties_folders, read_settings, without_dots
from recbole_navigen.config.sections import section_settings
from recbole_navigen.errors import InputError

SECTIONS = (*shipped.SECTIONS, "teacher/openai", "teacher/transformers")
OURS = [*shipped.described("NaviGen").values(), *(one for name in SECTIONS for one in shipped.section(name).values())]
ALL = [setting for one in OURS for setting in every({one.name: one})]
CHECKED = [setting for setting in ALL if not any(kind.word == "any" for kind in setting.kinds)]


def check(setting: Setting, value: Any) -> Any:
    return fitted(setting, value, shipped.sections)


def wrong_for(setting: Setting) -> Iterator[Any]:
    """Values that no kind of a setting takes: of other types, outside of each end, and no numbers at all."""
    words = {kind.word for kind in setting.kinds}
    if not setting.none:
        yield None
    if not words & {"dict", "open dict", "whole dict", "settings of", "settings by model", "split", "mode"}:
        yield {"a": {"b": 1}}
    if not words & {"list", "pair"}:
        yield [1.5, "x", None]
    else:
        yield [{"a": 1}, [object()]]
    if not words & {"str", "path", "source"}:
        yield "no such thing at all"
    if not words & {"int", "float"}:
        yield 7.25
    if not words & {"bool"} and not any(isinstance(c, bool) for kind in setting.kinds for c in kind.choices):
        yield True
    yield from (math.nan, math.inf, -math.inf)
    for kind in setting.kinds:
        if kind.word == "int":
            yield 1.5
        if kind.word in ("int", "float") and not words & {"bool"}:
            if kind.low > -math.inf:
                yield kind.low - 1
                if kind.low_open:
                    yield kind.low
            if kind.high < math.inf:
                yield kind.high + 1
                if kind.high_open:
                    yield kind.high


def right_for(kind: Kind) -> Iterator[Any]:
    """Values that a kind takes: its choices, and both ends of its range or what lies beside them."""
    if kind.word == "choice":
        yield from kind.choices
    if kind.word in ("int", "float"):
        step = 1 if kind.word == "int" else 1e-6
        low, high = max(kind.low, -1e6), min(kind.high, 1e6)
        yield low + step if kind.low_open else low
        yield high - step if kind.high_open else high


@pytest.mark.parametrize("setting", CHECKED, ids=[setting.name for setting in CHECKED])
def test_what_cannot_be_meant_is_refused_by_name_and_the_rest_is_taken(setting: Setting) -> None:
    for value in wrong_for(setting):
        with pytest.raises(InputError) as caught:
            check(setting, value)
        assert setting.name in str(caught.value) and "\n" not in str(caught.value), value
    for kind in setting.kinds:
        for value in right_for(kind):
            assert check(setting, value) == value
    if setting.none:
        assert check(setting, None) is None


@pytest.mark.parametrize("model", shipped.model_names())
def test_no_default_of_any_model_is_refused(model: str) -> None:
    described, root = shipped.described(model), shipped.recbole_folder() / "properties"
    files = [root / "overall.yaml", root / "dataset" / "sample.yaml", root / "model" / f"{model}.yaml"]
    for folder in properties_folders():
        files += [folder / "overall.yaml", folder / "model" / f"{model}.yaml", *(folder / "dataset").glob("*.yaml")]
    files += (root / "quick_start_config").glob("*.yaml")
    for file in files:
        for name, value in (read_settings(file) if file.is_file() else {}).items():
            assert check(described.get(name) or shipped.anywhere(name), value) == value, (file, name)


# What RecBole's documentation searches for its models, a few of every form.
SEARCHED = {
    "BPR": {"learning_rate": [5e-5, 0.07], "embedding_size": [64]},
    "SASRec": {
        "attn_dropout_prob": [0.2, 0.5],
        "hidden_size": [64, 128],
        "n_heads": [1, 2],
        "loss_type": ["CE", "BPR"],
    },
    "NGCF": {"hidden_size_list": [[64], [128, 128]], "node_dropout": [0.0, 0.1], "reg_weight": [1e-5]},
    "LightGCN": {"n_layers": [1, 4], "reg_weight": [0, 1e-2]},
    "SimpleX": {"margin": [0, 0.9, -0.5], "negative_weight": [1, 10, 50], "gamma": [0.3, 0.7]},
    "GRU4RecCPR": {"n_facet_window": [-2, 0], "n_facet_MLP": [-1, 0], "reranker_CAN_NUM": ["500,100,20", 100]},
    "HGN": {"reg_weight": [[0.0, 0.0], [1e-3, 1e-3]], "pooling_type": ["average", "max"]},
    "MacridVAE": {"kfac": [3, 20], "reg_weights": [[0.0, 0.0]]},
    "NCL": {"proto_reg": [1e-6], "num_clusters": [100, 1000], "ssl_temp": [0.05, 0.1]},
    "ItemKNN": {"k": [10, 500], "shrink": [0.0, 1.0]},
    "DMF": {"user_hidden_size_list": [[64, 64], [64, 32]]},
    "EASE": {"reg_weight": [1.0, 1000]},
    "NFM": {"mlp_hidden_size": [[64, 64]], "dropout_prob": [0.0, 0.9]},
    "xgboost": {"xgb_params": [{"max_depth": 5}], "xgb_num_boost_round": [100]},
}


@pytest.mark.parametrize("model", SEARCHED)
def test_what_recbole_searches_is_taken(model: str) -> None:
    described = shipped.described(model)
    for name, values in SEARCHED[model].items():
        for value in values:
            assert check(described.get(name) or shipped.anywhere(name), value) == value, name


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        ("SASRec", "hidden_dropout_prob", 2),
        ("GRU4Rec", "dropout_prob", -0.1),
        ("NARM", "dropout_probs", [0.2, 1.5]),
        ("NeuMF", "mlp_hidden_size", [64, 0]),
        ("LightGCN", "reg_weight", math.nan),
        ("HRM", "pooling_type_layer_1", "sum"),
        ("CDAE", "loss_type", "BPR"),
        ("BERT4Rec", "mask_ratio", 1.2),
        ("Caser", "nv", -1),
        ("BPR", "learner", "adm"),
        ("BPR", "user_inter_num_interval", 5),
    ],
)
def test_settings_of_recboles_models_have_ranges_too(model: str, name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        check(shipped.described(model)[name], value)


def test_names_of_models_settings_and_metrics_are_those_of_recbole() -> None:
    from recbole.evaluator import metric_types
    from recbole.utils import argument_list, get_model

    from recbole_navigen.config.models import get_model as ours

    assert set(argument_list.dataset_arguments) <= set(shipped.dataset_arguments())
    assert shipped.metric_types() == {name: kind.name for name, kind in metric_types.items() if "clip" not in name}
    for name in ("BPR", "SASRec", "Random", "KGAT", "FM"):
        assert ours(name) is get_model(name)
    assert all(shipped.family_of(name) for name in shipped.model_names() if name not in shipped.OURS)


@given(st.text(string.ascii_lowercase + "_", min_size=1))
def test_a_name_that_nothing_reads_is_refused_with_the_nearest(name: str) -> None:
    described = shipped.section("supervision")
    if name in described:
        return
    with pytest.raises(InputError, match=f"unknown setting `{name}` of supervision; the nearest valid name is `"):
        section_settings("supervision", {name: 1})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("int from 1", "a whole number of at least 1"),
        ("float above 0 to below 1 or None", "a number above 0 and below 1 or None"),
        ("one of a, b or bool", "one of a, b or True or False"),
        ("list of [int or str] or None", "a list, each entry a whole number or text or None"),
        ("whole dict of interval", "a dictionary {name: value}, each entry an interval such as [3,inf)"),
    ],
)
def test_types_are_read_and_said_in_words(text: str, shown: str) -> None:
    kinds, none = parse_type(text)
    assert str(Setting("x", kinds, none)) == shown


def test_a_line_that_is_no_description_is_refused() -> None:
    for text in ("a: 1", "a: 1  # (integer) A number.", "  b: 1  # (int) Indented under nothing."):
        with pytest.raises(ValueError):
            describe_text(text, "x.yaml", {"a": 1})


def test_dictionaries_are_merged_name_by_name() -> None:
    described = shipped.described("NaviGen")

    def weights(*ranks: dict) -> dict:
        return merged(described, [{"task_weights": {"cid2cid": 1.0, "tid2cid": 1.0}}, *ranks], shipped.sections)

    assert weights({"task_weights": {"tid2cid": 0}})["task_weights"] == {"cid2cid": 1.0, "tid2cid": 0}
    assert weights({"eval_args": {"split": {"LS": "x"}}}, {"eval_args": {"split": {"RS": [1]}}})["eval_args"] == {
        "split": {"RS": [1]}
    }
    columns = [{"load_col": {"inter": ["a"], "item": ["b"]}}, {"load_col": {"inter": ["c"]}}]
    assert merged(described, columns, shipped.sections)["load_col"] == {"inter": ["c"]}
    beside = [columns[0], {"load_col": Partial(inter=["c"])}]
    assert merged(described, beside, shipped.sections)["load_col"] == {"inter": ["c"], "item": ["b"]}


@pytest.mark.parametrize(
    ("argv", "key", "value"),
    [
        (["--task_weights.tid2cid=0"], "task_weights", {"tid2cid": 0}),
        (["--task_weights.tid2cid=0", "--task_weights={tid2cid: 0}"], "task_weights", {"tid2cid": 0}),
        (["--task_weights={cid2cid: 2}", "--task_weights.tid2cid=0"], "task_weights", {"cid2cid": 2, "tid2cid": 0}),
        (["--task_weights.tid2cid=0", "--task_weights={cid2cid: 2}"], "task_weights", {"cid2cid": 2, "tid2cid": 0}),
        (["--a.b.c=1", "--a.b.d=2"], "a", {"b": {"c": 1, "d": 2}}),
        (["--val_interval.rating=[3,inf)"], "val_interval", {"rating": "[3,inf)"}),
    ],
)
def test_dots_lead_into_dictionaries(argv: list[str], key: str, value: Any) -> None:
    assert parse_argv(argv) == {key: value}
    assert without_dots({"a.b": 1, "c": 2}, "here") == {"a": {"b": 1}, "c": 2}


@pytest.mark.parametrize(
    "argv",
    [
        ["--a.b=1", "--a.b=2"],
        ["--a.b=1", "--a={b: 2}"],
        ["--a={b: 2}", "--a.b=1"],
        ["--a=3", "--a.b=1"],
        ["--a.b=1", "--a=3"],
        ["--a=1", "--a=true"],
    ],
)
def test_what_is_said_twice_in_two_ways_is_refused(argv: list[str]) -> None:
    with pytest.raises(InputError, match="keep one"):
        parse_argv(argv)


@pytest.mark.parametrize(
    "text", ["1:30", "010", "0x10", "2020-10-10", "1e400", ".nan", "~", "'3'", "[3]", "true", "10" * 40]
)
def test_numbers_are_what_they_look_like(text: str, own_folder) -> None:
    (own_folder / "one.yaml").write_text(f"epochs: {text}\n")
    for given_as in ({"config_file_list": ["one.yaml"]}, {"argv": [f"--epochs={text}"]}):
        with pytest.raises(InputError, match="epochs must be a whole number of at least 1, not"):
            gather("BPR", "ml-100k", **given_as)


def test_epochs_of_the_working_directory_stand_in_place_of_shipped_steps(own_folder) -> None:
    (own_folder / "properties" / "model").mkdir(parents=True)
    file = own_folder / "properties" / "model" / "NaviGen.yaml"
    file.write_text("collaborative_config: {SASRec: {epochs: 4}, BPR: {steps: 7}}\n")
    found = gather("NaviGen").final["collaborative_config"]
    assert found["SASRec"]["epochs"] == 4 and "steps" not in found["SASRec"]
    assert found["BPR"]["steps"] == 7 and "epochs" not in found["BPR"]
    found = gather("NaviGen", argv=["--collaborative_config.SASRec.steps=9"]).final["collaborative_config"]
    assert found["SASRec"]["steps"] == 9 and "epochs" not in found["SASRec"]


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "x:\n  a: 1\n  a: 1\n", "x: [{a: 1, a: 2}]\n"])
def test_a_key_twice_in_a_file_is_refused_with_its_line(text: str, own_folder) -> None:
    (own_folder / "twice.yaml").write_text(text)
    with pytest.raises(InputError, match=r"twice.yaml is not valid yaml at line \d: a stands there twice"):
        read_settings("twice.yaml")


def test_partial_settings_of_collaborative_models_keep_the_rest() -> None:
    shipped_own = shipped.described("NaviGen")["collaborative_config"].default["SASRec"]
    final = gather("NaviGen", argv=["--collaborative_config={SASRec: {steps: 20}}"]).final
    assert final["collaborative_config"]["SASRec"] == {**shipped_own, "steps": 20}
    epochs = gather("NaviGen", argv=["--collaborative_config.SASRec.epochs=2"]).final["collaborative_config"]["SASRec"]
    assert "steps" not in epochs and epochs["epochs"] == 2
    steps = gather("NaviGen", argv=["--collaborative_config.BPR.steps=2"])
    assert "epochs" not in steps.final["collaborative_config"]["BPR"]
    # What a comparison or a sweep hands on to a process of its own is taken there, and means the same.
    for first in (
        steps,
        gather("NaviGen", argv=["--collaborative_config={SASRec: {epochs: 2}}", "--eval_args.order=TO"]),
    ):
        assert gather("NaviGen", config_dict=first.external).final == first.final
    with pytest.raises(InputError, match="epochs and steps"):
        gather("NaviGen", argv=["--collaborative_config={BPR: {epochs: 2, steps: 3}}"])
    for wrong, word in (("{SASRec: {stepz: 20}}", "`steps`"), ("{SASRecc: {steps: 2}}", "SASRec"), ("{BPR: 3}", "BPR")):
        with pytest.raises(InputError, match=word):
            gather("NaviGen", argv=[f"--collaborative_config={wrong}"])


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--hidden_size=30"], "n_heads=4"),
        (["--lora=True"], "pretrained"),
        (["--backbone_dtype=bfloat16"], "--lora=True"),
        (["--backbone=./nowhere"], "neither a folder here nor a model on the hub"),
        (["--text_vectors=nowhere"], "no config.json"),
        (["--task_weights.cid2cid=0"], "ranks items"),
        (["--training_stages=[finetune, align]"], "in this order"),
        (["--reinforce.accumulation=3"], "divide"),
        (["--reinforce.stepz=3"], "`steps`"),
        (["--supervision.teacher=openai"], "base_url and model"),
        (
            ["--supervision.teacher=transformers", "--supervision.teacher_model.path=no", "--task_weights.cid2ins=1"],
            "no",
        ),
        (["--collaborative_model=SASRecc"], "SASRec"),
        (["--collaborative_model=NaviGen"], "its own source"),
        (["--train_rows=prefix"], "user rows"),
        (["--learner=sgd"], "AdamW"),
        (["--warmup_steps=10"], "warmup_ratio"),
        (["--loss_type=CE"], "cross entropy"),
        (["--metrics=[NDCG, AUC]", "--valid_metric=AUC"], "one kind"),
        (["--unload_col={inter: [rating]}"], "load_col"),
        (["--seed=4294967296"], "seed"),
        (["--dataset=ml-10k"], "ml-100k"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(argv: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        gather("NaviGen", argv=argv)


def test_settings_of_user_rows_need_user_rows() -> None:
    with pytest.raises(InputError, match="train_rows: user"):
        gather("SASRec", argv=["--warmup_steps=10"])
    assert gather("SASRec", argv=["--warmup_steps=10", "--train_rows=user"])["warmup_steps"] == 10
    with pytest.raises(InputError, match="cross entropy"):
        gather("SASRec", argv=["--train_rows=user", "--loss_type=BPR"])
    assert gather("SASRec", config_dict={"warmup_steps": 10})["warmup_steps"] == 10  # a file or dictionary: a warning


def test_homes_are_expanded(own_folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(own_folder))
    (own_folder / "mine.yaml").write_text("epochs: 3\n")
    given_settings = gather("BPR", "ml-100k", ["~/mine.yaml"], argv=["--data_path=~/data", "--checkpoint_dir=~/out"])
    assert (
        given_settings["data_path"] == f"{own_folder}/data" and given_settings["checkpoint_dir"] == f"{own_folder}/out"
    )
    assert given_settings["epochs"] == 3


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_intervals_are_two_ends_in_order(low: float, high: float) -> None:
    for left, right in ("[]", "()", "[)", "(]"):
        assert is_interval(f"{left}{low!r},{high!r}{right}") == (low < high or (low == high and left + right == "[]"))
    assert is_interval(f"[{low!r},inf)") and is_interval("[0,3);(5,8]")
    for wrong in (low, f"{low}", f"[{low}", f"[{low};{high}]", f"'[{low},{high}]'", "", None):
        assert not is_interval(wrong)


def test_forms() -> None:
    assert all(map(is_mode, ("full", "uni100", "pop1", "labeled", {"valid": "uni100", "test": "full"})))
    assert not any(map(is_mode, ("uni0", "uni", "foo", "uni-1", "pop1.5", {}, {"valid": "half"}, {"train": "full"}, 3)))
    assert is_split({"LS": "valid_only"}) and is_split({"RS": [8, 1, 1]}) and is_split({"TS": [0.8, 0.0, 0.2]})
    wrong = (
        {"LS": "all"},
        {"RS": [0.8, 0.1]},
        {"RS": [0.8, 0.1, -0.1]},
        {"RS": [0, 1, 1]},
        {},
        "LS",
        {"XX": [1, 1, 1]},
    )
    assert not any(map(is_split, (*wrong, {"RS": [math.nan, 1, 1]}, {"LS": "valid_only", "RS": [1, 1, 1]})))
    assert is_encoding("utf-8") and is_encoding("latin1") and not is_encoding("utf-9") and not is_encoding("base64")
