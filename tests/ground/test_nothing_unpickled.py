"""Nothing is unpickled or evaluated: no call of ours could, and no file that a model may have makes a library do it."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import PACKAGE

from recbole_navigen.encoders.sentences import SentenceSpace
from recbole_navigen.errors import InputError
from recbole_navigen.language.backbone import pretrained_lm, pretrained_tokenizer, weights_of
from recbole_navigen.sources import find_source, refuse_pickles

MODULES = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
CALLS = {"eval", "exec", "__import__", "read_pickle", "unsafe_load", "full_load", "load_all", "torch.load"}
CALLS |= {"torch.hub.load", "np.load", "numpy.load", "allow_pickle"}
# Loaders of transformers and diffusers, by the names that they have here.
LOADERS = ("Auto", "kind", "DiffusionPipeline")


def calls(text: str) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]


def faults(text: str) -> list[str]:
    """What a source file does that it must not."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [name for name in names if name.partition(".")[0] in MODULES]
    for name, node in calls(text):
        method = name.rpartition(".")[2]
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        spread = [ast.unparse(word.value) for word in node.keywords if word.arg is None]
        if name in CALLS or (method in CALLS and method not in ("eval", "exec")):
            found.append(name)
        if given.get("allow_pickle", "False") != "False" or given.get("trust_remote_code", "False") != "False":
            found.append(ast.unparse(node))
        if name == "yaml.load" and given.get("Loader") != "SettingsLoader":
            found.append(ast.unparse(node))
        if method in ("from_pretrained", "from_config") and name.startswith(LOADERS):
            found += [] if any("SAFE" in entry for entry in spread) else [ast.unparse(node)]
    return found


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: file.stem)
def test_no_source_file_unpickles_or_evaluates(file):
    assert faults(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load(x)",
        "np.load(x, allow_pickle=True)",
        "pd.read_pickle(x)",
        "yaml.load(x, Loader=yaml.Loader)",
        "yaml.unsafe_load(x)",
        "eval(x)",
        "AutoModel.from_pretrained(x)",
        "AutoModel.from_pretrained(x, trust_remote_code=True, **SAFE)",
    ],
)
def test_what_must_not_stand_in_a_source_file_is_seen(text):
    assert faults(text)


WATCHED = """
import sys
seen = []
sys.addaudithook(lambda event, given: seen.append(given) if event == "pickle.find_class" else None)
import json
import os
from synthetic import write_atomic
from tiny_settings import NAVIGEN
from recbole_navigen.quick_start import Recommender, run_generate
own = {"show_progress": False, "use_gpu": False, "epochs": 1, "train_batch_size": 16, "MAX_ITEM_LIST_LENGTH": 8}
own |= {"data_path": str(write_atomic("dataset", "tiny")), "state": "ERROR", "writer_steps": 2}
seen.clear()  # what libraries read of themselves while they are imported
run_generate("tiny", config_dict={**NAVIGEN, **own}, n_users=1, output="out")
import pickle
before = list(seen)
pickle.loads(pickle.dumps(json.JSONDecoder))
print(json.dumps([before, len(seen)], default=str))
"""


def test_a_run_unpickles_nothing_while_it_lasts(own_folder):
    command = [sys.executable, "-c", WATCHED]
    paths = {"PYTHONPATH": f"{PACKAGE.parent}:{PACKAGE.parent / 'tests' / 'support'}"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **paths})
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout.splitlines()[-1])
    assert before == [] and after == 1  # and the watch would have seen one


@pytest.fixture
def sentence_model(own_folder):
    from transformers import BertConfig, BertModel, BertTokenizerFast

    (own_folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "river"]))
    folder = own_folder / "model"
    BertTokenizerFast(vocab_file=str(own_folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=7, **sizes)).save_pretrained(folder)
    return folder


class Fires:
    """A pickle that would write a file when it is read."""

    def __reduce__(self):
        return Path.touch, (Path("fired"),)


def test_pickled_weights_are_refused_and_not_read(sentence_model):
    import pickle

    SentenceSpace(sentence_model)(["red river"])
    (sentence_model / "model.safetensors").unlink()
    (sentence_model / "pytorch_model.bin").write_bytes(pickle.dumps(Fires()))
    for load in (SentenceSpace, pretrained_lm, lambda path: find_source(path, None, "config.json"), refuse_pickles):
        with pytest.raises(InputError, match=r"pytorch_model\.bin is a pickle.*save_pretrained"):
            load(str(sentence_model))
    assert not Path("fired").exists()


def test_code_of_a_model_is_never_run(sentence_model):
    config = json.loads((sentence_model / "config.json").read_text())
    classes = {"AutoConfig": "own.Config", "AutoModel": "own.Model", "AutoModelForCausalLM": "own.Model"}
    config |= {"model_type": "of-its-own", "auto_map": classes}
    (sentence_model / "config.json").write_text(json.dumps(config))
    (sentence_model / "own.py").write_text("from pathlib import Path\nPath('fired').touch()\n")
    for load in (SentenceSpace, pretrained_lm):
        with pytest.raises(InputError, match="model"):
            load(str(sentence_model))
    assert not Path("fired").exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "\xff", "[" * 100_000, '{"model_type": 5}', '{"model_type": null}']
)
def test_a_malformed_description_is_one_sentence(sentence_model, text):
    (sentence_model / "config.json").write_bytes(text.encode("latin-1"))
    # A tokenizer needs no description, so one that says something else is none of its business.
    loads = (SentenceSpace, pretrained_lm) + ((pretrained_tokenizer,) if not text.startswith('{"') else ())
    for load in loads:
        with pytest.raises(InputError) as caught:
            load(str(sentence_model))
        assert str(sentence_model) in str(caught.value) and "\n" not in str(caught.value)
    if not text.startswith("{"):
        with pytest.raises(InputError, match=r"config\.json .*JSON"):
            weights_of(str(sentence_model))


@pytest.mark.parametrize("text", ["", "[]", '{"_class_name": 5}', '{"_class_name": ["own.py", "Pipe"]}', '{"unet": 3}'])
def test_a_malformed_pipeline_is_one_sentence(own_folder, text):
    pytest.importorskip("diffusers")
    from recbole_navigen.generation.image import ImageGenerator
    from recbole_navigen.generation.settings import generation_settings

    folder = own_folder / "pipeline"
    folder.mkdir()
    (folder / "model_index.json").write_text(text)
    (folder / "own.py").write_text("from pathlib import Path\nPath('fired').touch()\n")
    with pytest.raises(InputError) as caught:
        ImageGenerator(generation_settings({"image_model": str(folder)}))
    assert "pipeline" in str(caught.value) and "\n" not in str(caught.value) and not Path("fired").exists()
    shutil.rmtree(folder)
