"""The notebook runs from its first cell to its last, on small data under the name ml-100k, and shows what it says."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from places import ROOT
from synthetic import write_atomic
from tiny_settings import NAVIGEN

NOTEBOOK = ROOT / "docs" / "notebooks" / "ml-100k.ipynb"


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")


def test_the_notebook_runs(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    pytest.importorskip("ipywidgets")
    # Users and items as the notebook names them, and models that train in a second.
    write_atomic(own_folder / "dataset", "ml-100k", users=40, items=190)
    for file in (own_folder / "dataset" / "ml-100k").iterdir():
        text = re.sub(r"\bu(\d+)\t", lambda found: f"{int(found[1]) + 160}\t", file.read_text())
        file.write_text(re.sub(r"\bi(\d+)\t", lambda found: f"{int(found[1]) + 1}\t", text))
    for name, values in {
        "overall": {"use_gpu": False, "MAX_ITEM_LIST_LENGTH": 8},
        "model/NaviGen": {**NAVIGEN, "batch_items": 400},
        "dataset/ml-100k": {"item_text_fields": ["title", "genre"], "MAX_ITEM_LIST_LENGTH": 8},
    }.items():
        place = own_folder / "properties" / f"{name}.yaml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(yaml.safe_dump(values))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(own_folder)}})
    client.execute()
    shown = [output["data"] for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    pages = "\n".join(str(data.get("text/html", "")) for data in shown)
    for words in ("Test metrics", "ndcg", "NaviGen", "BPR", "95% interval", "Recommended", "probability"):
        assert words in pages, words
    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()) if "text" in output
    )
    assert "┏" not in printed and "INFO" not in printed  # neither tables of a terminal nor a log
    assert notebook.cells[-1]["outputs"][-1]["data"]["text/plain"].strip("'\"")
