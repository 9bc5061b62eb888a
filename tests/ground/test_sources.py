"""Models of the hub: two commits of one id are two models, wherever vectors or media are kept."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_media import FEW_STEPS, small_clip, tiny_models

from recbole_navigen.errors import InputError
from recbole_navigen.sources import find_source

FIRST, SECOND = "1" * 40, "2" * 40
# transformers and diffusers read the place of the cache when they are imported: hence a process of its own.
SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from recbole_navigen.errors import InputError
from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.generation.make import generate
from recbole_navigen.generation.image import ImageGenerator
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.generation.settings import generation_settings

home, cache, media, first, second = sys.argv[1:]
found = {"vectors": [], "encoder": [], "counts": [], "records": []}
for revision in (first, None, second):
    encoder = ClipEncoder("own/clip", revision, cache=cache)
    found["vectors"].append(encoder.texts(["a red ball"]).parts[0].tolist())
    found["encoder"].append([encoder.identity["weights"], encoder.identity["revision"]])
own = {"image_model": "own/image", "image_steps": 2, "image_size": [32, 32]}
for commit in (first, first, second):
    Path(home, "hub/models--own--image/refs/main").write_text(commit)
    settings = generation_settings(own)
    instructions = [InstructionRecord("u", "image", "a ball", "i")]
    made = generate(instructions, {"image": ImageGenerator(settings)}, media, settings)
    found["counts"].append(made.counts["kept"])
    found["records"].append(made.records[0]["revision"])
try:
    ClipEncoder("own/none")
except InputError as error:
    found["refused"] = str(error)
print(json.dumps(found))
"""


def on_the_hub(home: Path, name: str, commit: str) -> Path:
    """The folder of one commit of `own/NAME` in the hub's cache; `main` points at it."""
    model = home / "hub" / f"models--own--{name}"
    (model / "refs").mkdir(parents=True, exist_ok=True)
    (model / "refs" / "main").write_text(commit)
    snapshot = model / "snapshots" / commit
    snapshot.parent.mkdir(exist_ok=True)
    return snapshot


def test_two_commits_of_one_id_are_two_models(tmp_path: Path) -> None:
    home = tmp_path / "home"
    tiny_models.build(tmp_path / "models", FEW_STEPS, parts=("clip", "autoencoder", "image"))
    for seed, commit in enumerate((FIRST, SECOND)):
        shutil.copytree(tmp_path / "models" / "image", on_the_hub(home, "image", commit))
        small_clip(on_the_hub(home, "clip", commit), seed=seed)
    given = [str(home), str(tmp_path / "cache"), str(tmp_path / "media"), FIRST, SECOND]
    env = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", SCRIPT, *given], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    # Vectors of one commit are never taken for another's; `main` is the commit it points at.
    assert found["encoder"] == [[FIRST] * 2, [SECOND] * 2, [SECOND] * 2] and len(list(tmp_path.glob("cache/*"))) == 2
    assert found["vectors"][0] != found["vectors"][1] == found["vectors"][2]
    # When `main` moves, what the older model made is made again.
    assert found["counts"] == [0, 1, 0] and found["records"] == [FIRST, FIRST, SECOND]
    assert "no CLIP-like model can be loaded from own/none" in found["refused"]


def test_a_folder_is_named_by_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    before = find_source(str(folder), None, "config.json")
    assert (before.name, before.revision) == ("model", None) and str(tmp_path) not in before.weights
    (folder / "notes.md").write_text("nothing that is loaded")
    assert find_source(str(folder), None, "config.json") == before
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert find_source(str(folder), None, "config.json").weights != before.weights
    with pytest.raises(InputError, match="is a folder and has no revision 'main'"):
        find_source(str(folder), "main", "config.json")
    with pytest.raises(OSError, match="none"):
        find_source(str(tmp_path / "none"), None, "config.json")
