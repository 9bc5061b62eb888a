"""What names a run, an artefact of the cache and a stored answer: everything that decides what they hold."""

import importlib.metadata
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import numpy as np
import pytest
import yaml
from places import ROOT
from run_folders import change
from synthetic import make_config

import recbole_navigen
from recbole_navigen.artefacts import content_hash
from recbole_navigen.comparison.estimates import Contender, compare
from recbole_navigen.comparison.page import tables
from recbole_navigen.config import Config, rules
from recbole_navigen.config.sections import section_settings
from recbole_navigen.config.teachers import supervision_settings
from recbole_navigen.data import create_dataset
from recbole_navigen.pipeline.identifiers import table_inputs
from recbole_navigen.pipeline.write import _inputs
from recbole_navigen.quick_start import compare_runs, run_compare, run_navigen
from recbole_navigen.reinforcement.scorers import SCORERS
from recbole_navigen.runs.identity import identity, trained_by
from recbole_navigen.runs.result import Run, find_finished
from recbole_navigen.runs.user_code import code_hash
from recbole_navigen.sources import folder_hash
from recbole_navigen.supervision.chat.local_chat import LocalChat, LocalSettings
from recbole_navigen.supervision.chat.openai_chat import OpenAIChat, OpenAISettings
from recbole_navigen.supervision.roles import build_roles, local_weights, made_of
from recbole_navigen.supervision.settings import settings_of
from recbole_navigen.training import precision

QUIET = {"state": "ERROR", "show_progress": False, "use_gpu": False}
OWN = """
import math
import torch
from recbole.model.general_recommender.bpr import BPR

SCALE = 0.5
TABLE = {"a": [1, 2]}

def weigh(x, power=2):
    return math.pow(x, power) * SCALE

def unused(x):
    return x + 1

class Base(BPR):
    width = 8

    @property
    def half(self):
        return self.width / 2

class Own(Base):
    def calculate_loss(self, interaction):
        shift = {"x", "y", "z"} and TABLE["a"][0]
        return super().calculate_loss(interaction) * weigh(2.0) + shift

    @staticmethod
    def helper(values):
        return [weigh(value) for value in values]
"""


def typed(text: str) -> type:
    """The class `Own` as it comes to be in a notebook: of no file."""
    module = types.ModuleType("__main__")
    exec(compile(text, "<cell>", "exec"), vars(module))
    return module.Own


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SCALE = 0.5", "SCALE = 0.25"),
        ("[1, 2]", "[1, 3]"),
        ("power=2", "power=3"),
        ("* SCALE", "/ SCALE"),
        ("width = 8", "width = 9"),
        ("self.width / 2", "self.width / 3"),
        ("Base(BPR)", "Base(torch.nn.Module)"),
        ("weigh(2.0)", "weigh(2)"),
        ("math.pow", "math.fmod"),
        ("weigh(value) for", "value for"),
        ("@staticmethod", "@classmethod"),
    ],
)
def test_a_class_of_ones_own_is_named_by_what_it_does(old, new):
    assert old in OWN
    assert code_hash(typed(OWN)) == code_hash(typed(OWN)) != code_hash(typed(OWN.replace(old, new)))


def test_comments_names_of_modules_and_what_is_not_called_do_not_count(own_folder):
    named = code_hash(typed(OWN))
    assert named == code_hash(typed("# a comment\n\n" + OWN.replace("x + 1", "x + 2")))
    Path("mine.py").write_text(OWN)
    code = "from recbole_navigen.runs.user_code import code_hash; import mine; print(code_hash(mine.Own))"
    # Another seed of the hashes of strings, and so another order of sets.
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{own_folder}", "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == named


def test_models_of_recbole_and_ours_have_no_code_of_their_own(tiny):
    assert all("code_hash" not in identity(Config(model, "tiny")) for model in ("NaviGen", "SASRec", "LightGCN"))
    own, other = (identity(Config(typed(text), "tiny")) for text in (OWN, OWN.replace("0.5", "0.6")))
    assert own["model"] == other["model"] == "Own" and own["code_hash"] != other["code_hash"]


def test_a_setting_that_came_later_leaves_the_names_of_runs_alone(tiny):
    def named(**settings: object) -> str:
        return identity(Config("NaviGen", "tiny", config_dict={**QUIET, **settings}))["settings_hash"]

    # The name of the runs of 2026-11-28, from before any of these settings, which did what these values do.
    before = rules.AS_BEFORE
    config = Config("NaviGen", "tiny", config_dict={**QUIET, **before})
    old = {key: value for key, value in config.public().items() if key not in {*rules.NOT_LEARNED, *before}}
    assert config.settings_hash() == content_hash(old)
    changes = ({}, {"select_on": "unseen"}, {"memory_share": None}, {"fir_taps": 4})
    assert len({named(**{**before, **change}) for change in changes}) == 4


def test_a_result_of_other_versions_is_not_reused_and_a_table_says_so(tiny, in_this_process, monkeypatch):
    def compared() -> str:
        (run,) = run_compare(["Pop"], "tiny", config_dict=QUIET)["comparison"].contenders[0].runs
        return str(run)

    first = compared()
    assert compared() == first and in_this_process == ["Pop"]
    other_version(monkeypatch, "torch")
    second = compared()
    assert second != first and in_this_process == ["Pop", "Pop"]

    found = compare_runs([first, second])
    labels = [contender.label for contender in found["comparison"].contenders]
    assert len(labels) == 2 and "Pop (versions.torch=0.0.7)" in labels
    table = (Path(found["folder"]) / "table.md").read_text().replace("\\", "")
    assert table.count("These runs were made by different versions") == 2
    assert "torch 0.0.7" in table and "made Pop (versions.torch=0.0.7), seed 2020" in table
    alone = tables(compare([own(first)], ["ndcg@10"]))
    assert not any("different versions" in note for table in alone for note in table.notes)


def own(folder: str) -> Contender:
    return Contender("Pop", (Run.load(folder),))


def other_version(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    if package == "recbole_navigen":
        monkeypatch.setattr(recbole_navigen, "__version__", "0.0.7")
        return
    real = importlib.metadata.version
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0.7" if name == package else real(name))


@pytest.mark.parametrize("package", ["recbole_navigen", "torch"])
def test_versions_are_part_of_every_cache(tiny, monkeypatch, package):
    config = make_config("NaviGen", tiny, item_text_fields=["title"])
    dataset = create_dataset(config)

    def named() -> list:
        table = table_inputs(config, dataset, np.zeros((1, 1)), ("a",))
        return [trained_by(config), made_of(settings_of(config)), _inputs(config, None), table]

    before = named()
    assert named() == before
    other_version(monkeypatch, package)
    assert all(old != new for old, new in zip(before, named(), strict=True))


def test_autocast_counts_as_what_it_is_on_this_machine(tiny, monkeypatch):
    def named(model: str, **settings: object) -> dict:
        return identity(Config(model, "tiny", config_dict={"use_gpu": False, **settings}))

    def machine(has_bf16: bool) -> None:
        monkeypatch.setattr(precision, "_hardware_has_bf16", lambda device: has_bf16)

    for model, own in (("NaviGen", {}), ("SASRec", {"train_rows": "user"})):
        machine(True)
        fast = named(model, **own)
        assert fast == named(model, autocast=True, **own) != named(model, autocast=False, **own)
        machine(False)
        assert named(model, **own) == named(model, autocast=False, **own) != fast
    machine(True)
    fast = named("SASRec")
    machine(False)
    assert named("SASRec") == fast  # on RecBole's own rows nothing computes in bfloat16


def test_reinforcement_counts_as_it_is_merged(tiny):
    def named(**own: object) -> dict:
        stages = {"training_stages": ["finetune", "reinforce"]}
        return identity(Config("NaviGen", "tiny", config_dict={**stages, **own}))

    shipped = named()
    assert named(reinforce={"steps": section_settings("reinforce", {})["steps"]}) == shipped
    assert named(reinforce={"steps": 7}) != shipped
    Path("properties").mkdir()
    Path("properties/reinforce.yaml").write_text(yaml.safe_dump({"steps": 7}))
    assert named() == named(reinforce={"steps": 7}) != shipped
    plain = {"training_stages": ["finetune"]}
    assert named(**plain) == named(reinforce={"steps": 8}, **plain)


def test_a_scorer_of_ones_own_counts_with_what_it_asks(tiny, monkeypatch):
    def named(text: str) -> str:
        space: dict = {"__name__": "__main__"}
        exec(textwrap.dedent(text), space)
        monkeypatch.setitem(SCORERS, "mine", space["make"])
        own = {"training_stages": ["finetune", "reinforce"], "reinforce": {"scorer": "mine"}}
        return identity(Config("NaviGen", "tiny", config_dict=own))["reinforce_hash"]

    text = """
        class Encoder:
            def __init__(self, weights):
                self.identity = {"weights": weights}

        encoder = Encoder("one")

        class Mine:
            share = 0.5
            def __call__(self, answers, cases):
                return [{"quality": self.share} for _ in answers if encoder]

        make = lambda config, terms: Mine()
    """
    before = named(text)
    assert named(text) == before
    assert len({before, named(text.replace("0.5", "0.6")), named(text.replace('"one"', '"two"'))}) == 3


def test_the_content_of_a_sentence_encoder_counts(tiny):
    Path("encoder").mkdir()
    Path("encoder/config.json").write_text("{}")
    config, named = make_config("NaviGen", tiny, text_vectors="encoder", item_text_fields=["title"]), []
    dataset = create_dataset(config)
    for content in (b"one", b"two", b"one"):
        Path("encoder/model.safetensors").write_bytes(content)
        table = table_inputs(config, dataset, np.zeros((1, 1)), ("a",))
        named.append((identity(config)["encoder_hash"], str(table)))
    assert named[0] == named[2] and all(one != other for one, other in zip(named[0], named[1], strict=True))
    with pytest.raises(recbole_navigen.errors.InputError, match="nowhere is not the folder of a sentence encoder"):
        identity(make_config("NaviGen", tiny, text_vectors="nowhere"))


def test_the_weights_of_a_local_teacher_count_whatever_their_size(tiny, tiny_model):
    options = {"path": str(tiny_model)}
    own = {"teacher": "transformers", "teacher_model": options}
    settings = supervision_settings(own)
    config = make_config("NaviGen", tiny, training_stages=["finetune", "write"], supervision=own)

    def named() -> tuple:
        chat = LocalChat(LocalSettings(**options)).identity
        return str(local_weights(settings)), str(chat), identity(config)["supervision_hash"], str(_inputs(config, None))

    before = named()
    assert set(local_weights(settings)) == {"teacher", "judge"}
    assert local_weights(supervision_settings({"judge": "transformers", "judge_model": options})).keys() == {"judge"}
    file = tiny_model / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        assert all(old != new for old, new in zip(before, named(), strict=True))
    finally:
        file.write_bytes(whole)
    assert named() == before and folder_hash(tiny_model)


def test_a_judge_on_another_server_is_another_model(tiny, endpoint):
    """The same name and settings; the answers of the one are not served for the other."""
    first, second = (endpoint(lambda number, _, name=name: f"I am {name}") for name in ("the teacher", "the judge"))
    model = {"model": "m", "json_mode": False}
    asked = [{**model, "base_url": server.chat().settings.base_url} for server in (first, second)]
    own = {"teacher": "openai", "teacher_model": asked[0]}
    other = {**own, "judge": "openai", "judge_model": asked[1]}
    roles = build_roles(supervision_settings(other), [("red",)], "cache")
    teacher, judge = roles.models
    question = ({"role": "user", "content": "who are you?"},)
    for _ in range(2):
        assert teacher._complete([question])[0].text == "I am the teacher"
        assert judge._complete([question])[0].text == "I am the judge"
    assert teacher.counts["paid"] == judge.counts["paid"] == 1
    write = {"training_stages": ["finetune", "write"]}
    runs = [identity(make_config("NaviGen", tiny, supervision=settings, **write)) for settings in (own, other)]
    assert runs[0]["supervision_hash"] != runs[1]["supervision_hash"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://host/v1", "http://host:80/v1/", True),
        ("http://host/v1", "http://HOST/v1", True),
        ("http://me:secret@host/v1", "http://host/v1", True),
        ("http://host/v1", "https://host/v1", False),
        ("http://host/v1", "http://host:8000/v1", False),
        ("http://host/v1", "http://host/v2", False),
        ("http://[host/v1", "http://host:port/v1", False),
    ],
)
def test_a_server_is_one_however_its_address_is_written(one, other, same):
    identities = [OpenAIChat(OpenAISettings(base_url=url, model="m")).identity for url in (one, other)]
    assert (identities[0] == identities[1]) == same and "secret" not in str(identities)


def test_how_metrics_are_shown_is_no_part_of_what_a_run_is(tiny):
    shown = {"metric_decimal_place": 2, "metrics": ["MRR", "NDCG"], "topk": [1, 10]}
    assert identity(Config("BPR", "tiny", config_dict=shown)) == identity(Config("BPR", "tiny"))


def test_an_identity_is_found_again_in_the_file_that_keeps_it(tiny):
    folder = Path(run_navigen("Pop", "tiny", config_dict=QUIET)["run_dir"])
    wanted = identity(Config("Pop", "tiny", config_dict=QUIET))
    assert find_finished("saved", wanted).folder == folder
    change(folder, identity={**wanted, "versions": {**wanted["versions"], "torch": "1.0"}})
    assert find_finished("saved", wanted) is None
