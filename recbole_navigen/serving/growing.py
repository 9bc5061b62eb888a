"""A catalogue that items come to and go from while the model is in use."""

from collections import ChainMap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from recbole_navigen.config.calls import checks
from recbole_navigen.config.raw_ids import Id
from recbole_navigen.network.item_model import DualIdentifierLM
from recbole_navigen.runs.trained import TrainedModel
from recbole_navigen.serving.catalogue import CatalogueRecommender
from recbole_navigen.serving.new_items import NEW, AddedItems, rows_of, with_items, without_items

if TYPE_CHECKING:
    import pandas as pd

EXPOSURE = 0.1  # a tenth of new items costs the others a hundredth


class GrowingCatalogue(CatalogueRecommender):
    """Base of `Recommender`.

    Attributes:
        trained: the model as it is now. lm: its network.
    """

    trained: TrainedModel
    lm: DualIdentifierLM

    def _take(self, trained: TrainedModel) -> None:
        """Use a model, whose catalogue may be another one than before."""
        raise NotImplementedError

    @checks(exposure="float from 0")
    def add_items(self, items: "pd.DataFrame | Iterable[Mapping[str, Any]]", exposure: float = EXPOSURE) -> AddedItems:
        """Add items that no training saw, by their text; they are recommended, read and written for at once.

        Nothing is trained, and the vectors of all other items stay as they are. `save` keeps the new catalogue.

        Args:
            items: a table or a list of dictionaries, one an item: `item`, its raw id; the text columns of the data set
                or `text`; `terms` (at most 10) and `vector` (D numbers) to stand in place of what the text gives.
            exposure: what they may cost the other items in the NDCG@10 that the model expects, as a multiple of their
                share of the catalogue; their scores are raised, or lowered, to what that allows. 0 leaves them as
                they are predicted.

        Raises:
            InputError: an id that is taken, an item without text; nothing is added then.
        """
        trained, added = with_items(
            self.trained, rows_of(items, self.trained.settings, self.trained.table.item_tokens), exposure
        )
        self._take(trained)
        return added

    def remove_items(self, items: Iterable[Id]) -> None:
        """Remove items, new or not, by raw id; they leave histories too. To hide some from one user, see `exclude`."""
        self._take(without_items(self.trained, self._indices(items, "items")))

    @property
    def new_items(self) -> list[str]:
        """Raw ids of the items that no training saw."""
        return list(self._new)

    @property
    def _new(self) -> dict[str, dict[str, str]]:
        return self.trained.table.report.get(NEW, {})

    def item_vector(self, item: Id) -> list[float]:
        """The vector that scores and histories read of an item, D numbers, as `add_items` takes it."""
        return self.lm.catalogue_vectors()[self._indices([item], "item_vector")[0]].tolist()

    @property
    def titles(self) -> Mapping[str, str]:
        """A name for each raw item id: its title, or `item ID` without one."""
        named = {item: next(filter(None, texts.values()), f"item {item}") for item, texts in self._new.items()}
        return ChainMap(named, super().titles) if named else super().titles

    def _dated_titles(self) -> list[str]:
        """Title of each item, with what its own text or the item file says of its year behind it. Length N."""
        titles, dates = self.titles, self.dates()
        dates |= {item: " ".join(texts.values()) for item, texts in self._new.items()}
        return [f"{titles[item]} {dates.get(item, '')}" for item in self.item_tokens]
