"""What makes two runs the same run: model, settings, data, seed, versions and the weights of others."""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recbole_navigen.artefacts import MANIFEST, content_hash, file_hash, plain
from recbole_navigen.config import Config
from recbole_navigen.config.models import parts_of
from recbole_navigen.config.own_metrics import metric_classes
from recbole_navigen.config.reading import added_settings
from recbole_navigen.config.reinforcement import reinforce_settings
from recbole_navigen.config.settings import NaviGenSettings, RunSettings, TrainingSettings
from recbole_navigen.encoders.sentences import encoder_folder
from recbole_navigen.errors import InputError
from recbole_navigen.language.adapters import LORA_KEYS
from recbole_navigen.reinforcement.rewards import CODE_REWARDS
from recbole_navigen.runs.layout import CHECKPOINT
from recbole_navigen.runs.result import read_result
from recbole_navigen.runs.user_code import code_hash
from recbole_navigen.sources import folder_hash, versions
from recbole_navigen.training.precision import use_bf16


def identity(config: Config) -> dict[str, Any]:
    """Name a run by what decides its result: model, settings, the bytes of its data files, seed, versions, and the
    content of what is not of this package: model classes and scorers of one's own, weights that are loaded.

    Args:
        config: settings as they are before the run.
    """
    run = RunSettings.of(config)
    hashes, leave_out = {}, ("item_text_roles",)  # only instructions know of them
    if (of_model := parts_of(run.model).identity) is not None:
        hashes, leave_out = of_model(config)
    if run.metrics_file is not None:
        hashes["metrics_hash"] = code_hash(*metric_classes(run.metrics_file).values())
    files = sorted(Path(run.data_path).glob(f"{glob.escape(run.dataset)}.*"))
    return plain(
        {
            **trained_by(config, leave_out),
            "files_hash": content_hash({file.name: file_hash(file) for file in files}),
            "seed": run.seed,
            **hashes,
        }
    )


def trained_by(config: Config, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """What decides the training of a model beside its data and seed.

    Args:
        config: settings as they are before the run. leave_out: settings that do not matter to it.
    """
    run = TrainingSettings.of(config)
    known = {"model": run.model, "versions": versions()}
    # `auto` is another precision on another machine; and models on RecBole's own rows do not know the setting at all.
    if run.user_rows:
        known["autocast"] = use_bf16(run.autocast, run.device)
    known["settings_hash"] = config.settings_hash((*leave_out, "autocast"))
    if (code := code_hash(config.model_class)) is not None:
        known["code_hash"] = code
    return known


def navigen_identity(config: Config) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What decides the result of a NaviGen beside what decides that of any model; and the settings that do not, or that
    are named here in another way.
    """
    from recbole_navigen.reinforcement.scorers import SCORERS
    from recbole_navigen.supervision.roles import made_of
    from recbole_navigen.supervision.settings import WRITING_KEYS, learns_instructions, settings_of

    run, supervision = NaviGenSettings.of(config), settings_of(config)
    hashes, leave_out = {}, ("reinforce", "collaborative_config")
    # A model that learns to rank alone is the same whatever a writer beside it may learn.
    if learns_instructions(config) or "write" in run.training_stages or supervision.tid_source == "teacher":
        hashes["supervision_hash"] = content_hash(made_of(supervision))
    else:
        leave_out += WRITING_KEYS
    if "reinforce" in run.training_stages:
        reinforced = reinforce_settings(config["reinforce"])
        rewards = filter(None, (SCORERS.get(reinforced["scorer"]), CODE_REWARDS.get(reinforced["reward"])))
        if (file := reinforced["feedback"]) is None:
            reinforced = {key: value for key, value in reinforced.items() if not key.startswith("feedback")}
        said = [] if file is None else [file_hash(file)]
        hashes["reinforce_hash"] = content_hash(reinforced, code_hash(*rewards), *said)
    # Of the settings of collaborative models, those of the one that is used.
    used = (run.collaborative_config or {}).get(run.collaborative_model, {})
    hashes["collaborative_hash"] = content_hash({**added_settings(f"model/{run.collaborative_model}"), **used})
    if (encoder := encoder_weights(run.text_vectors)) is not None:
        hashes["encoder_hash"] = encoder
    if run.backbone != "scratch":
        from recbole_navigen.language.backbone import weights_of

        hashes["backbone_hash"] = weights_of(run.backbone, run.backbone_revision)
    if not run.lora:
        leave_out += LORA_KEYS
    return hashes, leave_out


def text_identity(config: Config) -> tuple[dict[str, Any], tuple[str, ...]]:
    """As `navigen_identity`, of a model that reads texts through the encoder of `text_vectors`."""
    encoder = encoder_weights(config["text_vectors"])
    return {} if encoder is None else {"encoder_hash": encoder}, ("item_text_roles",)


def released_identity(config: Config) -> tuple[dict[str, Any], tuple[str, ...]]:
    """As `navigen_identity`, of a released checkpoint: its weights and its codes, wherever they lie."""
    from recbole_navigen.language.backbone import weights_of

    hashes, source, codes = {}, config["backbone"], config["codes_from"]
    if source is not None:
        hashes["backbone_hash"] = weights_of(source, config["backbone_revision"])
    if codes is not None and Path(codes).is_file():
        hashes["codes_hash"] = file_hash(Path(codes))
    return hashes, ("item_text_roles", "codes_from")


def ensemble_identity(config: Config) -> tuple[dict[str, Any], tuple[str, ...]]:
    """As `navigen_identity`, of an ensemble: what its members are, wherever they lie."""
    members = [Path(folder).expanduser() for folder in config["members"] or ()]
    hashes = [[read_result(folder)["identity"], file_hash(folder / CHECKPOINT / MANIFEST)] for folder in members]
    return {"members_hash": content_hash(plain(hashes))}, ("item_text_roles", "members")


def encoder_weights(text_vectors: str) -> str | None:
    """What names the weights of the sentence encoder of the setting `text_vectors`; None if it wants none."""
    return None if text_vectors in ("terms", "none") else folder_hash(encoder_folder(text_vectors))


def refuse_other_backbone(wanted: dict[str, Any], backbone: str, run_dir: Path, revision: str | None = None) -> None:
    """Refuse a pretrained backbone that is no longer what a run was trained on, since a checkpoint may leave the frozen
    weights to it.

    Args:
        wanted: the run's identity; one that says nothing of a backbone's weights is taken as it is.
        backbone: folder or hub id. run_dir: `saved/RUN`. revision: the run's `backbone_revision`.
    """
    from recbole_navigen.language.backbone import weights_of

    then = wanted.get("backbone_hash")
    if then is not None and then != weights_of(backbone, revision):
        raise InputError(
            f"backbone={backbone} has other files now than when {run_dir} was trained on it; bring those back or train "
            "again"
        )


def evaluation_protocol(config: Config) -> dict[str, Any]:
    """What decides how a run is validated and tested."""
    public = config.public()
    return {key: public[key] for key in ("eval_args", "select_on", "exclude_history", "repeatable")}
