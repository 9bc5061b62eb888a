"""Model folders on the Hugging Face Hub. A token is handed to huggingface_hub, and kept, logged and shown nowhere."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from recbole_navigen.errors import InputError
from recbole_navigen.redaction import hide, remember


def push_to_hub(save: Callable[[Path], Path], repo_id: str, token: str | None = None, private: bool = False) -> str:
    """Upload a model folder, in one commit.

    Args:
        save: writes the model into a folder, as `save_pretrained` does. repo_id: NAME or OWNER/NAME; made if it is new.
        token: of somebody who may write there; None: HF_TOKEN, or that of `hf auth login`.
        private: whether a new repository is to be.

    Returns:
        The address of the commit.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    remember(token, "token")
    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as scratch:
        folder = save(Path(scratch) / "model")
        try:
            repo = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            commit = api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Model by RecBole-NaviGen")
        except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OSError) as error:
            # Without its cause: a traceback would show the request, and the request has the token.
            raise InputError(
                f"the model could not be pushed to {repo_id} ({_first_line(error)}); check the name, and that the "
                "token may write there (hf auth login, HF_TOKEN or token=)."
            ) from None
    return str(commit.commit_url)


def pulled(repo_id: str, revision: str | None = None) -> Path:
    """The folder of a model on the hub, in huggingface_hub's cache; it is downloaded unless it is there.

    Args:
        repo_id: OWNER/NAME. revision: branch, tag or commit; None: its main branch.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo_id, revision=revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"{repo_id} is no folder, and could not be had from the hub ({_first_line(error)}); name a folder that "
            "save_pretrained wrote, or OWNER/NAME of a model on the hub."
        ) from None


def _first_line(error: Exception) -> str:
    return next(iter(hide(str(error)).strip().splitlines()), type(error).__name__)
