"""The dual identifiers of a run: codes of collaborative vectors, terms of item texts."""

import logging
from typing import Any

import numpy as np

from recbole_navigen.artefacts import content_hash
from recbole_navigen.config import Config
from recbole_navigen.data import NaviGenDataset
from recbole_navigen.encoders.sentences import SentenceSpace
from recbole_navigen.identifiers.codes import residual_kmeans
from recbole_navigen.identifiers.embeddings import nearest_items
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.identifiers.terms import extract_terms
from recbole_navigen.pipeline.check import code_count
from recbole_navigen.pipeline.supervision import terms_by_teacher
from recbole_navigen.runs.identity import encoder_weights
from recbole_navigen.sources import versions
from recbole_navigen.supervision.dataset_facts import facts_of
from recbole_navigen.supervision.roles import made_of
from recbole_navigen.supervision.settings import settings_of

NEIGHBOURS = 20  # collaborative neighbours from which an item without text may borrow terms

logger = logging.getLogger(__name__)


def table_inputs(config: Config, part: NaviGenDataset, vectors: np.ndarray, texts: tuple[str, ...]) -> dict[str, Any]:
    """Return the hashes and settings that decide what `build_table` returns."""
    supervision = settings_of(config)
    return {
        "embeddings": content_hash(vectors),
        "texts": content_hash(texts),
        "items": content_hash([str(token) for token in part.field2id_token[part.iid_field]]),
        "settings": {key: config[key] for key in ("levels", "codes", "seed", "balanced", "text_vectors")},
        "encoder": encoder_weights(config["text_vectors"]),
        "supervision": made_of(supervision) if supervision.tid_source == "teacher" else None,
        "roles": config["item_text_roles"] if supervision.tid_source == "teacher" else None,
        "versions": versions(),
    }


def build_table(
    config: Config, part: NaviGenDataset, vectors: np.ndarray, texts: tuple[str, ...]
) -> DualIdentifierTable:
    """Codes from collaborative vectors (N, D), terms from item texts (N strings), or of a teacher that reads them."""
    codes = code_count(config, len(vectors))
    quantized = residual_kmeans(vectors, config["levels"], codes, config["seed"], config["balanced"])
    terms = extract_terms(texts, nearest_items(vectors, NEIGHBOURS))
    items = tuple(str(token) for token in part.field2id_token[part.iid_field][1:])
    if (first := terms.report["first_without_terms"]) is not None:
        logger.warning(
            "the text of %d of %d items gives no term (the first is item %s, %r); they take those of their neighbours",
            terms.report["items_without_terms"],
            len(items),
            items[first],
            texts[first][:60],
        )
    if settings_of(config).tid_source == "teacher":
        terms = terms_by_teacher(config, texts, terms, facts_of(config, part, terms.terms))
    return DualIdentifierTable(
        item_tokens=items,
        codes=quantized.codes,
        codebook_size=codes,
        codebooks=np.stack(quantized.codebooks),
        terms=terms.terms,
        report={"codes": quantized.report, "terms": terms.report},
        residuals=quantized.residuals,
        sentences=sentence_vectors(config["text_vectors"], texts),
    )


def sentence_vectors(source: str, texts: tuple[str, ...]) -> np.ndarray | None:
    """Embeddings of N item texts under the setting `text_vectors`, (N, any) float32; None for terms alone."""
    if source in ("terms", "none"):
        return None
    return SentenceSpace(source)(texts)
