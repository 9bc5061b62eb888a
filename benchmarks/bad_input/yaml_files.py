"""Bad yaml files, where they are named and where they lie in `properties/`, and good ones that look odd."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bad_input.files import READERS
from bad_input.world import BASE, DATASET, Input, World

# What a yaml file can be: fault -> its content, and a word that the sentence must hold beside the file's name.
YAML: dict[str, str | bytes] = {
    "a list": "- epochs\n- 3\n",
    "a word": "epochs\n",
    "a number": "3\n",
    "an open bracket": "epochs: [1\n",
    "an open quotation mark": 'state: "INFO\n',
    "a tab": "epochs:\n\t- 1\n",
    "wrong indentation": "epochs: 1\n  topk: [5]\n",
    "two values": "epochs: 1: 2\n",
    "a Python object": "epochs: !!python/object/apply:os.system ['touch evaluated']\n",
    "a Python tuple": "topk: !!python/tuple [5]\n",
    "an unknown tag": "epochs: !number 3\n",
    "an anchor that is not there": "epochs: *times\n",
    "a list that holds itself": "topk: &a [*a]\n",
    "a mapping that holds itself": "eval_args: &a {split: *a}\n",
    "two documents": "epochs: 1\n---\nepochs: 2\n",
    "a key twice": "epochs: 1\nseed: 3\nepochs: 2\n",
    "a key twice within": "eval_args: {mode: full, order: TO, mode: uni100}\n",
    "a key twice, far apart": "task_weights:\n  dense: 0.0\n  cid2cid: 1.0\n  dense: 1.0\n",
    "an unknown key": "epoch: 3\n",
    "a key in capitals": "EPOCHS: 3\n",
    "an unknown key within": "eval_args: {modus: full}\n",
    "a key of no text": "? [1, 2]\n: 3\n",
    "a number as a key": "5: 3\n",
    "None as a key": "~: 3\n",
    "a key and no value": "epochs:\n",
    "no space behind a colon": "epochs:3\n",
    "an equals sign": "epochs = 3\n",
    "a json that is cut": '{"epochs": 3, "topk": [5',
    "a section of models": "models: {SASRec: {epochs: 3}}\n",
    "binary": bytes(range(256)),
    "Latin-1": "wandb_project: \xe9t\xe9\n".encode("latin-1"),
    "zero bytes": b"\0" * 20,
    "a clock time": "epochs: 1:30\n",
}
GOOD_YAML: dict[str, tuple[str | bytes, str, Any]] = {
    "an empty file": ("", "epochs", 1),
    "comments alone": ("# nothing\n", "epochs", 1),
    "Windows line ends": ("epochs: 3\r\nseed: 7\r\n", "epochs", 3),
    "a byte-order mark": (b"\xef\xbb\xbfepochs: 3\n", "epochs", 3),
    "a number with an exponent": ("epochs: 3e0\n", "epochs", 3),
    "a small number": ("learning_rate: 1e-4\n", "learning_rate", 1e-4),
    "anchors": ("topk: &a [5]\nmetrics: [NDCG]\n", "topk", [5]),
    "json": ('{"epochs": 3}', "epochs", 3),
    "a quoted key": ('"epochs": 3\n', "epochs", 3),
    "None as a word": ("validation_users: ~\n", "validation_users", None),
}


def yaml_inputs(world: World) -> Iterator[Input]:
    """Faults of yaml files: those that are named, and those that lie in properties/ of the working directory."""
    # A comparison takes a section of models, so it is none of its faults.
    commands = itertools.cycle([reader for reader in READERS if reader[0] != "compare"])

    def files(name: str, content: str | bytes) -> Callable[[World], None]:
        def write(world: World) -> None:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())

        return write

    for what, content in YAML.items():
        words = ("bad.yaml", *(("epoch", "modus", "models") if "key" in what or "section" in what else ()))
        words = (*words, "epochs") if "clock" in what else words
        words = (*words, "topk", "eval_args") if "itself" in what else words
        for place in ("bad.yaml", f"properties/dataset/{DATASET}.yaml"):
            command, *own = next(commands)
            named = [BASE, place] if place == "bad.yaml" else [BASE]
            given = (command, *own, f"--dataset={DATASET}", "--config_files", *named)
            about = words if place == "bad.yaml" else (*words, f"{DATASET}.yaml")
            yield Input(
                f"yaml: {Path(place).parent if place != 'bad.yaml' else 'config file'}",
                what,
                given,
                about,
                files(place, content),
            )

    places = {
        "missing": lambda world: None,
        "a folder": lambda world: Path("bad.yaml").mkdir(),
        "a link to itself": lambda world: Path("bad.yaml").symlink_to("bad.yaml"),
    }
    for what, make in places.items():
        for command, *own in (*READERS[:1], *READERS[3:]):
            given = (command, *own, f"--dataset={DATASET}", "--config_files", BASE, "bad.yaml")
            yield Input("yaml: places", f"{what}, {command}", given, ("bad.yaml",), make)
    for what, (content, key, value) in GOOD_YAML.items():

        def check(seen: Any, key: str = key, value: Any = value) -> None:
            found = seen.configs[0][key]
            assert found == value, f"{key} is {found!r}"

        given = ("navigen", "--model=NaviGen", f"--dataset={DATASET}", "--config_files", BASE, "good.yaml")
        yield Input("yaml: good", what, given, (), files("good.yaml", content), True, check)
