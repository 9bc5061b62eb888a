"""The writer of a run: trained once for its instructions, and kept in the run's folder."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recbole.utils import init_seed

from recbole_navigen.artefacts import atomic_directory, content_hash, stage_is_current, verify_manifest, write_json
from recbole_navigen.config import Config
from recbole_navigen.config.reinforcement import holds_rows_out
from recbole_navigen.data import NaviGenDataset, create_dataset, data_preparation, read_item_text
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.language.adapters import LORA_KEYS
from recbole_navigen.language.backbone import weights_of
from recbole_navigen.language.tags import SCRATCH
from recbole_navigen.model.author import Author
from recbole_navigen.model.navigen import NaviGen
from recbole_navigen.network.writer import Writer, build_writer
from recbole_navigen.pipeline.supervision import supervision_stage
from recbole_navigen.pipeline.tokenizer import build_tokenizer, sampled_texts
from recbole_navigen.redaction import without_secrets
from recbole_navigen.runs.layout import CHECKPOINT, TOKENIZER, WRITER, WRITER_PROGRESS, WRITER_SETTINGS
from recbole_navigen.runs.load import load_navigen
from recbole_navigen.runs.stages import Stages
from recbole_navigen.sources import versions
from recbole_navigen.supervision.dataset_facts import facts_of
from recbole_navigen.supervision.roles import made_of
from recbole_navigen.supervision.rows import InstructionRow
from recbole_navigen.supervision.settings import WRITING_KEYS, settings_of, writer_body, writes_plans
from recbole_navigen.training.checkpoint import save_checkpoint
from recbole_navigen.training.instruction_rows import InstructionRows, split_by_user
from recbole_navigen.training.precision import use_bf16
from recbole_navigen.training.progress import Progress
from recbole_navigen.training.writer_steps import train_writer

HELD_OUT = 0.1  # of the users: where reinforcement follows, it is validated on their instructions
# What a writer is made of, beside the ranking model.
KEYS = (
    *("backbone", "backbone_revision", "hidden_size", "n_layers", "n_heads", "inner_size", "attention_dropout"),
    *("dropout", "embedding_dropout", "history", "seed", "text_vocabulary", "weight_decay", "clip_grad_norm"),
    *("autocast", "MAX_ITEM_LIST_LENGTH", *WRITING_KEYS),
)


def has_writer(config: Config, run_dir: str | Path, rows: Sequence[InstructionRow] | None = None) -> bool:
    """Whether a finished run has the writer that these settings, and `rows` of one's own, make."""
    return stage_is_current(Path(run_dir) / WRITER, _inputs(config, rows))


def add_writer(config: Config, run_dir: str | Path, rows: Sequence[InstructionRow] | None = None) -> None:
    """Train a writer beside a finished ranking model, unless the run has the one that these settings make.

    Args:
        config: the run's settings, and those of the writer. run_dir: the run's folder.
        rows: what to learn from, such as `supervise` makes with a teacher of one's own from the training split; None:
            what the settings of the supervision make.
    """
    if has_writer(config, run_dir, rows):
        return
    part = data_preparation(config, create_dataset(config))[0].dataset
    train_beside(config, run_dir, load_navigen(config, part, run_dir), part, Stages(), rows)


def train_beside(
    config: Config,
    run_dir: str | Path,
    model: NaviGen,
    part: NaviGenDataset,
    stages: Stages,
    rows: Sequence[InstructionRow] | None = None,
) -> None:
    """Train the writer of a run, unless it is there; it goes to `run_dir/writer`.

    Args:
        config, run_dir, rows: as of `add_writer`. model: the run's, at its best epoch.
        part: the training split. stages: records what each step took.
    """
    run_dir, inputs, table = Path(run_dir), _inputs(config, rows), model.table
    if stage_is_current(run_dir / WRITER, inputs):
        return
    if rows is None:
        rows = supervision_stage(config, part, table, stages)
    if "held_out" in inputs:
        rows, _ = split_by_user(rows, inputs["held_out"], config["seed"])
    with stages("write") as stage:
        init_seed(config["seed"], config["reproducibility"])
        texts = read_item_text(config, part).text[1:]
        settings = _author_settings(config, inputs, part, table, rows)
        tokenizer = build_tokenizer(settings, table, texts, rows)
        own = {**settings, "gradient_checkpointing": config["gradient_checkpointing"]}
        writer, renderer = build_writer(own, model.lm, table, tokenizer, sampled_texts(rows))
        writer.to(config["device"])
        author = Author(writer, renderer, settings)
        learned = InstructionRows.of(author, rows, part.sequences)
        # A teacher may answer this time what it did not before: other rows make another training.
        name = f"{WRITER_PROGRESS}-{content_hash(inputs, [asdict(row) for row in rows])[:8]}"
        progress = Progress(run_dir / name, config["save_seconds"])
        loss = train_writer(writer, learned, config, progress, config["show_progress"])
        stage.metric = f"{config['writer_steps']} steps, {loss:.3f} nats a token"
        with atomic_directory(run_dir / WRITER, inputs) as folder:
            tokenizer.save_pretrained(folder / TOKENIZER)
            save_checkpoint(folder / CHECKPOINT, state_dict=writer.state_dict())
            write_json(folder / WRITER_SETTINGS, author.settings)
        progress.remove()


def _author_settings(
    config: Config,
    inputs: dict[str, Any],
    part: NaviGenDataset,
    table: DualIdentifierTable,
    rows: Sequence[InstructionRow],
) -> dict[str, Any]:
    """Settings of a writer as it is kept; with the facts of the items where it plans."""
    own = inputs["supervision"]["settings"]
    settings = {**inputs["settings"], "domain": own["domain"], "held_out": inputs.get("held_out", 0.0)}
    settings |= {"instruction_budget": own["instruction_budget"], "name_terms": own["name_terms"]}
    if settings.get("maps_items"):
        settings["backbone_hash"] = inputs["backbone"]
    # Rows of a teacher of one's own may hold no plans.
    planned = writes_plans(config) and (config["instruction_form"] is not None or all(row.plan for row in rows))
    settings["instruction_form"] = "plan" if planned else "text"
    if planned:
        settings["facts"] = [item.row() for item in facts_of(config, part, table.terms)]
    return settings


def _inputs(config: Config, rows: Sequence[InstructionRow] | None) -> dict[str, Any]:
    """What a writer is made from, beside the ranking model whose folder it stands in: that one never changes what the
    writer sees of it.
    """
    own_body, body = config["writer_backbone"], writer_body(config)
    keys = [key for key in KEYS if key != "writer_backbone"]
    keys += LORA_KEYS if config["lora"] or own_body else ()
    settings = without_secrets({key: config[key] for key in keys})
    weights = None if body == SCRATCH else weights_of(body, None if own_body else config["backbone_revision"])
    if own_body:  # frozen, with adapters; a model of the hub stays the one it was
        settings |= {"backbone": body, "lora": True, "maps_items": True}
        settings["backbone_revision"] = None if Path(body).is_dir() else weights
    settings["autocast"] = use_bf16(config["autocast"], config["device"])
    inputs = {"settings": settings, "supervision": made_of(settings_of(config)), "versions": versions()}
    if weights is not None:
        inputs["backbone"] = weights
    if holds_rows_out(config):
        inputs["held_out"] = HELD_OUT
    return inputs if rows is None else {**inputs, "rows": content_hash([asdict(row) for row in rows])}


def save_weights(run_dir: str | Path, writer: Writer) -> None:
    """Put other weights into the writer of a run."""
    folder = Path(run_dir) / WRITER
    with atomic_directory(folder, verify_manifest(folder)["inputs"]) as new:
        shutil.copytree(folder, new, dirs_exist_ok=True)
        save_checkpoint(new / CHECKPOINT, state_dict=writer.state_dict())
