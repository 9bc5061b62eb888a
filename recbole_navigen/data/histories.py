"""What each user of a data set did, in raw ids."""

from recbole.data.dataset import Dataset

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)


def histories_of(dataset: Dataset) -> dict[str, list[str]]:
    """Everything that each user did, as raw item ids, oldest first; in the order of the data where it has no times.
    Users follow each other by their first interaction.

    Args:
        dataset: as `create_dataset` makes it, before or after it was split.
    """
    if dataset.timeline is not None:
        order = dataset.timeline.ranks.argsort()
        users, items = dataset.timeline.users[order], dataset.timeline.items[order]
    else:
        rows = dataset.rows_in_order()
        users, items = rows[dataset.uid_field], rows[dataset.iid_field]
    histories: dict[str, list[str]] = {}
    users, items = dataset.id2token(dataset.uid_field, users), dataset.id2token(dataset.iid_field, items)
    for user, item in zip(users, items, strict=True):
        histories.setdefault(str(user), []).append(str(item))
    return histories
