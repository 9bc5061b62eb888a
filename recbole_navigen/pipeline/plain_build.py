"""A NaviGen by RecBole's own constructor, `NaviGen(config, dataset)`: of settings and a training part alone."""

from recbole_navigen.config import Config
from recbole_navigen.data import NaviGenDataset, UserRowLoader
from recbole_navigen.errors import InputError
from recbole_navigen.model.navigen import NaviGen
from recbole_navigen.pipeline.train import build_net
from recbole_navigen.runs.folder import new_folder
from recbole_navigen.runs.stages import Stages


def build(config: Config, part: NaviGenDataset) -> NaviGen:
    """Make identifiers, tokenizer and network, and keep them in `config["run_dir"]`: a new folder if there is none yet.

    Args:
        config: settings of the model. part: the training part, `train_data.dataset`.
    """
    if not hasattr(part, "sequences"):
        raise InputError("NaviGen is built from the training part of its data: give train_data.dataset")
    if not config["run_dir"]:
        config["run_dir"] = str(new_folder(config["checkpoint_dir"], f"{config['model']}-{config['dataset']}"))
    return build_net(config, UserRowLoader(config, part), True, Stages())
