"""Data: exact order, RecBole's splits, one row a user, item text."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "create": "create_dataset data_preparation",
        "dataset": "NaviGenDataset",
        "item_text": "ItemText read_item_text",
        "loader": "UserRowLoader",
        "sequences": "UserSequences windows",
    },
)
