"""Bad settings and places: one clear sentence, found before any training."""

import os
from pathlib import Path

import pytest
from recbole.model.general_recommender.bpr import BPR

from recbole_navigen.config import Config
from recbole_navigen.errors import InputError
from recbole_navigen.quick_start.run import run_navigen

SIZES = [
    "epochs",
    "train_batch_size",
    "eval_batch_size",
    "learning_rate",
    "eval_step",
    "embedding_size",
    "topk",
]


def refusal(
    model: str | type = "BPR", dataset: str = "tiny", argv: tuple[str, ...] = (), files: tuple[str, ...] = ()
) -> str:
    """Return the sentence with which a run is refused; no run folder may be left behind."""
    with pytest.raises(InputError) as caught:
        run_navigen(model, dataset, list(files), argv=argv)
    assert not Path("saved").is_dir() or list(Path("saved").iterdir()) == []
    sentence = str(caught.value)
    assert "\n" not in sentence and len(sentence) > 20
    return sentence


@pytest.mark.parametrize("key", SIZES)
@pytest.mark.parametrize("value", ["0", "-1", "[]", "abc"])
def test_sizes_must_be_above_zero(tiny: Path, key: str, value: str) -> None:
    assert key in refusal(argv=(f"--{key}={value}",))


@pytest.mark.parametrize(
    "argument",
    [
        "--epochs=2.5",
        "--epochs=~",
        "--learning_rate=None",
        "--topk=[5,0]",
        "--topk=[5,2.5]",
        "--MAX_ITEM_LIST_LENGTH=0",
    ],
)
def test_sizes_must_be_given_and_whole(tiny: Path, argument: str) -> None:
    assert argument[2:].partition("=")[0] in refusal(argv=(argument,))


@pytest.mark.parametrize(
    ("argument", "nearest"),
    [
        ("--epoch=3", "epochs"),
        ("--learning_rat=1e-3", "learning_rate"),
        ("--train_batchsize=3", "train_batch_size"),
        ("--Epochs=3", "epochs"),
        ("--embeding_size=8", "embedding_size"),
        ("--max_item_list_length=8", "MAX_ITEM_LIST_LENGTH"),
    ],
)
def test_unknown_settings_get_the_nearest_name(tiny: Path, argument: str, nearest: str) -> None:
    sentence = refusal(argv=(argument,))
    assert f"`{argument[2:].partition('=')[0]}`" in sentence and f"`{nearest}`" in sentence
    Path("one.yaml").write_text(argument[2:].replace("=", ": "))
    assert f"`{nearest}`" in refusal(files=("one.yaml",))
    with pytest.raises(InputError, match="in config_dict"):
        Config("BPR", "tiny", config_dict={argument[2:].partition("=")[0]: 3})


def test_unknown_model_and_data_set(tiny: Path) -> None:
    assert "SASRec" in refusal(model="SASRecc")
    assert "LightGCN" in refusal(model="lightgcn")
    assert "tiny" in refusal(dataset="tinny")
    assert "nowhere" in refusal(argv=("--data_path=nowhere",))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--epochs", "3"), "--key=value"),
        (("epochs=3",), "--key=value"),
        (("--lora",), "--lora=True"),
        (("--epochs=3", "--epochs=4"), "twice"),
        (("--topk=[5,10",), "not valid yaml"),
        (("--reproducibility=maybe",), "True or False"),
        (("--weight_decay=[1]",), "must be a number"),
        (("--metrics=[NDGC]",), "`ndcg`"),
        (("--valid_metric=MRR@7",), "add 7 to topk"),
        (("--valid_metric=GAUC",), "not among metrics"),
        (("--valid_metric=NDCG",), "NDCG@10"),
        (("--topk=5",), "NDCG@5"),
        (("--metrics=[NDCG, AUC]",), "Ranking metrics"),
        (("--eval_args={mode: half}",), "half"),
        (("--eval_args=full",), "eval_args"),
    ],
)
def test_values_that_cannot_be_meant(tiny: Path, argv: tuple[str, ...], words: str) -> None:
    assert words in refusal(argv=argv)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("epochs: [1", "not valid yaml at line"),
        ("- epochs", "key: value"),
        ("epochs: !!python/object/apply:os.system ['touch evaluated']", "not valid yaml"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_config_files_that_cannot_be_read(tiny: Path, content: str | bytes | None, words: str) -> None:
    if content is not None:
        Path("bad.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    sentence = refusal(files=("bad.yaml",))
    assert words in sentence and "bad.yaml" in sentence
    assert not Path("evaluated").exists()


def test_saved_folder_that_cannot_be_written(tiny: Path) -> None:
    Path("taken").write_text("a file where a folder should be")
    for folder in ("taken", "taken/deeper"):
        sentence = refusal(argv=(f"--checkpoint_dir={folder}",))
        assert "cannot be written" in sentence and "--checkpoint_dir=FOLDER" in sentence
    if os.geteuid() != 0:  # root may write anywhere
        Path("locked").mkdir(mode=0o500)
        assert "cannot be written" in refusal(argv=("--checkpoint_dir=locked",))


def test_log_folder_that_cannot_be_written(tiny: Path) -> None:
    Path("log").write_text("a file where a folder should be")
    assert "log files cannot be written" in refusal()


def test_a_model_that_refuses_leaves_no_run_folder(tiny: Path) -> None:
    class Picky(BPR):
        def __init__(self, config, dataset):
            raise InputError("this model never likes the number of items that it is given")

    assert "number of items" in refusal(model=Picky)


def test_bad_data_leaves_no_run_folder(tiny: Path) -> None:
    (tiny / "tiny" / "tiny.inter").write_text("")
    assert "tiny.inter" in refusal()
