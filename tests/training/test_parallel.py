"""Several processes for one run: shares of batches, and two real processes beside one.

Here the two are forked; `tests/docs` starts them with torchrun itself.
"""

import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from forked_commands import ForkedCommands
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT
from recbole.data.interaction import Interaction
from recbole.trainer import KGTrainer, MKRTrainer, NCLTrainer, RecVAETrainer
from synthetic import make_config, write_atomic

from recbole_navigen import processes
from recbole_navigen.cli.compare import compare
from recbole_navigen.cli.generate import generate
from recbole_navigen.cli.hyper import hyper
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.user_ranks import UserRanks
from recbole_navigen.quick_start import run_navigen
from recbole_navigen.training.parallel import DataParallel, Shares
from recbole_navigen.training.trainer import SafeCheckpoint, get_trainer

SETTINGS = {
    "NaviGen": {
        "dropout": 0.0,
        "embedding_dropout": 0.0,
        "codes": 8,
        "hidden_size": 16,
        "inner_size": 16,
        "epochs": 3,
        "text_vocabulary": 400,
        "train_batch_size": 16,
        "autocast": False,
        "MAX_ITEM_LIST_LENGTH": 8,
        "item_text_fields": ["title", "genre"],
        "collaborative_config": {"SASRec": {"train_rows": "user", "epochs": 2, "hidden_size": 16, "inner_size": 16}},
    },
    "SASRec": {
        "train_rows": "user",
        "hidden_dropout_prob": 0.0,
        "attn_dropout_prob": 0.0,
        "hidden_size": 16,
        "inner_size": 16,
        "epochs": 3,
        "train_batch_size": 8,
        "autocast": False,
        "MAX_ITEM_LIST_LENGTH": 8,
    },
    "BPR": {"epochs": 4, "train_batch_size": 64, "embedding_size": 16, "learning_rate": 0.01},
}


class Batches(list):
    """A loader of some batches whose targets are counted."""

    def targets(self, batch: Interaction) -> int:
        return int(batch["count"].sum())


@given(
    counts=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=7), min_size=1, max_size=4),
    size=st.integers(1, 4),
)
def test_shares_partition_every_batch(counts: list[list[int]], size: int) -> None:
    """Weighed by their targets, the shares' means add up to the batch's mean."""
    batches = Batches(Interaction({"count": torch.tensor(row), "x": torch.rand(len(row))}) for row in counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLD_SIZE", str(size))
        means, rows = [0.0] * len(batches), [0] * len(batches)
        for rank in range(size):
            patch.setenv("RANK", str(rank))
            shares = Shares(batches)
            for number, share in enumerate(shares):
                mean = float((share["x"] * share["count"]).sum() / share["count"].sum())
                means[number] += mean * shares.weight
                rows[number] += len(share) if shares.weight else 0
    wanted = [float((batch["x"] * batch["count"]).sum() / batch["count"].sum()) for batch in batches]
    assert means == pytest.approx(wanted, rel=1e-5) and rows == [len(row) for row in counts]


@pytest.mark.parametrize("model", SETTINGS)
def test_two_processes_are_one(model: str, own_folder: Path, commands: ForkedCommands) -> None:
    """With the same global batches: the same metrics and losses, every user once, and one process that writes."""
    # An odd number of users, so that the shares of the evaluation differ.
    write_atomic("dataset", "odd", users=31, items=30)
    settings = {**SETTINGS[model], "show_progress": False, "use_gpu": False}
    Path("run.json").write_text(json.dumps(settings))  # JSON is yaml
    Path("two").mkdir()
    words = [str(ROOT / "run_navigen.py"), f"--model={model}", "--dataset=odd", "--data_path=../dataset"]
    ended = commands("torchrun", [*words, "--config_files", "../run.json"], Path("two").resolve())
    assert ended.code == 0, ended.printed
    alone = run_navigen(model, "odd", config_dict={**settings, "data_path": "dataset"})

    # 1. One run folder, one log, one table.
    (folder,) = Path("two/saved").glob(f"{model}-odd-*")
    (log,) = Path("two/log", model).glob("*.log")
    assert ended.printed.count("Test metrics") == 1
    record = json.loads((folder / "result.json").read_text())
    assert record["machine"]["processes"] == 2

    # 2. The same numbers. RecBole rounds metrics to four decimals.
    for key in ("best_valid_result", "test_result"):
        assert record[key] == pytest.approx(alone[key], abs=1e-3)
    (log_alone,) = Path("log", model).glob("*.log")
    losses, losses_alone = (re.findall(r"train loss: ([\d.]+)", file.read_text()) for file in (log, log_alone))
    assert len(losses) >= 3 and list(map(float, losses)) == pytest.approx(list(map(float, losses_alone)), rel=1e-3)

    # 3. The ranks of all test users.
    assert sorted(UserRanks.load(folder).user) == sorted(f"u{user}" for user in range(31))


def test_a_world_of_one_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes.size() == 1 and processes.is_main() and processes.from_main(lambda: "here", "cpu") == "here"
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "2")
    assert (processes.size(), processes.rank()) == (3, 2)
    with processes.alone():
        assert processes.size() == 1 and processes.is_main()
    assert processes.size() == 3
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert processes.own_gpu("4,5") == "5"
    with pytest.raises(InputError, match="names 1 GPUs, too few for the processes of this machine"):
        processes.own_gpu("0")
    monkeypatch.setenv("RANK", "two")
    with pytest.raises(InputError, match="RANK is 'two', not a number"):
        processes.rank()


@pytest.mark.parametrize(("model", "size"), [("BPR", 2), ("BPR", 3), ("SASRec", 2), ("SASRec", 4)])
def test_every_user_is_evaluated_once(model: str, size: int, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users of a general model have several rows, which stay together; shares differ by one user at most."""
    config = make_config(model, tiny, eval_args={"split": {"RS": [0.6, 0.2, 0.2]}} if model == "BPR" else {})
    _, _, test_data = data_preparation(config, create_dataset(config))
    whole = test_data._dataset.inter_feat["user_id"]
    monkeypatch.setenv("WORLD_SIZE", str(size))
    parts = []
    for rank in range(size):
        monkeypatch.setenv("RANK", str(rank))
        part = DataParallel._part(SimpleNamespace(_parts={}, config=config), test_data)
        parts.append(part._dataset.inter_feat["user_id"])
    assert sorted(torch.cat(parts).tolist()) == sorted(whole.tolist())
    users = [set(part.tolist()) for part in parts]
    assert sum(map(len, users)) == len(whole.unique()) and max(map(len, users)) - min(map(len, users)) <= 1
    monkeypatch.setenv("WORLD_SIZE", "100")
    with pytest.raises(InputError, match="60 users to evaluate for 100 processes; start fewer"):
        DataParallel._part(SimpleNamespace(_parts={}, config=config), test_data)


@pytest.mark.parametrize("command", [compare, generate, hyper])
def test_other_commands_are_started_once(command, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert command([]) == 2 and "torchrun is for run_navigen.py" in capsys.readouterr().err


def test_models_without_common_steps_are_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pop counts, and some of RecBole's trainers run a loop of their own; both would go wrong silently."""

    def refused(model: str, message: str, trainer: type | None = None) -> None:
        config = make_config(model, tiny)
        train_data, _, _ = data_preparation(config, create_dataset(config))
        net = config.model_class(config, train_data._dataset)
        trainer = trainer or get_trainer(config, net)
        with monkeypatch.context() as patch, pytest.raises(InputError, match=message):
            patch.setenv("WORLD_SIZE", "2")
            trainer(config, net)

    refused("Pop", "has no steps that processes could share")
    # The models of these trainers need files or packages that the tests have not; their trainers are what is refused.
    for stock in (NCLTrainer, KGTrainer, MKRTrainer, RecVAETrainer):
        refused("BPR", "has a training loop of its own", type(stock.__name__, (SafeCheckpoint, stock), {}))


def test_the_benchmark_times_the_epochs_of_navigen_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = runpy.run_path(str(ROOT / "benchmarks" / "distributed.py"))["read"]
    (tmp_path / "log" / "NaviGen").mkdir(parents=True)
    (tmp_path / "saved" / "NaviGen-1").mkdir(parents=True)
    # Of the collaborative model, of the alignment, and three of NaviGen, the first of which warms up.
    names = [*(f"epoch {number}" for number in range(30)), "align epoch 0", "epoch 0", "epoch 1", "epoch 2"]
    seconds = [*[1.0] * 30, 50.0, 9.0, 4.0, 5.0]
    lines = [f"{name} training [time: {spent}s, train loss: 1.0]" for name, spent in zip(names, seconds, strict=True)]
    (tmp_path / "log" / "NaviGen" / "run.log").write_text("\n".join(lines))
    result = {"test_users_per_second": 7.0, "best_valid_result": {"ndcg@10": 0.2}, "test_result": {"ndcg@10": 0.1}}
    (tmp_path / "saved" / "NaviGen-1" / "result.json").write_text(json.dumps(result))
    found = read(tmp_path, 3)
    assert (found["seconds_per_epoch"], found["test_users_per_second"]) == (4.5, 7.0)
    assert (found["valid"], found["test"]) == ({"ndcg@10": 0.2}, {"ndcg@10": 0.1})
