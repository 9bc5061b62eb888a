"""What is refused once the data are there, before anything is trained."""

from pathlib import Path
from typing import Any

import pytest
from small_language_models import make
from tiny_settings import NAVIGEN

from recbole_navigen.config import Config
from recbole_navigen.errors import InputError
from recbole_navigen.language.vocabulary import train_tokenizer
from recbole_navigen.pipeline.check import refuse_bad_data
from recbole_navigen.quick_start import run_navigen


@pytest.fixture(autouse=True)
def nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*args: Any) -> None:
        raise AssertionError("a trainer was made")

    monkeypatch.setattr("recbole_navigen.pipeline.collaborative.get_trainer", train)
    monkeypatch.setattr("recbole_navigen.training.trainer.get_trainer", train)


@pytest.fixture
def backbone(own_folder: Path) -> str:
    """A folder with a small pretrained model that reads few tokens."""
    folder = own_folder / "model"
    tokenizer = train_tokenizer(["tale of the river"] * 3, 400)
    tokenizer.save_pretrained(folder)
    lm = make("Llama")
    lm.config.max_position_embeddings = 64
    lm.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("model", ["Pop", "NaviGen"])
def test_lists_are_no_longer_than_the_catalogue(model: str, tiny: Path) -> None:
    settings = {"topk": [10, 81], "valid_metric": "NDCG@81", "show_progress": False}
    with pytest.raises(InputError, match="81 items, and tiny has 80"):
        run_navigen(model, "tiny", config_dict=settings if model == "Pop" else {**NAVIGEN, **settings})
    assert not Path("saved").is_dir() or not list(Path("saved").glob("*/checkpoint"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"codes": 81}, "codes=81 is more than the 80 items"),
        ({"codes": 8, "levels": 2}, "2 levels of 8 codes spell 64 identifiers, too few for 80 items"),
        ({"collaborative_model": "Pop"}, "collaborative_model=Pop has no item embeddings"),
        (
            {"collaborative_config": {"SASRec": {"hidden_size": 15, "train_rows": "user"}}},
            "model SASRec cannot be built",
        ),
        ({"training_stages": ["finetune", "reinforce"], "reinforce": {"scorer": "mine"}}, "scorer='mine' is unknown"),
    ],
)
def test_a_navigen_that_could_not_be_built_is_refused(settings: dict[str, Any], message: str, tiny: Path) -> None:
    with pytest.raises(InputError, match=message):
        run_navigen("NaviGen", "tiny", config_dict={**NAVIGEN, **settings, "show_progress": False})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora": True, "lora_targets": ["query"]}, "lora_targets=.*; it has .*q_proj"),
        ({"history": "tokens", "MAX_ITEM_LIST_LENGTH": 50}, "reads 64 tokens, and histories of 50 items have 153"),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused(
    settings: dict[str, Any], message: str, tiny: Path, backbone: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_navigen(
            "NaviGen", "tiny", config_dict={**NAVIGEN, "backbone": backbone, **settings, "show_progress": False}
        )


def test_models_that_differ_in_their_writer_alone_are_all_tried(tiny: Path, backbone: str) -> None:
    shared = {**NAVIGEN, "show_progress": False, "data_path": str(tiny)}
    own = {"writer_backbone": backbone, "lora_targets": ["query"]}
    configs = [Config("NaviGen", "tiny", config_dict={**shared, **more}) for more in ({}, own)]
    refuse_bad_data(configs[:1])
    with pytest.raises(InputError, match=r"lora_targets=.*; it has .*q_proj"):
        refuse_bad_data(configs)
