"""Item text, read from the item file itself: whole cells, not split into tokens."""

from dataclasses import dataclass
from pathlib import Path

from recbole.config import Config
from recbole.data.dataset import Dataset

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.config.settings import DataSettings
from recbole_navigen.data.checks import check_columns, check_known
from recbole_navigen.data.reader import AtomicFile
from recbole_navigen.errors import InputError


@dataclass(frozen=True, slots=True)
class ItemText:
    """The text of every item, by internal item id; entry 0, the padding, and items without text are "".

    Attributes:
        fields: field -> its text. Each of length N + 1.
        text: the fields that have text, joined by ". ". Length N + 1.
        title: the first field. Length N + 1.
    """

    fields: dict[str, tuple[str, ...]]
    text: tuple[str, ...]
    title: tuple[str, ...]


def item_file(config: Config, dataset: Dataset) -> AtomicFile:
    """The item file of a data set."""
    settings = DataSettings.of(config)
    return AtomicFile(_path(settings, dataset), settings.field_separator, settings.encoding)


def _path(settings: DataSettings, dataset: Dataset) -> Path:
    return Path(settings.data_path) / f"{dataset.dataset_name}.item"


def read_item_text(config: Config, dataset: Dataset) -> ItemText:
    """Read the fields named by `item_text_fields` from the data set's item file.

    Args:
        config: gives `item_text_fields`, `data_path`, `field_separator` and `encoding`.
        dataset: knows the items and their ids.

    Returns:
        Their text; "" of every item where no fields are named and `text_vectors: none` says that the model reads none.

    Raises:
        InputError: no fields declared, no item file, a field that is not in it, or an item without a row.
    """
    settings = DataSettings.of(config)
    names, path = settings.item_text_fields, _path(settings, dataset)
    if not names:
        if config["text_vectors"] == "none":
            nothing = ("",) * dataset.item_num
            return ItemText({}, nothing, nothing)
        do = f"add {path} and name its text columns"
        if path.is_file():
            some = next(reversed(item_file(config, dataset).header))
            do = (
                f"name the text columns of {path} in properties/dataset/{dataset.dataset_name}.yaml or on the command "
                f"line, e.g. --item_text_fields='[{some}]'"
            )
        raise InputError(f"item_text_fields is empty; {do}, or do without text: --text_vectors=none")
    file = item_file(config, dataset)
    header = file.header
    names = [names] if isinstance(names, str) else list(names)
    check_columns(path, header, [dataset.iid_field], "ITEM_ID_FIELD")
    check_columns(path, header, names, "item_text_fields")
    rows: dict[str, list[str]] = {}
    columns = [dataset.iid_field, *names]
    for item, *texts in file.texts(columns)[columns].itertuples(index=False, name=None):
        # The first row of an item counts, as in RecBole.
        rows.setdefault(item, [" ".join(text.split()) for text in texts])
    tokens = [str(token) for token in dataset.field2id_token[dataset.iid_field][1:]]
    check_known(path, rows, tokens)
    by_item = [[""] * len(names), *(rows[token] for token in tokens)]
    return ItemText(
        fields={name: tuple(row[column] for row in by_item) for column, name in enumerate(names)},
        text=tuple(". ".join(filter(None, row)) for row in by_item),
        title=tuple(row[0] for row in by_item),
    )
