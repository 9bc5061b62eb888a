"""From a data set to a NaviGen model that is ready to train: collaborative embeddings, identifiers, language model."""

import logging
import math
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from recbole.utils import init_seed
from transformers import PreTrainedTokenizerBase

from recbole_navigen.artefacts import (
    atomic_directory,
    content_hash,
    read_record,
    stage_is_current,
    verify_manifest,
    write_manifest,
)
from recbole_navigen.config import Config
from recbole_navigen.config.shipped import dataset_arguments
from recbole_navigen.data import create_dataset, data_preparation, read_item_text
from recbole_navigen.encoders.sentences import SentenceSpace
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.codes import residual_kmeans
from recbole_navigen.identifiers.embeddings import (
    cached_embeddings,
    item_embeddings,
    nearest_items,
    refuse_without_embeddings,
)
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.identifiers.terms import extract_terms
from recbole_navigen.language.backbone import pretrained_tokenizer, revision_of
from recbole_navigen.language.vocabulary import train_tokenizer
from recbole_navigen.model.navigen import NaviGen
from recbole_navigen.network.build import SCRATCH
from recbole_navigen.pipeline.check import code_count, refuse_unfit_navigen
from recbole_navigen.pipeline.recoding import recode, start_from
from recbole_navigen.pipeline.supervision import supervision_of, terms_by_teacher
from recbole_navigen.processes import alone, is_main
from recbole_navigen.runs.identity import encoder_weights, refuse_other_backbone, trained_by
from recbole_navigen.runs.layout import STARTED
from recbole_navigen.runs.stages import Stages
from recbole_navigen.sources import versions
from recbole_navigen.supervision.roles import made_of
from recbole_navigen.supervision.rows import InstructionRow
from recbole_navigen.supervision.settings import learns_instructions, settings_of
from recbole_navigen.training.checkpoint import load_checkpoint
from recbole_navigen.training.instruction_rows import InstructionRows
from recbole_navigen.training.progress import Progress
from recbole_navigen.training.sft import NaviGenTrainer
from recbole_navigen.training.trainer import build_model, get_trainer

IDENTIFIERS, SUPERVISION, TOKENIZER = "identifiers", "supervision", "tokenizer"  # folders of a run
TOKENIZER_ROWS = 2_000  # instructions from which a tokenizer learns, spread evenly; more add no words
# What the collaborative model shares with NaviGen beside how data are read.
_SHARED = ("seed", "reproducibility", "eval_args", "shuffle_ties", "gpu_id", "use_gpu", "show_progress")
_SHARED += ("checkpoint_dir",)
NEIGHBOURS = 20  # collaborative neighbours from which an item without text may borrow terms

logger = logging.getLogger(__name__)


def build_navigen(config: Config, dataset: Any, train_data: Any, valid_data: Any, stages: Stages):
    """Build identifiers and model from the training split.

    Args:
        config: settings of the run. dataset: the whole data set, for ids and text.
        train_data: user rows of the training split. valid_data: of it only whether there is any.
        stages: records what each step took.

    Returns:
        The model and its trainer.
    """
    refuse_unfit_navigen(config, dataset.item_num - 1, train_data._dataset, valid_data)
    text = read_item_text(config, dataset)
    with stages("collaborative") as stage:
        vectors, cached, stage.spared = collaborative_vectors(config, train_data._dataset)
        stage.metric = f"{config['collaborative_model']}, {vectors.shape[1]} dimensions" + (
            ", cached" if cached else ""
        )
    with stages("identifiers") as stage:
        # Processes may compute on different machines, so all read what the main one made.
        # A run that goes on keeps the table it began with: a teacher may answer now what it did not answer then.
        place, inputs = Path(config["run_dir"]) / IDENTIFIERS, table_inputs(config, dataset, vectors, text.text[1:])
        again = {**inputs, "recode_epochs": config["recode_epochs"]} if config["recode_epochs"] else inputs
        if is_main() and not any(stage_is_current(place, each) for each in (again, inputs)):
            build_table(config, dataset, vectors, text.text[1:]).save(place, inputs)
        table = DualIdentifierTable.load(place)
        logger.info(table.describe())
        codes = table.report["codes"]
        stage.metric = f"{table.levels} x {table.codebook_size} codes, {codes['items_moved']} collisions resolved"
    part, rows = train_data._dataset, ()
    if learns_instructions(config):
        rows = supervision_stage(config, dataset, part, table, stages, Path(config["run_dir"]) / SUPERVISION)
    init_seed(config["seed"], config["reproducibility"])
    if is_main():
        tokenizer = build_tokenizer(config, table, text.text[1:], rows)
        with atomic_directory(Path(config["run_dir"]) / TOKENIZER) as folder:
            tokenizer.save_pretrained(folder)
            write_manifest(folder, {"kind": TOKENIZER})
    else:
        tokenizer = saved_tokenizer(config["run_dir"])
    if config["recode_epochs"]:
        with stages("recode") as stage:
            if is_main() and not stage_is_current(place, again):
                recode(config, part, table, tokenizer, train_data, again).save(place, again)
            table = DualIdentifierTable.load(place)
            stage.metric = f"codes of the model itself after {config['recode_epochs']} epochs"
        init_seed(config["seed"], config["reproducibility"])  # a run that goes on has drawn nothing in this stage
    model = NaviGen(config, part, table, tokenizer).to(config["device"])
    if config["recode_epochs"]:
        start_from(model, config["run_dir"])
    if not learns_instructions(config):
        return model, NaviGenTrainer(config, model)
    instructions = InstructionRows(
        rows, part.sequences, model.renderer, model.max_seq_length, config["think_share"], config["choose_item"]
    )
    return model, NaviGenTrainer(config, model, instructions)


def supervision_stage(
    config: Config, dataset: Any, part: Any, table: DualIdentifierTable, stages: Stages, own: Path | None = None
) -> Sequence[InstructionRow]:
    """What instructions are learned from, as a stage of a run.

    Args:
        config: settings of the run. dataset: for raw user ids. part: its training split. table: for terms.
        stages: records what it took. own: see `supervision_of`.
    """
    with stages("supervision") as stage:
        users = dataset.field2id_token[dataset.uid_field]
        supervision, cached = supervision_of(config, part.sequences, table.terms, users, own)
        stage.spared = supervision.report["seconds"] if cached else 0.0
        thoughts = sum(row.reasoning is not None for row in supervision.rows)
        stage.metric = f"{len(supervision.rows)} instructions, {thoughts} with reasoning"
        if unanswered := sum(supervision.report.get("unanswered", {}).values()):
            stage.metric += f", {unanswered} questions unanswered"
        stage.metric += ", cached" if cached else ""
    return supervision.rows


def load_navigen(config: Config, dataset: Any, run_dir: str | Path) -> NaviGen:
    """The model of an earlier run at its best epoch, from the run's folder.

    Args:
        config: settings of that run. dataset: any part of its data set. run_dir: `saved/RUN`.
    """
    run_dir = Path(run_dir)
    if (begun := run_dir / STARTED).is_file():
        begun = read_record(begun, f"delete {run_dir} and run again")
        refuse_other_backbone(begun, config["backbone"], run_dir, revision_of(config))
    table = DualIdentifierTable.load(run_dir / IDENTIFIERS)
    model = NaviGen(config, dataset, table, saved_tokenizer(run_dir)).to(config["device"])
    model.load_state_dict(load_checkpoint(run_dir / "checkpoint")["state_dict"])
    return model.eval()


def saved_tokenizer(run_dir: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a run's ranking model, from the run's folder; DamagedArtefact if it is not what was written."""
    folder = Path(run_dir) / TOKENIZER
    verify_manifest(folder)
    return pretrained_tokenizer(str(folder))


def build_tokenizer(
    config: Config, table: DualIdentifierTable, texts: tuple[str, ...], rows: Sequence[InstructionRow] = ()
) -> PreTrainedTokenizerBase:
    """The backbone's own tokenizer, or from scratch one trained on item texts, terms and instructions."""
    if config["backbone"] != SCRATCH:
        return pretrained_tokenizer(config["backbone"], revision_of(config))
    # Item texts in the letters of terms, which are lower-case; sentences as they are, since they are to be written so.
    words = [*(unicodedata.normalize("NFKC", text).lower() for text in texts), *(", ".join(t) for t in table.terms)]
    sentences = sampled_texts(rows)
    more = config["instruction_vocabulary"] if sentences else 0
    return train_tokenizer(words, config["text_vocabulary"], sentences, more)


def sampled_texts(rows: Sequence[InstructionRow]) -> list[str]:
    """Instructions and thoughts of some rows, from which a tokenizer and its rows start."""
    some = rows[:: max(1, len(rows) // TOKENIZER_ROWS)]
    return [text for row in some for text in (row.target_ins, row.reasoning) if text]


def table_inputs(config: Config, dataset: Any, vectors: np.ndarray, texts: tuple[str, ...]) -> dict[str, Any]:
    """What `build_table` makes a table of, as hashes and settings."""
    supervision = settings_of(config)
    return {
        "embeddings": content_hash(vectors),
        "texts": content_hash(texts),
        "items": content_hash([str(token) for token in dataset.field2id_token[dataset.iid_field]]),
        "settings": {key: config[key] for key in ("levels", "codes", "seed", "balanced", "text_vectors")},
        "encoder": encoder_weights(config["text_vectors"]),
        "supervision": made_of(supervision) if supervision["tid_source"] == "teacher" else None,
        "versions": versions(),
    }


def build_table(config: Config, dataset: Any, vectors: np.ndarray, texts: tuple[str, ...]) -> DualIdentifierTable:
    """Codes from collaborative vectors (N, D), terms from item texts (N strings), or of a teacher that reads them."""
    codes = code_count(config, len(vectors))
    quantized = residual_kmeans(vectors, config["levels"], codes, config["seed"], config["balanced"])
    terms = extract_terms(texts, nearest_items(vectors, NEIGHBOURS))
    items = tuple(str(token) for token in dataset.field2id_token[dataset.iid_field][1:])
    if (first := terms.report["first_without_terms"]) is not None:
        logger.warning(
            "the text of %d of %d items gives no term (the first is item %s, %r); they take those of their neighbours",
            terms.report["items_without_terms"],
            len(items),
            items[first],
            texts[first][:60],
        )
    if settings_of(config)["tid_source"] == "teacher":
        terms = terms_by_teacher(config, texts, terms)
    return DualIdentifierTable(
        item_tokens=items,
        codes=quantized.codes,
        codebook_size=codes,
        codebooks=np.stack(quantized.codebooks),
        terms=terms.terms,
        report={"codes": quantized.report, "terms": terms.report},
        residuals=quantized.residuals,
        sentences=sentence_vectors(config["text_vectors"], texts),
    )


def sentence_vectors(source: str, texts: tuple[str, ...]) -> np.ndarray | None:
    """Embeddings of N item texts under the setting `text_vectors`, (N, any) float32; None for terms alone."""
    if source == "terms":
        return None
    return SentenceSpace(source)(texts)


def collaborative_vectors(config: Config, train_part: Any) -> tuple[np.ndarray, bool, float]:
    """Item embeddings of `collaborative_model` trained on the training split, True if they were cached, and the seconds
    that the cache spared.

    The number of epochs is fixed and validation targets are not looked at, so nothing in the identifiers can know them.
    """
    name, own = config["collaborative_model"], collaborative_config(config)
    settings = {key: value for key, value in own.items() if key != "steps"}
    settings["data_path"] = str(Path(config["data_path"]).parent)
    try:
        with alone():  # its device is this process's own already
            sub = Config(name, config["dataset"], None, settings)
    except InputError as error:
        raise InputError(f"collaborative_model={name} cannot be used here: {error}") from error
    inputs = {
        **trained_by(sub),
        "seed": sub["seed"],
        "steps": own.get("steps"),
        "train": train_part.sequences.content_hash(),
        "items": content_hash([str(token) for token in train_part.field2id_token[train_part.iid_field]]),
    }

    def train(progress: Path) -> tuple[np.ndarray, float]:
        start = time.perf_counter()
        data = create_dataset(sub)
        if list(data.field2id_token[data.iid_field]) != list(train_part.field2id_token[train_part.iid_field]):
            raise InputError(f"collaborative_model={name} loads other items than NaviGen; give both the same filters.")
        train_data, _, _ = data_preparation(sub, data)
        if "steps" in own:
            sub["epochs"] = math.ceil(own["steps"] / len(train_data))
        init_seed(sub["seed"], sub["reproducibility"])
        model = build_model(sub, train_data._dataset)
        refuse_without_embeddings(model)
        with alone():
            trainer = get_trainer(sub, model)(sub, model)
            trainer.stage = f"collaborative {name}"
            trainer.go_on(Progress(progress))
            trainer.fit(train_data, None, saved=False, show_progress=sub["show_progress"])
        return item_embeddings(model), time.perf_counter() - start + trainer.seconds_before

    return cached_embeddings(Path(config["checkpoint_dir"]) / "cache", inputs, train)


def collaborative_config(config: Config) -> dict[str, Any]:
    """Settings of the collaborative model: `collaborative_config` for it, and what it must share with NaviGen."""
    name = config["collaborative_model"]
    given = (config["collaborative_config"] or {}).get(name, {})
    rows = ("autocast",) if given.get("train_rows") == "user" else ()
    own = {key: config[key] for key in (*dataset_arguments(), *_SHARED, *rows) if key in config}
    return {**own, **given}
