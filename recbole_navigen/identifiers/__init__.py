"""Dual identifiers: collaborative codes, textual terms, the table that holds both and the trie over the codes."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "table": "DualIdentifierTable",
        "trie": "CatalogueTrie",
        "codes": "residual_kmeans",
        "terms": "extract_terms TermResult",
        "embeddings": "item_embeddings nearest_items",
    },
)
