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
    path = Path(settings.data_path) / f"{dataset.dataset_name}.item"
    return AtomicFile(path, settings.field_separator, settings.encoding)


def read_item_text(config: Config, dataset: Dataset) -> ItemText:
    """Read the fields named by `item_text_fields` from the data set's item file.

    Args:
        config: gives `item_text_fields`, `data_path`, `field_separator` and `encoding`.
        dataset: knows the items and their ids.

    Raises:
        InputError: no fields declared, no item file, a field that is not in it, or an item without a row.
    """
    file = item_file(config, dataset)
    path, header, names = file.path, file.header, DataSettings.of(config).item_text_fields
    if not names:
        raise InputError(
            f"item_text_fields is empty; name the text columns of {path} in "
            f"properties/dataset/{dataset.dataset_name}.yaml or on the command line, "
            f"e.g. --item_text_fields='[{next(reversed(header))}]'"
        )
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
