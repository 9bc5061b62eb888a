"""The members of an ensemble: finished runs of the same data, loaded as they were left."""

from pathlib import Path

from recbole.data.dataloader import AbstractDataLoader
from recbole.trainer import Trainer

from recbole_navigen.baselines.ensemble import Ensemble
from recbole_navigen.baselines.untrained import UntrainedTrainer
from recbole_navigen.config import Config
from recbole_navigen.data import NaviGenDataset
from recbole_navigen.errors import InputError
from recbole_navigen.runs.loaded import load_run
from recbole_navigen.runs.stages import Stages


def build_ensemble(
    config: Config, train_data: AbstractDataLoader, valid_data: AbstractDataLoader, stages: Stages
) -> tuple[Ensemble, Trainer]:
    """An ensemble with its trainer, as `config.models.Parts.build` says."""
    model = load_ensemble(config, train_data.dataset)
    return model, UntrainedTrainer(config, model)


def load_ensemble(config: Config, dataset: NaviGenDataset, run_dir: str | Path = "") -> Ensemble:
    """An ensemble, as `config.models.Parts.load` says; its own run holds nothing that its members' do not."""
    folders = config["members"] or ()
    if len(folders) < 2 or (config["fusion"] == "rerank" and len(folders) != 2):
        raise InputError(
            f"members={list(folders)} are {len(folders)} runs; fusion={config['fusion']} needs "
            f"{'two' if config['fusion'] == 'rerank' else 'at least two'}: --members='[saved/A,saved/B]'."
        )
    members = []
    for folder in folders:
        run = load_run(Path(folder).expanduser(), str(config["device"]))
        if run.dataset.content_hash != dataset.content_hash:
            raise InputError(
                f"{folder} is a run on other data than {config['dataset']} as it is read here; leave it out."
            )
        members.append(run.model)
    return Ensemble(config, dataset, members).to(config["device"])
