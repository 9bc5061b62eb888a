"""From a data set to a NaviGen that is ready to train: collaborative vectors, identifiers, tokenizer, network."""

import logging
from pathlib import Path

from recbole.data.dataloader import AbstractDataLoader
from recbole.utils import init_seed

from recbole_navigen.artefacts import atomic_directory, stage_is_current
from recbole_navigen.config import Config
from recbole_navigen.config.settings import RunSettings
from recbole_navigen.data import NaviGenDataset, UserRowLoader, read_item_text
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.model.navigen import NaviGen
from recbole_navigen.pipeline.check import refuse_unfit_navigen
from recbole_navigen.pipeline.collaborative import collaborative_vectors
from recbole_navigen.pipeline.identifiers import build_table, table_inputs
from recbole_navigen.pipeline.recoding import recode, start_from
from recbole_navigen.pipeline.supervision import supervision_stage
from recbole_navigen.pipeline.tokenizer import build_tokenizer
from recbole_navigen.processes import is_main
from recbole_navigen.runs.folder import new_folder
from recbole_navigen.runs.layout import IDENTIFIERS, SUPERVISION, TOKENIZER
from recbole_navigen.runs.load import saved_tokenizer
from recbole_navigen.runs.stages import Stages
from recbole_navigen.supervision.settings import learns_instructions
from recbole_navigen.training.instruction_rows import InstructionRows
from recbole_navigen.training.sft import NaviGenTrainer

logger = logging.getLogger(__name__)


def build_navigen(config: Config, train_data: UserRowLoader, valid_data: AbstractDataLoader | None, stages: Stages):
    """Build identifiers and model from the training split.

    Args:
        config: settings of the run. train_data: user rows of the training split.
        valid_data: of it only whether there is any. stages: records what each step took.

    Returns:
        The model and its trainer.
    """
    model = build_net(config, train_data, valid_data, stages)
    return model, NaviGenTrainer(config, model)


def build_net(
    config: Config, train_data: UserRowLoader, valid_data: AbstractDataLoader | bool, stages: Stages
) -> NaviGen:
    """The model of `build_navigen`, with the instructions that it learns."""
    part, rows = train_data.dataset, ()
    refuse_unfit_navigen(config, part, valid_data)
    text = read_item_text(config, part).text[1:]
    with stages("collaborative") as stage:
        vectors, cached, stage.spared = collaborative_vectors(config, part)
        stage.metric = f"{config['collaborative_model']}, {vectors.shape[1]} dimensions" + ", cached" * cached
    with stages("identifiers") as stage:
        # Processes may compute on different machines, so all read what the main one made.
        # A run that goes on keeps the table it began with: a teacher may answer now what it did not answer then.
        place, inputs = Path(config["run_dir"]) / IDENTIFIERS, table_inputs(config, part, vectors, text)
        again = {**inputs, "recode_epochs": config["recode_epochs"]} if config["recode_epochs"] else inputs
        if is_main() and not any(stage_is_current(place, each) for each in (again, inputs)):
            build_table(config, part, vectors, text).save(place, inputs)
        table = DualIdentifierTable.load(place)
        logger.info(table.describe())
        codes = table.report["codes"]
        stage.metric = f"{table.levels} x {table.codebook_size} codes, {codes['items_moved']} collisions resolved"
    if learns_instructions(config):
        rows = supervision_stage(config, part, table, stages, Path(config["run_dir"]) / SUPERVISION)
    init_seed(config["seed"], config["reproducibility"])
    if is_main():
        tokenizer = build_tokenizer(config, table, text, rows)
        with atomic_directory(Path(config["run_dir"]) / TOKENIZER, {"kind": TOKENIZER}) as folder:
            tokenizer.save_pretrained(folder)
    else:
        tokenizer = saved_tokenizer(config["run_dir"])
    if config["recode_epochs"]:
        with stages("recode") as stage:
            if is_main() and not stage_is_current(place, again):
                recode(config, NaviGen(config, part, table, tokenizer), train_data, again).save(place, again)
            table = DualIdentifierTable.load(place)
            stage.metric = f"codes of the model itself after {config['recode_epochs']} epochs"
        init_seed(config["seed"], config["reproducibility"])  # a run that goes on has drawn nothing in this stage
    model = NaviGen(config, part, table, tokenizer).to(config["device"])
    if config["recode_epochs"]:
        start_from(model, config["run_dir"])
    if config["memory_share"] != 0:
        with stages("memory") as stage:
            terms = table.terms if model.lm.reads_terms else [()] * table.n_items
            model.lm.memory.learn(part.sequences.items, part.sequences.offsets, terms)
            stage.metric = f"{len(model.lm.memory.weights):,} pairs of items"
    if learns_instructions(config):
        model.instruction_rows = InstructionRows(
            rows, part.sequences, model.renderer, model.max_seq_length, config["think_share"], config["choose_item"]
        )
    return model


def build(config: Config, part: NaviGenDataset) -> NaviGen:
    """A NaviGen by RecBole's own constructor, `NaviGen(config, dataset)`, of settings and a training part alone: its
    identifiers, tokenizer and network are kept in `config["run_dir"]`, a new folder if there is none yet.
    """
    if not hasattr(part, "sequences"):
        raise InputError("NaviGen is built from the training part of its data: give train_data.dataset")
    if not config["run_dir"]:
        run = RunSettings.of(config)
        config["run_dir"] = str(new_folder(run.checkpoint_dir, run.name))
    return build_net(config, UserRowLoader(config, part), True, Stages())
