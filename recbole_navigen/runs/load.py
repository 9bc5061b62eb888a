"""Models read back from the folder of a run."""

import json
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from recbole_navigen.artefacts import read_json, read_record, verify_manifest
from recbole_navigen.config import Config, NaviGenSettings
from recbole_navigen.data import NaviGenDataset
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.language.backbone import pretrained_tokenizer, revision_of
from recbole_navigen.model.author import Author
from recbole_navigen.model.navigen import NaviGen
from recbole_navigen.network.build import build_lm
from recbole_navigen.network.item_model import DualIdentifierLM
from recbole_navigen.network.writer import build_writer
from recbole_navigen.redaction import HIDDEN
from recbole_navigen.runs.identity import refuse_other_backbone
from recbole_navigen.runs.layout import CHECKPOINT, IDENTIFIERS, STARTED, TOKENIZER, WRITER, WRITER_SETTINGS
from recbole_navigen.runs.result import read_result
from recbole_navigen.runs.trained import TrainedModel
from recbole_navigen.training.checkpoint import load_checkpoint


def load_navigen(config: Config, dataset: NaviGenDataset, run_dir: str | Path) -> NaviGen:
    """The model of an earlier run at its best epoch, from the run's folder.

    Args:
        config: settings of that run. dataset: any part of its data set. run_dir: `saved/RUN`.
    """
    run_dir, settings = Path(run_dir), NaviGenSettings.of(config)
    if (begun := run_dir / STARTED).is_file():
        begun = read_record(begun, f"delete {run_dir} and run again")
        refuse_other_backbone(begun, settings.backbone, run_dir, settings.backbone_revision)
    table = DualIdentifierTable.load(run_dir / IDENTIFIERS)
    model = NaviGen(config, dataset, table, saved_tokenizer(run_dir)).to(settings.device)
    model.load_state_dict(load_checkpoint(run_dir / CHECKPOINT)["state_dict"])
    return model.eval()


def load_trained(run_dir: str | Path) -> TrainedModel:
    """A finished run of NaviGen at its best epoch, with its writer.

    Args:
        run_dir: `saved/RUN`.

    Raises:
        InputError: the run is not finished, of another model, or its backbone has other weights now.
    """
    run_dir = Path(run_dir)
    result = read_result(run_dir)
    if result["model"] != "NaviGen":
        raise InputError(f"{run_dir} holds a {result['model']}; this API reads runs of NaviGen.")
    settings = result["config"]
    refuse_other_backbone(result["identity"], settings["backbone"], run_dir, revision_of(settings))
    table = DualIdentifierTable.load(run_dir / IDENTIFIERS)
    lm, renderer = build_lm(settings, table, saved_tokenizer(run_dir), trained=True)
    weights = load_checkpoint(run_dir / CHECKPOINT)["state_dict"]
    lm.load_state_dict({name.removeprefix("lm."): weight for name, weight in weights.items()})
    writer = load_writer(run_dir, lm, table)
    return TrainedModel(table, lm, renderer, settings, result["dataset_hash"], writer, result["test_result"])


def saved_tokenizer(run_dir: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a run's ranking model, from the run's folder; DamagedArtefact if it is not what was written."""
    folder = Path(run_dir) / TOKENIZER
    verify_manifest(folder)
    return pretrained_tokenizer(str(folder))


def load_writer(run_dir: str | Path, ranker: DualIdentifierLM, table: DualIdentifierTable) -> Author | None:
    """The writer of a run; None if the run has none."""
    folder = Path(run_dir) / WRITER
    if not folder.is_dir():
        return None
    verify_manifest(folder)
    settings = read_json(folder / WRITER_SETTINGS)
    refuse_other_backbone(settings, settings["backbone"], folder, revision_of(settings))
    writer, renderer = build_writer(settings, ranker, table, pretrained_tokenizer(str(folder / TOKENIZER)))
    writer.load_state_dict(load_checkpoint(folder / CHECKPOINT)["state_dict"])
    return Author(writer.eval(), renderer, settings)


def run_config(folder: str | Path, model: type | None = None) -> Config:
    """Read the settings of a finished run, for stages that are added to it.

    Args:
        folder: of the run. model: its class, where it is neither RecBole's nor ours and no file defines it.

    Raises:
        InputError: a setting holds a secret, which runs do not keep.
    """
    record = read_result(folder)
    settings, data = record["config"], {"data_path": str(Path(record["config"]["data_path"]).parent)}
    # A model of one's own may have no defaults to be built with.
    if model is not None or settings.get("model_file"):
        own_keys = ("loss_type", *(() if model is not None else ("model_file",)))
        data |= {key: settings[key] for key in own_keys if settings.get(key) is not None}
    model = model or record["model"]
    defaults = Config(model, record["dataset"], config_dict=data)
    shown = defaults.public()
    # What the run's own settings were, and not what they made of others: that would not be taken as a setting.
    user_settings = {
        key: settings[key]
        for key in defaults.given.described
        if key in settings and settings[key] != shown.get(key) and key not in ("model", "dataset", "gpu_id")
    }
    if HIDDEN in json.dumps(user_settings):
        raise InputError(
            f"the settings of {folder} hold a secret, which runs do not keep; give its settings in place of its folder."
        )
    return Config(model, record["dataset"], config_dict={**user_settings, **data})


def refuse_other_data(dataset: NaviGenDataset, dataset_hash: str, folder: str | Path) -> None:
    """Refuse data that are not what a run was trained on."""
    if dataset.content_hash != dataset_hash:
        raise InputError(f"the data in {folder} is not what the run was trained on; restore it or train again.")
