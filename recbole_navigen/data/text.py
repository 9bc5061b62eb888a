"""Item text, read from the item file itself: no quoting, no NA words, no splitting into tokens."""

from dataclasses import dataclass
from pathlib import Path

from recbole.config import Config
from recbole.data.dataset import Dataset

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.data.checks import check_columns, check_items_known, read_header
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


def read_item_text(config: Config, dataset: Dataset) -> ItemText:
    """Read the fields named by `item_text_fields` from the data set's item file.

    Args:
        config: gives `item_text_fields`, `data_path`, `field_separator` and `encoding`.
        dataset: knows the items and their ids.

    Raises:
        InputError: no fields declared, no item file, a field that is not in it, or an item without a row.

    RecBole's reader would treat a leading quotation mark as the start of a quoted cell and the title `None` as missing.
    """
    path = Path(config["data_path"]) / f"{dataset.dataset_name}.item"
    separator, encoding = config["field_separator"], config["encoding"]
    names = config["item_text_fields"]
    header = read_header(path, separator, encoding)
    if not names:
        raise InputError(
            f"item_text_fields is empty; name the text columns of {path} in "
            f"properties/dataset/{dataset.dataset_name}.yaml or on the command line, "
            f"e.g. --item_text_fields='[{next(reversed(header))}]'"
        )
    names = [names] if isinstance(names, str) else list(names)
    check_columns(path, header, [dataset.iid_field], "ITEM_ID_FIELD")
    check_columns(path, header, names, "item_text_fields")
    columns = list(header)
    item_column, text_columns = columns.index(dataset.iid_field), [columns.index(name) for name in names]

    rows: dict[str, list[str]] = {}
    with open(path, encoding=encoding or "utf-8", newline="") as file:
        # Only line feeds end a row: a title may hold other characters that Python's splitlines takes for line ends.
        for number, line in enumerate(file.read().split("\n")[1:], start=2):
            cells = line.removesuffix("\r").split(separator)
            if len(cells) > len(columns):
                raise InputError(
                    f"{path} line {number} has {len(cells)} columns and its header {len(columns)}; remove the extra "
                    f"separator {separator!r}"
                )
            if line:
                cells += [""] * (len(columns) - len(cells))
                # The first row of an item counts, as in RecBole.
                rows.setdefault(cells[item_column], [" ".join(cells[column].split()) for column in text_columns])

    tokens = [str(token) for token in dataset.field2id_token[dataset.iid_field][1:]]
    check_items_known(path, rows, tokens)
    by_item = [[""] * len(names), *(rows[token] for token in tokens)]
    return ItemText(
        fields={name: tuple(row[column] for row in by_item) for column, name in enumerate(names)},
        text=tuple(". ".join(filter(None, row)) for row in by_item),
        title=tuple(row[0] for row in by_item),
    )
