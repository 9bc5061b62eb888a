"""The facts of a data set's items, by its settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from recbole_navigen.data import read_item_text
from recbole_navigen.identifiers.terms import extract_terms
from recbole_navigen.supervision.facts import ItemFacts, catalogue_facts
from recbole_navigen.supervision.settings import settings_of


def facts_of(
    config: Mapping[str, Any], dataset: Any, terms: Sequence[Sequence[str]] | None = None
) -> tuple[ItemFacts, ...]:
    """Facts of a data set's items.

    Args:
        config: gives `item_text_fields`, `item_text_roles` and the domain. dataset: knows the items.
        terms: TIDs by item index, N lists; None: those of the items' texts.
    """
    text = read_item_text(config, dataset)
    fields = {field: texts[1:] for field, texts in text.fields.items()}
    terms = extract_terms(text.text[1:]).terms if terms is None else terms
    return catalogue_facts(fields, config["item_text_roles"], settings_of(config).domain, terms)
