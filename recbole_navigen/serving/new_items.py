"""Items that no training saw, and items that go: another catalogue for a trained model, without training.

A new item has text. Its terms are found by those of the catalogue (`terms_of_new`), its vector by a regression from
text (`TextRegression`), its codes are the free ones whose rows come nearest to that vector, and what they leave of it
is its own row. So it stands in the tree, in the histories that are read, and in every ranking, and the vectors of all
other items stay as they are, bit for bit.

Symbols: N items, M new items, D width, L levels, K codes.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from recbole_navigen.config.calls import checked
from recbole_navigen.config.raw_ids import raw_id
from recbole_navigen.encoders.sentences import SentenceSpace
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.free_codes import free_codes
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.identifiers.terms import terms_of_new
from recbole_navigen.language.rendering import Renderer
from recbole_navigen.model.author import Author
from recbole_navigen.network.build import codes_by_id, new_decoder
from recbole_navigen.network.writer import shown_items
from recbole_navigen.runs.trained import TrainedModel
from recbole_navigen.serving.exposure import boost_of
from recbole_navigen.serving.text_regression import TextRegression
from recbole_navigen.supervision.facts import catalogue_facts

NEW = "new_items"  # in the report of a table: raw id -> its text by field, of items that no training saw
LISTS = {"terms": "list of str", "vector": "list of float"}


@dataclass(frozen=True, slots=True)
class AddedItems:
    """What `Recommender.add_items` made.

    Attributes:
        items: raw ids, M. terms: theirs, M lists. codes: theirs, M tuples of L codes.
        explained: share of the variance of held-out training items' vectors that their text explains; None where every
            new item came with a vector.
        strength: of the ridge, by N, as held-out training items chose it; None as above.
        boost: of the new items' scores, in nats, see `exposure`; None as above.
    """

    items: tuple[str, ...]
    terms: tuple[tuple[str, ...], ...]
    codes: tuple[tuple[int, ...], ...]
    explained: float | None
    strength: float | None
    boost: float | None


@dataclass(frozen=True, slots=True)
class _Row:
    """One new item as it was given; terms and vector may be left out."""

    item: str
    fields: dict[str, str]
    terms: tuple[str, ...]
    vector: list[float] | None

    @property
    def text(self) -> str:
        return ". ".join(filter(None, self.fields.values()))


def rows_of(
    items: pd.DataFrame | Iterable[Mapping[str, object]], settings: Mapping[str, Any], known: Iterable[str]
) -> list[_Row]:
    """Read new items.

    Args:
        items: a table (pandas) or a list of dictionaries, one an item: `item` (or the item column of the data set) is
            its raw id; the text columns of the data set, or `text`, say what it is; `terms` and `vector`, D numbers,
            stand in place of what text would give. Other columns are passed over.
        settings: of the run. known: raw ids that are taken.
    """
    if isinstance(items, pd.DataFrame):
        items = items.to_dict("records")
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise InputError(f"items must be a table or a list of dictionaries, one an item, not {type(items).__name__}.")
    names = settings.get("item_text_fields") or []
    names = [names] if isinstance(names, str) else list(names)
    column, taken, rows = settings.get("ITEM_ID_FIELD", "item_id"), set(known), []
    for place, entry in enumerate(items):
        if not isinstance(entry, Mapping):
            raise InputError(f"item {place} must be a dictionary of columns, not {entry!r}.")
        entry = {key: value for key, value in entry.items() if not _missing(value)}
        item = raw_id(entry.get("item", entry.get(column)))
        if not isinstance(item, str) or not item.strip():
            raise InputError(f"item {place} has no raw id; give it as `item` or `{column}`.")
        if item in taken:
            raise InputError(f"item {item!r} is in the catalogue already; remove it first, or give a new id.")
        taken.add(item)
        texts = {name: " ".join(str(entry[name]).split()) for name in (*names, "text") if name in entry}
        lists = {
            name: checked(f"{name} of item {item!r}", kind, entry[name])
            for name, kind in LISTS.items()
            if name in entry
        }
        if not any(texts.values()) and "terms" not in lists:
            columns = ", ".join(f"`{name}`" for name in (*names, "text"))
            raise InputError(f"item {item!r} has no text; fill one of the columns {columns}, or give `terms`.")
        rows.append(_Row(item, texts, tuple(lists.get("terms", ())), lists.get("vector")))
    if not rows:
        raise InputError("items is empty; give at least one item.")
    return rows


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value)


@torch.no_grad()
def with_items(trained: TrainedModel, rows: Sequence[_Row], exposure: float) -> tuple[TrainedModel, AddedItems]:
    """A model whose catalogue has new items behind its own. The network is changed in place.

    Args:
        trained: the model. rows: from `rows_of`, M.
    """
    table, lm, settings = trained.table, trained.lm, trained.settings
    # 1. Terms.
    of_texts = terms_of_new([row.text for row in rows], table.terms)
    terms = [row.terms or of_text for row, of_text in zip(rows, of_texts, strict=True)]
    if wordless := [row.item for row, item_terms in zip(rows, terms, strict=True) if not item_terms]:
        raise InputError(f"the text of item {wordless[0]!r} has no word that could be a term; give `terms`.")
    tokens = list(map(trained.renderer.vocabulary.encode_terms, terms))

    # 2. Vectors: given ones, and those of the regression that the training items fit.
    text, sentences, components = _dense_text(trained, rows, terms, tokens)
    model, boost, width = None, 0.0, lm.code_rows.shape[1]
    vectors = np.zeros((len(rows), width), np.float32)
    if places := [place for place, row in enumerate(rows) if row.vector is None]:
        old = [place for place, item in enumerate(table.item_tokens) if item not in table.report.get(NEW, {})]
        known = lm.catalogue_vectors().float()
        of_old = None if components is None else lm.sentences[1:].float().cpu().numpy()[old]
        of_new = None if components is None else components.float().cpu().numpy()[places]
        old_terms, new_terms = [table.terms[place] for place in old], [terms[place] for place in places]
        model = TextRegression(old_terms, known[old].cpu().numpy(), of_old, settings["seed"])
        predicted = torch.from_numpy(model(new_terms, of_new)).to(known.device)
        boost, shift = boost_of(lm, trained.renderer, known, predicted, exposure)
        vectors[places] = (predicted + shift).cpu().numpy()
    for place, row in enumerate(rows):
        if row.vector is not None:
            if len(row.vector) != width or not np.isfinite(row.vector).all():
                raise InputError(
                    f"the vector of item {row.item!r} must be {width} finite numbers, as `item_vector` gives."
                )
            vectors[place] = row.vector

    # 3. Codes, and what they leave to the item's own row.
    left = torch.from_numpy(vectors).to(text.device) - text
    if components is not None:
        left = left - lm.sentence_map(components)
    code_rows = lm.code_rows.view(lm.levels, lm.codebook_size, -1)
    codes = free_codes(left.cpu().numpy(), code_rows.float().cpu().numpy(), table.codes)
    chosen = torch.from_numpy(codes).to(code_rows.device)
    left = left - sum(code_rows[level, chosen[:, level]] for level in range(lm.levels))

    # 4. The catalogue with them.
    new = {row.item: row.fields for row in rows}
    wider = dataclasses.replace(
        table,
        item_tokens=(*table.item_tokens, *new),
        codes=np.concatenate([table.codes, codes]),
        terms=(*table.terms, *terms),
        report={**table.report, NEW: {**table.report.get(NEW, {}), **new}},
        residuals=np.pad(table.residuals, ((0, len(rows)), (0, 0))),
        sentences=None if table.sentences is None else np.concatenate([table.sentences, sentences]),
    )
    result = _replaced(
        trained,
        wider,
        None if lm.item_rows is None else torch.cat([lm.item_rows, left]),
        None if components is None else torch.cat([lm.sentences, components]),
        lm.memory.with_items(table.terms, terms),
        lambda facts: [*facts, *_facts(rows, terms, settings, trained.writer)],
    )
    about = (None, None, None) if model is None else (model.explained, model.strength, boost)
    return result, AddedItems(tuple(new), tuple(terms), tuple(map(tuple, codes.tolist())), *about)


@torch.no_grad()
def without_items(trained: TrainedModel, indices: Iterable[int]) -> TrainedModel:
    """A model whose catalogue lacks some items, by item index. The network is changed in place."""
    table, lm = trained.table, trained.lm
    gone = set(indices)
    remaining = [index for index in range(table.n_items) if index not in gone]
    if not remaining:
        raise InputError("no item would be left in the catalogue; keep at least one.")
    left = {table.item_tokens[index] for index in remaining}
    new = {item: fields for item, fields in table.report.get(NEW, {}).items() if item in left}
    report = {key: value for key, value in table.report.items() if key != NEW} | ({NEW: new} if new else {})
    narrower = dataclasses.replace(
        table,
        item_tokens=tuple(table.item_tokens[index] for index in remaining),
        codes=table.codes[remaining],
        terms=tuple(table.terms[index] for index in remaining),
        report=report,
        residuals=table.residuals[remaining],
        sentences=None if table.sentences is None else table.sentences[remaining],
    )
    rows = torch.tensor([0, *(index + 1 for index in remaining)], device=lm.code_rows.device)
    return _replaced(
        trained,
        narrower,
        None if lm.item_rows is None else lm.item_rows[rows],
        None if lm.sentence_map is None else lm.sentences[rows],
        lm.memory.table[rows.tolist()][:, rows.tolist()],
        lambda facts: [facts[index] for index in remaining],
    )


def _dense_text(
    trained: TrainedModel, rows: Sequence[_Row], terms: Sequence[Sequence[str]], tokens: Sequence[list[int]]
) -> tuple[Tensor, np.ndarray | None, Tensor | None]:
    """TID vectors of new items, (M, D); their text embeddings and the components of these, (M, any), or None."""
    table, lm = trained.table, trained.lm
    embedded = [lm.backbone.text_rows[each].float() for each in tokens]
    sums = [each.sum(dim=0) / max(len(each), 1) ** 0.5 for each in embedded]
    if table.sentences is None:
        return torch.stack(sums), None, None
    said = [row.text or ", ".join(each) for row, each in zip(rows, terms, strict=True)]
    sentences = SentenceSpace(trained.settings["text_vectors"])(said)
    # The components are an affine map of the embeddings; the catalogue's pairs of both tell which.
    padded = np.pad(table.sentences.astype(np.float64), ((0, 0), (0, 1)), constant_values=1)
    affine = np.linalg.lstsq(padded, lm.sentences[1:].double().cpu().numpy(), rcond=None)[0]
    components = np.pad(sentences.astype(np.float64), ((0, 0), (0, 1)), constant_values=1) @ affine
    return torch.stack(sums), sentences, torch.from_numpy(components).to(lm.sentences)


def _facts(
    rows: Sequence[_Row], terms: Sequence[Sequence[str]], settings: Mapping[str, Any], writer: Author
) -> list[list[Any]]:
    """What can be seen of new items, as a writer's settings hold it."""
    names = dict.fromkeys(name for row in rows for name in row.fields)
    fields = {name: [row.fields.get(name, "") for row in rows] for name in names}
    roles = {"text": "story"} | {name: role for name, role in (settings.get("item_text_roles") or {}).items() if role}
    found = catalogue_facts(fields, roles, writer.settings["domain"], terms)
    return [own.row() for own in found]


def _replaced(
    trained: TrainedModel,
    table: DualIdentifierTable,
    item_rows: Tensor | None,
    sentences: Tensor | None,
    neighbours: csr_matrix,
    changed_facts: Callable[[list], list],
) -> TrainedModel:
    """A model with another table. item_rows (N + 1, D) and sentences (N + 1, any) by internal id, or None; neighbours:
    the table of the memory, (N + 1, N + 1).
    """
    lm, settings = trained.lm, trained.settings
    renderer = _renderer(trained.renderer, table)
    decoder = new_decoder(settings, table.trie, lm.code_rows.shape[1])
    lm.set_items(codes_by_id(table), renderer.term_tokens, decoder, item_rows, sentences, neighbours)
    writer = trained.writer
    if writer is not None:
        writer_settings = dict(writer.settings)
        if writer_settings.get("facts") is not None:
            writer_settings["facts"] = changed_facts(writer_settings["facts"])
        writer.model.items = shown_items(writer_settings, lm)
        writer = Author(writer.model, _renderer(writer.renderer, table), writer_settings)
    return dataclasses.replace(trained, table=table, renderer=renderer, writer=writer)


def _renderer(renderer: Renderer, table: DualIdentifierTable) -> Renderer:
    return Renderer(
        renderer.vocabulary, codes_by_id(table), table.terms, renderer.history, renderer.grammar, renderer.name_item
    )
