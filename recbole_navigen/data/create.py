"""A data set as the settings say, and the loaders of its three parts."""

from logging import getLogger
from pathlib import Path

import numpy as np
import recbole.data.dataset
import torch
from recbole.config import Config
from recbole.data import create_samplers
from recbole.data.dataloader import AbstractDataLoader, FullSortEvalDataLoader
from recbole.data.dataset import Dataset, KnowledgeBasedDataset
from recbole.data.utils import get_dataloader
from recbole.sampler import KGSampler
from recbole.utils import ModelType, set_color

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.config.intervals import check_filters
from recbole_navigen.config.reading import nearest
from recbole_navigen.config.settings import DataSettings
from recbole_navigen.data.checks import check_columns, check_history_lengths
from recbole_navigen.data.dataset import ExactSequence, NaviGenDataset, exact
from recbole_navigen.data.loader import HistoryMaskedLoader, UserRowLoader
from recbole_navigen.data.reader import read_header
from recbole_navigen.errors import InputError

# RecBole's classes by kind of model, for models that have no class of their own (`<Model>Dataset`).
_BY_TYPE = {
    ModelType.GENERAL: "Dataset",
    ModelType.SEQUENTIAL: "SequentialDataset",
    ModelType.CONTEXT: "Dataset",
    ModelType.KNOWLEDGE: "KnowledgeBasedDataset",
    ModelType.TRADITIONAL: "Dataset",
    ModelType.DECISIONTREE: "Dataset",
}
_SUFFIXES = ("inter", "user", "item", "kg", "link", "net")  # of atomic files
_PICKLES = ("save_dataset", "dataset_save_path", "save_dataloaders", "dataloaders_save_path")


def create_dataset(config: Config) -> Dataset:
    """Load and filter the data set that `config` names.

    Returns:
        A NaviGenDataset for models on user rows, else RecBole's own class for the model; both in exact order of time.

    Raises:
        InputError: whatever is wrong with the files, in one sentence.
    """
    if not isinstance(config, Config):
        raise InputError(f"config must be a Config, such as Config('NaviGen', 'ml-100k'), not {config!r}")
    for key in _PICKLES:
        if config[key]:
            raise InputError(
                f"{key} is not available: RecBole stores data as pickles, which are never read here; remove it"
            )
    check_filters(config.final_config_dict)
    settings = DataSettings.of(config)
    own = getattr(recbole.data.dataset, f"{settings.model}Dataset", None)
    recbole_class = own or getattr(recbole.data.dataset, _BY_TYPE[settings.MODEL_TYPE])
    _check_files(settings, issubclass(recbole_class, KnowledgeBasedDataset))
    dataset_class = NaviGenDataset if settings.user_rows else exact(recbole_class)
    try:
        dataset = dataset_class(config)
    except InputError:
        raise
    except (ValueError, NotImplementedError, UnicodeDecodeError) as error:
        # RecBole and pandas refuse bad files and settings with these; to the user they are bad input like any other.
        raise InputError(f"data set {settings.dataset} in {settings.data_path}: {error}") from error
    split = settings.eval_args["split"]
    if isinstance(split, dict) and "LS" in split and dataset.benchmark_filename_list is None:
        users = dataset.inter_feat[dataset.uid_field].to_numpy()
        check_history_lengths(users, dataset.field2id_token[dataset.uid_field], 3, f"LS: {split['LS']}")
    if dataset.tied_last_rows:
        tied, users = dataset.tied_last_rows
        decides = "the order of the file" if settings.shuffle_ties in (None, False) else "shuffle_ties"
        getLogger().info(f"The last two rows of {tied} of {users} users have equal times: {decides} says which is last")
    return dataset


def _check_files(settings: DataSettings, knowledge: bool) -> None:
    """Refuse atomic files without header or the columns that the model and the settings ask for, before they are read.

    Args:
        settings: name the files and their columns.
        knowledge: whether the model needs a knowledge graph, too.
    """
    folder, name, pre_split = Path(settings.data_path), settings.dataset, settings.benchmark_filename
    time_field = settings.TIME_FIELD
    needed = {"inter": [settings.USER_ID_FIELD, settings.ITEM_ID_FIELD]}
    if settings.eval_args["order"] == "TO" and not pre_split:
        needed["inter"].append(time_field)
    if knowledge:
        needed["kg"] = [settings.HEAD_ENTITY_ID_FIELD, settings.RELATION_ID_FIELD, settings.TAIL_ENTITY_ID_FIELD]
        needed["link"] = [settings.ITEM_ID_FIELD, settings.ENTITY_ID_FIELD]
    lists = {"load_col": settings.load_col or {}, "unload_col": settings.unload_col or {}}
    more = settings.additional_feat_suffix or []
    known = (*_SUFFIXES, *([more] if isinstance(more, str) else more))
    for key, files in lists.items():
        if unknown := [suffix for suffix in files if suffix not in known]:
            raise InputError(
                f"{key} names {unknown[0]}, and there is no such atomic file; the nearest is "
                f"{nearest(str(unknown[0]), known)}, others are named by additional_feat_suffix"
            )
    for suffix, columns in needed.items():
        loaded = lists["load_col"].get(suffix, [] if lists["load_col"] else "*")
        for column in columns:
            if loaded != "*" and column not in loaded:
                raise InputError(f"load_col must list {column} for {suffix}, and has {loaded}; add it")
            if column in lists["unload_col"].get(suffix, ()):
                raise InputError(f"unload_col must not list {column} for {suffix}, which {settings.model} needs")
    stems = [f"{name}.{part}" for part in pre_split] if pre_split else [name]
    for suffix in dict.fromkeys((*needed, *lists["load_col"], *lists["unload_col"])):
        for path in [folder / f"{stem}.{suffix}" for stem in (stems if suffix == "inter" else [name])]:
            if suffix not in needed and not path.exists():
                raise InputError(
                    f"load_col or unload_col names {suffix}, and there is no file {path}; add it, or leave {suffix} out"
                )
            header = read_header(path, settings.field_separator, settings.encoding)
            check_columns(path, header, needed.get(suffix, ()), "the model")
            for key, columns in lists.items():
                check_columns(path, header, columns.get(suffix, ()) if columns.get(suffix) != "*" else (), key)
            for column in needed.get(suffix, ()):
                if header[column] != "token" and (column != time_field or header[column] != "float"):
                    kinds = "float or token" if column == time_field else "token"
                    raise InputError(f"{path} has {column} as {header[column]}; its type in the header must be {kinds}")


def _sample_rows(part: Dataset, limit: int | None, seed: int) -> Dataset:
    """At most `limit` rows of a split, drawn once and kept in order; with leave-one-out a row is a user."""
    rows = 0 if part is None else len(part.inter_feat)
    if not limit or rows <= limit:
        return part
    chosen = np.sort(np.random.default_rng(seed).choice(rows, size=limit, replace=False))
    return part.copy(part.inter_feat[torch.from_numpy(chosen)])


def data_preparation(
    config: Config, dataset: Dataset
) -> tuple[AbstractDataLoader, AbstractDataLoader, AbstractDataLoader]:
    """Split the data set and make the loaders for training, validation and test.

    `exclude_history: true` hides from every model's ranking what the user consumed before the target. The default is
    RecBole's rule: general models do not see it again (unless `repeatable: true`), sequential models do. `select_on`
    decides it for validation alone.
    """
    settings = DataSettings.of(config)
    exclude, sequential = bool(settings.exclude_history), settings.MODEL_TYPE == ModelType.SEQUENTIAL
    for key, value, without in (("exclude_history", exclude, "false"), ("select_on", settings.select_on, "None")):
        if value and set(settings.eval_args["mode"].values()) != {"full"}:
            raise InputError(f"{key} works with full ranking only; set eval_args mode: full or {key}: {without}")
        if value and sequential and not isinstance(dataset, ExactSequence):
            raise InputError(f"{key} is not available for {settings.model}; set it to {without}")
    if exclude and not sequential:
        config["repeatable"] = False
    hidden = {"test": exclude or not (sequential or settings.repeatable)}
    hidden["valid"] = settings.select_on == "unseen" if settings.select_on else hidden["test"]
    try:
        parts = list(dataset.build())
        parts[1] = _sample_rows(parts[1], settings.validation_users, settings.seed)
        samplers = list(create_samplers(config, dataset, parts))
        if not sequential and hidden["valid"] != hidden["test"]:  # a sampler knows what is hidden from a general model
            config["repeatable"] = not hidden["valid"]
            samplers[1] = create_samplers(config, dataset, parts)[1]
            config["repeatable"] = not hidden["test"]
    except InputError:
        raise
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"data set {settings.dataset} cannot be split as eval_args says: {error}") from error
    for part, what in ((parts[0], "train on"), (parts[2], "test")):
        if not len(part.inter_feat):
            split = settings.benchmark_filename or settings.eval_args["split"]
            raise InputError(f"the split {split} of {settings.dataset} leaves nothing to {what}; choose other shares")

    if isinstance(dataset, NaviGenDataset):
        train_data = UserRowLoader(config, parts[0], samplers[0], shuffle=settings.shuffle)
    elif settings.MODEL_TYPE == ModelType.KNOWLEDGE:
        negative = settings.train_neg_sample_args
        kg_sampler = KGSampler(dataset, negative["distribution"], negative["alpha"])
        train_data = get_dataloader(config, "train")(config, parts[0], samplers[0], kg_sampler, shuffle=True)
    else:
        train_data = get_dataloader(config, "train")(config, parts[0], samplers[0], shuffle=settings.shuffle)
    loaders = []
    for phase, part, sampler in zip(("valid", "test"), parts[1:], samplers[1:], strict=True):
        loader = get_dataloader(config, phase)
        if hidden[phase] and sequential and loader is FullSortEvalDataLoader:
            loader = HistoryMaskedLoader
        loaders.append(loader(config, part, sampler, shuffle=False))
    for line, keys in (
        ("Training", ("train_batch_size", "train_neg_sample_args")),
        ("Evaluation", ("eval_batch_size", "eval_args")),
    ):
        shown = " ".join(f"{set_color(key, 'cyan')} = {set_color(f'[{config[key]}]', 'yellow')}" for key in keys)
        getLogger().info(set_color(f"[{line}]: ", "pink") + shown)
    return train_data, *loaders
