"""The small world in which `bad_inputs.py` tries inputs: what an input is, a data set, finished runs, and models."""

import functools
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from recbole_navigen.artefacts import read_json, write_json

DATASET, BASE, SPACE = "tiny", "base.yaml", "--params_file=space.yaml"
USERS, ITEMS, LENGTH = 16, 24, 6
FEW = ["--n_users=2", "--drafts=1"]
SETTINGS: dict[str, Any] = {
    "use_gpu": False,
    "show_progress": False,
    "state": "WARNING",
    "item_text_fields": ["title", "genre"],
    "metrics": ["NDCG", "Recall"],
    "topk": [5],
    "valid_metric": "NDCG@5",
    "epochs": 1,
    "MAX_ITEM_LIST_LENGTH": 6,
    "collaborative_config": {"SASRec": {"steps": 2, "hidden_size": 16, "inner_size": 16, "n_layers": 1}},
    "codes": 6,
    "hidden_size": 16,
    "inner_size": 16,
    "n_layers": 1,
    "text_vocabulary": 400,
    "instruction_vocabulary": 2000,
    "writer_steps": 2,
    "writer_batch_size": 2,
    "thought_tokens": 80,
    "instruction_tokens": 60,
    "supervision": {"rounds": 1, "moments_per_user": 1},
}


@dataclass(frozen=True, slots=True)
class Input:
    """Something that is given to the product.

    Attributes:
        kind: the row of the table. what: is given, unique within the kind.
        call: a command and its arguments, such as ("navigen", "--epochs=0"), or a function of the world.
        about: words of which the sentence must hold one: the setting, the file.
        files: makes what the input needs, in the working directory.
        right: True for an input that must be taken as it is, False for one that must be refused, None for one that may
            be refused and must otherwise be taken as `check` says.
        check: of an accepted input; takes what was seen of it (see `bad_inputs.Seen`), False or an error is a failure.
        environment: variables of the process.
    """

    kind: str
    what: str
    call: tuple[str, ...] | Callable[["World"], Any]
    about: tuple[str, ...] = ()
    files: Callable[["World"], None] | None = None
    right: bool | None = False
    check: Callable[[Any], Any] | None = None
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class World:
    """Where everything lies.

    Attributes:
        folder: holds `dataset/tiny`, `base.yaml`, `saved/` and `models/`. Nothing may change what is in it.
        navigen: a finished run with a writer. other: the same with another seed. baseline: one of BPR.
    """

    folder: Path
    navigen: Path
    other: Path
    baseline: Path

    @property
    def export(self) -> Path:
        """The run `navigen` as a model folder."""
        return self.folder / "export"

    @property
    def models(self) -> Path:
        """Folders of small models: backbone, encoder, clip, image and video."""
        return self.folder / "models"

    def enter(self, place: Path) -> None:
        """Make a working directory with data set and settings of its own, and go there."""
        place.mkdir(parents=True)
        shutil.copytree(self.folder / "dataset", place / "dataset")
        for name in (BASE, "space.yaml"):
            shutil.copyfile(self.folder / name, place / name)
        os.chdir(place)


def interactions() -> list[str]:
    """Lines of tiny.inter: every user walks along a ring of items."""
    rng, lines = np.random.default_rng(0), []
    for user in range(USERS):
        items = (rng.integers(ITEMS) + np.arange(LENGTH)) % ITEMS
        times = 1_500_000_000 + np.cumsum(rng.integers(1, 9, LENGTH))
        lines += [f"u{user}\ti{item}\t{item % 5 + 1}\t{time}" for item, time in zip(items, times, strict=True)]
    lines += [f"u{item % USERS}\ti{item}\t3\t{1_400_000_000 + item}" for item in range(ITEMS)]
    return ["user_id:token\titem_id:token\trating:float\ttimestamp:float", *lines]


def items() -> list[str]:
    """Lines of tiny.item."""
    genres = ("drama", "comedy night", "space opera")
    lines = [f"i{item}\tTale {item} of the River\t{genres[item % 3]}\t{1990 + item}" for item in range(ITEMS)]
    return ["item_id:token\ttitle:token_seq\tgenre:token_seq\tyear:float", *lines]


def users() -> list[str]:
    """Lines of tiny.user."""
    return ["user_id:token\tage:float\tcity:token", *(f"u{user}\t{20 + user}\tRome" for user in range(USERS))]


FILES: dict[str, Callable[[], list[str]]] = {"inter": interactions, "item": items, "user": users}


def write_lines(
    suffix: str, lines: Sequence[str], end: str = "\n", encoding: str = "utf-8", folder: str | Path = "."
) -> None:
    """Write an atomic file of the data set in a folder, by default the working directory."""
    path = Path(folder, "dataset", DATASET, f"{DATASET}.{suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode(encoding))


def build(folder: Path, apart: Callable[..., None]) -> World:
    """Make the world, or find the one that is there.

    Args:
        folder: of the world. apart: calls functions at once, each in a process of its own.
    """
    made = folder / "world.json"
    if not made.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _build_data(folder)
        writes = {"training_stages": ["align", "finetune", "write"]}
        runs = {"navigen": ("NaviGen", writes), "other": ("NaviGen", {**writes, "seed": 1}), "baseline": ("BPR", {})}
        makes = [functools.partial(_run, folder, name, *own) for name, own in runs.items()]
        apart(functools.partial(_build_models, folder / "models"), *makes)
        apart(lambda: _export(folder, read_json(folder / "navigen.json")))
        write_json(made, {name: read_json(folder / f"{name}.json") for name in runs})
    return World(folder, **{name: Path(run) for name, run in read_json(made).items()})


def _build_data(folder: Path) -> None:
    for suffix, lines in FILES.items():
        write_lines(suffix, lines(), folder=folder)
    (folder / BASE).write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    (folder / "space.yaml").write_text("learning_rate: [0.001, 0.002]\n", encoding="utf-8")


def _run(folder: Path, name: str, model: str, settings: dict[str, Any]) -> None:
    from recbole_navigen.quick_start import run_navigen

    os.chdir(folder)
    data = {"data_path": str(folder / "dataset")}
    run = run_navigen(model, DATASET, [BASE], {**settings, **data})["run_dir"]
    write_json(folder / f"{name}.json", str(Path(run).resolve()))


@functools.cache
def recommender(world: World) -> Any:
    """The run `navigen`, loaded once: children fork with it."""
    from recbole_navigen.quick_start import Recommender

    return Recommender.load(world.navigen)


def answers(run: str | Path) -> list[Any]:
    """What a run recommends, to the last bit, and what it writes."""
    from recbole_navigen.quick_start import Recommender

    recommender = Recommender.load(run)
    found = recommender.recommend(["i1", "i2", "i3"], 5)
    written = recommender.instruct([["i1", "i2"]], temperature=0.0, drafts=1)
    return [[[one.item, one.log_probability] for one in found], written[0].answer]


def _export(folder: Path, run: str) -> None:
    from recbole_navigen.quick_start import Recommender

    os.chdir(folder)
    Recommender.load(run).save_pretrained(folder / "export")
    write_json(folder / "answers.json", answers(run))


def _build_models(folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    from recbole_navigen.language.vocabulary import train_tokenizer
    from worlds import tiny_models

    steps = {f"{part}_steps": 1 for part in ("clip", "autoencoder", "image", "video")}
    small = {"width": 32, "layers": 1, "latent_width": 8, "channels": 16, "pairs": 16, "frames": 16}
    tiny_models.build(folder, tiny_models.Sizes(**small, pictures=4, clips=1, **steps))
    tokenizer = train_tokenizer([" ".join(line.split("\t")[1:3]) for line in items()], 400)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    backbone = Qwen3Config(vocab_size=len(tokenizer), num_key_value_heads=2, head_dim=8, **sizes)
    Qwen3ForCausalLM(backbone).save_pretrained(folder / "backbone")
    tokenizer.save_pretrained(folder / "backbone")
    padded = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, pad_token="<pad>")
    BertModel(BertConfig(vocab_size=len(padded), **sizes)).save_pretrained(folder / "encoder")
    padded.save_pretrained(folder / "encoder")
