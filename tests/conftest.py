"""What all tests share: a working directory of their own, and a tiny data set with text."""

import os

# One thread is faster for models as small as those of tests, and leaves the other cores to other tests. Before torch.
os.environ["OMP_NUM_THREADS"] = "1"

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from synthetic import write_atomic

from recbole_navigen import redaction

if TYPE_CHECKING:
    from forked_commands import ForkedCommands

# How long an example takes is no property of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
ROOT_LEVEL = logging.getLogger().level


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run each test in an empty folder: RecBole writes log/, log_tensorboard/ and saved/ into the working directory."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before = list(root.handlers)
    root.setLevel(ROOT_LEVEL)  # a fixture of a whole module may have run a model and set it
    yield tmp_path
    # The log files of this test's runs lie in a folder that is about to go.
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(ROOT_LEVEL)


@pytest.fixture(autouse=True)
def own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test forget the secrets of its settings: the password "secret" would hide the word in all others."""
    monkeypatch.setattr(redaction, "_known", set(redaction._known))
    monkeypatch.setattr(redaction, "_known_pattern", redaction._known_pattern)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let comparisons and sweeps run models in this process, which takes no start-up time; lists those that ran."""
    from recbole_navigen.quick_start import run_navigen
    from recbole_navigen.quick_start.separate import RunFailed, RunStopped, SeparateRuns
    from recbole_navigen.runs.folder import StopRun

    started: list[str] = []

    def run(self: SeparateRuns, model: str, dataset: str, settings: dict, progress: object, judge=None) -> str:
        started.append(model)

        def callback(epoch: int, score: float) -> None:
            if not judge(epoch, score):
                raise StopRun

        try:
            return run_navigen(model, dataset, config_dict=settings, callback=callback if judge else None)["run_dir"]
        except StopRun:
            raise RunStopped from None
        except Exception as error:
            raise RunFailed(str(error)) from error

    monkeypatch.setattr(SeparateRuns, "__call__", run)
    return started


@pytest.fixture(scope="session")
def commands() -> Iterator["ForkedCommands"]:
    """Runs commands in processes of their own that need not import anything."""
    from forked_commands import ForkedCommands

    with ForkedCommands() as run:
        yield run


@pytest.fixture
def tiny(own_folder: Path) -> Path:
    """Write the data set `tiny` (60 users, 80 items, titles and genres) under dataset/ and return its data_path."""
    return write_atomic(own_folder / "dataset", "tiny", users=60, items=80)


@pytest.fixture
def endpoint() -> Iterator[Callable]:
    """Start local endpoints, each with a script of its answers; see `small_endpoint.Endpoint`."""
    pytest.importorskip("httpx")
    from small_endpoint import Endpoint

    servers = []

    def start(script: Callable) -> Endpoint:
        servers.append(Endpoint(script))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a language model of one layer that chats, with random weights."""
    from small_language_models import save_chat_model

    folder = tmp_path_factory.mktemp("model")
    save_chat_model(folder)
    return folder
