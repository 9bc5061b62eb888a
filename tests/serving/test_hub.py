"""Model folders on the hub, by a hub of our own: what is uploaded is loaded again, and a token is shown nowhere."""

import logging
import shutil
import traceback
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from small_recommender import small_recommender

from recbole_navigen.errors import InputError
from recbole_navigen.serving.recommender import Recommender

TOKEN = "hf_" + "Ab3" * 12


@pytest.fixture
def hub(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A hub in a folder: repositories by name, what was asked for, and the tokens that came along."""
    state: dict[str, Any] = {"folder": own_folder / "hub", "tokens": [], "private": {}, "refuses": None}

    class Api:
        def __init__(self, token: str | None = None):
            state["tokens"].append(token)

        def create_repo(self, repo_id: str, private: bool, exist_ok: bool) -> Any:
            if state["refuses"]:
                raise OSError(state["refuses"])
            state["private"][repo_id] = private
            return type("Repo", (), {"repo_id": repo_id if "/" in repo_id else f"me/{repo_id}"})

        def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str) -> Any:
            shutil.copytree(folder_path, state["folder"] / repo_id, dirs_exist_ok=True)
            return type("Commit", (), {"commit_url": f"https://hub/{repo_id}/commit/1"})

    def snapshot_download(repo_id: str, revision: str | None = None) -> str:
        if not (state["folder"] / repo_id).is_dir() or revision == "none":
            raise OSError(f"404 for {repo_id}\nurl https://hub/x?token={TOKEN}")
        return str(state["folder"] / repo_id)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return state


def test_what_is_pushed_is_loaded_again(
    hub: dict[str, Any], own_folder: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    recommender = small_recommender()
    assert recommender.push_to_hub("films", TOKEN, private=True) == "https://hub/me/films/commit/1"
    assert hub["tokens"] == [TOKEN] and hub["private"] == {"films": True}
    again = Recommender.from_pretrained("me/films")
    history = list(recommender.item_tokens[:3])
    assert [i.item for i in again.recommend(history, 5)] == [i.item for i in recommender.recommend(history, 5)]
    # The token is in no file, no log and no line that was printed.
    files = [file for file in own_folder.rglob("*") if file.is_file()]
    assert (hub["folder"] / "me/films/README.md") in files
    assert not [file for file in files if TOKEN.encode() in file.read_bytes()]
    assert TOKEN not in caplog.text and TOKEN not in "".join(capsys.readouterr())


def test_a_hub_that_refuses_is_told_in_one_sentence(hub: dict[str, Any]) -> None:
    hub["refuses"] = f"403 Forbidden: Authorization: Bearer {TOKEN}\nmore"
    with pytest.raises(InputError, match=r"could not be pushed to me/films \(403 Forbidden: .*hidden") as refused:
        small_recommender().push_to_hub("me/films", TOKEN)
    assert TOKEN not in "".join(traceback.format_exception(refused.value)) and "more" not in str(refused.value)
    with pytest.raises(InputError, match=r"me/none is no folder, .* \(404 for me/none\)"):
        Recommender.from_pretrained("me/none")
    with pytest.raises(InputError, match="could not be had from the hub"):
        Recommender.from_pretrained("me/films", revision="none")
