"""The dual-identifier table: each item's collaborative code (CID) and textual terms (TID), checked once, then trusted.

Symbols: N items, L levels, K codes per level, D width of the codebooks. Item index i = RecBole's internal id - 1.
"""

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

from recbole_navigen.artefacts import atomic_directory, read_json, verify_manifest, write_json
from recbole_navigen.config.calls import checked
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.trie import CatalogueTrie, lexicographic_order

MAX_TERMS = 10
CID_BEGIN, CID_END = "<|cid_begin|>", "<|cid_end|>"
LEVEL_LETTERS = string.ascii_lowercase

ITEMS_FILE, VECTORS_FILE, HEADER_FILE = ("items.parquet", "vectors.safetensors", "table.json")


def code_token(level: int, code: int) -> str:
    """Surface form of one code, for example ``<s_b_17>`` for code 17 of level 1."""
    return f"<s_{LEVEL_LETTERS[level]}_{code}>"


@dataclass(frozen=True, eq=False)
class DualIdentifierTable:
    """Both identifiers of every item. The constructor refuses a table that anyone downstream would have to doubt.

    Attributes:
        item_tokens: raw item ids by item index, all different. N strings.
        codes: the CIDs, no two alike. Shape (N, L), int64, read-only.
        codebook_size: K.
        codebooks: centroid of each code in the quantizer's standardised space. Shape (L, K, D), float32, read-only.
        terms: the TIDs, 1 to 10 terms an item, most important first. N tuples of strings.
        report: how the identifiers came about, as JSON values: "codes" from the quantizer, "terms" from the text.
        residuals: what the centroids leave of each item's standardised vector; zeros if left out. Shape (N, D),
            float32, read-only.
        sentences: an embedding of each item's whole text, or None. Shape (N, any), float32, read-only.
    """

    item_tokens: tuple[str, ...]
    codes: np.ndarray
    codebook_size: int
    codebooks: np.ndarray
    terms: tuple[tuple[str, ...], ...]
    report: dict = field(default_factory=dict)
    residuals: np.ndarray | None = None
    sentences: np.ndarray | None = None

    @property
    def known_terms(self) -> list[str]:
        """The different terms of all items, sorted."""
        return sorted({term for own in self.terms for term in own})

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the only moment at which a frozen table may still change
        set_field(self, "item_tokens", _sequence("item_tokens", self.item_tokens))
        terms = (_sequence(f"the terms of item index {i}", one) for i, one in enumerate(_sequence("terms", self.terms)))
        set_field(self, "terms", tuple(terms))
        set_field(self, "codebook_size", checked("codebook_size", "int from 1", self.codebook_size))
        codes, codebooks = (_array("codes", self.codes, None), _array("codebooks", self.codebooks))
        self._check_items(codes)
        self._check_codes(codes, codebooks)
        self._check_terms()
        shape = (len(self.item_tokens), codebooks.shape[2])
        residuals = np.zeros(shape) if self.residuals is None else _array("residuals", self.residuals)
        if residuals.shape != shape or not np.isfinite(residuals).all():
            raise InputError(f"residuals must be finite and of shape {shape}, not of {residuals.shape}.")
        arrays = {"codes": codes.astype(np.int64), "codebooks": codebooks, "residuals": residuals.astype(np.float32)}
        if self.sentences is not None:
            sentences = arrays["sentences"] = _array("sentences", self.sentences)
            if sentences.ndim != 2 or len(sentences) != shape[0] or not np.isfinite(sentences).all():
                raise InputError(f"sentences must be {shape[0]} finite rows, not an array of {sentences.shape}.")
        for name, array in arrays.items():
            array.setflags(write=False)
            set_field(self, name, array)

    def _check_items(self, codes: np.ndarray) -> None:
        n_items = len(self.item_tokens)
        if codes.ndim != 2 or not np.issubdtype(codes.dtype, np.integer):
            raise InputError(
                f"codes must be a table of integers, one row per item, not {codes.dtype} of {codes.shape}."
            )
        if not n_items or not codes.shape[1]:
            raise InputError("an identifier table needs at least one item and one level of codes.")
        for name, length in (("codes", len(codes)), ("terms", len(self.terms))):
            if length < n_items:
                raise InputError(
                    f"item {self.item_tokens[length]!r} is missing from the {name}: "
                    f"they cover {length} of {n_items} items."
                )
            if length > n_items:
                raise InputError(
                    f"the {name} have {length} rows for {n_items} items; item index {n_items} has no raw id."
                )
        seen: dict[str, int] = {}
        for index, token in enumerate(self.item_tokens):
            if not isinstance(token, str) or not token:
                raise InputError(f"item index {index} has no raw id (found {token!r}).")
            if seen.setdefault(token, index) != index:
                raise InputError(f"item {token!r} appears twice, at item indices {seen[token]} and {index}.")

    def _check_codes(self, codes: np.ndarray, codebooks: np.ndarray) -> None:
        levels = codes.shape[1]
        if levels > len(LEVEL_LETTERS):
            raise InputError(f"{levels} levels have no letters to write them with; use at most {len(LEVEL_LETTERS)}.")
        if codebooks.ndim != 3 or codebooks.shape[:2] != (levels, self.codebook_size) or not codebooks.shape[2]:
            raise InputError(
                f"codebooks must have shape ({levels}, {self.codebook_size}, D) to match the codes, "
                f"not {codebooks.shape}."
            )
        bad = np.argwhere(~np.isfinite(codebooks))
        if len(bad):
            raise InputError(f"the centroid of {code_token(*bad[0][:2])} is not finite; rebuild the codes.")
        bad = np.argwhere((codes < 0) | (codes >= self.codebook_size))
        if len(bad):
            index, level = bad[0]
            raise InputError(
                f"item {self.item_tokens[index]!r} has code {codes[index, level]} at level {level}, "
                f"outside 0..{self.codebook_size - 1}."
            )
        order = lexicographic_order(codes.astype(np.int64), self.codebook_size)
        same = np.flatnonzero((codes[order[1:]] == codes[order[:-1]]).all(axis=1))
        if len(same):
            first, second = sorted(order[same[0] : same[0] + 2].tolist())
            raise InputError(
                f"items {self.item_tokens[first]!r} and {self.item_tokens[second]!r} share the code "
                f"{tuple(codes[first].tolist())}; every item needs its own."
            )

    def _check_terms(self) -> None:
        for token, terms in zip(self.item_tokens, self.terms, strict=True):
            if not terms:
                raise InputError(f"item {token!r} has an empty TID; every item needs at least one term.")
            if len(terms) > MAX_TERMS:
                raise InputError(f"item {token!r} has {len(terms)} terms; a TID holds at most {MAX_TERMS}.")
            for term in terms:
                if not isinstance(term, str) or not term or " ".join(term.split()) != term:
                    raise InputError(f"item {token!r} has the term {term!r}, which is blank or not trimmed.")
            if len(set(terms)) < len(terms):
                raise InputError(f"item {token!r} repeats a term: {', '.join(terms)}.")

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.item_tokens)

    @property
    def levels(self) -> int:
        """L."""
        return self.codes.shape[1]

    @cached_property
    def trie(self) -> CatalogueTrie:
        """The trie over the codes; its item indices are this table's."""
        return CatalogueTrie.build(self.codes, self.codebook_size)

    def describe(self) -> str:
        """The report in a few short lines: use and evenness per level, collisions, terms."""
        lines = [f"{self.n_items} items, {self.levels} levels x {self.codebook_size} codes"]
        for level, column in enumerate(self.codes.T):
            use = code_use(column)
            lines.append(
                f"  level {LEVEL_LETTERS[level]}: {use['codes_in_use']} codes in use, "
                f"entropy {use['entropy_bits']:.2f} of {np.log2(self.codebook_size):.2f} bits, "
                f"largest {use['largest_code']} items, {self.trie.n_nodes(level + 1)} distinct prefixes"
            )
        if codes := self.report.get("codes"):
            lines.append(
                f"  collisions: {codes['colliding_items_before']} items shared a code "
                f"(largest group {codes['largest_group_before']}), {codes['items_moved']} moved, "
                f"{codes['colliding_items_after']} still share one"
            )
            lines.append(
                f"  codes re-seeded: {sum(level['reseeded_codes'] for level in codes['per_level'])}; variance left: "
                + ", ".join(f"{level['reconstruction_error']:.3f}" for level in codes["per_level"])
            )
        lengths = np.array([len(terms) for terms in self.terms])
        distinct = len({term for terms in self.terms for term in terms})
        lines.append(f"  terms: {distinct} distinct, {lengths.mean():.1f} an item ({lengths.min()} to {lengths.max()})")
        if terms := self.report.get("terms"):
            lines.append(
                f"  items without text: {terms['items_without_text']}, with text but without a word: "
                f"{terms['items_without_terms']}; terms borrowed from neighbours: {terms['items_borrowed']} items"
            )
        return "\n".join(lines)

    def save(self, directory: str | Path, inputs: dict) -> None:
        """Write the table as one directory, atomically: parquet rows, safetensors vectors, JSON header, manifest.

        Args:
            directory: where to write; an older table there is replaced.
            inputs: what the table was computed from (hashes, settings, seeds); goes into the manifest.
        """
        columns = {"item_token": pa.array(self.item_tokens, pa.string())}
        for level in range(self.levels):
            columns[f"code_{LEVEL_LETTERS[level]}"] = pa.array(self.codes[:, level])
        columns["terms"] = pa.array(self.terms, pa.list_(pa.string()))
        header = {"codebook_size": self.codebook_size, "levels": self.levels, "report": self.report}
        with atomic_directory(directory, inputs) as folder:
            pq.write_table(pa.table(columns), folder / ITEMS_FILE)
            vectors = {"codebooks": self.codebooks, "residuals": self.residuals}
            if self.sentences is not None:
                vectors["sentences"] = self.sentences
            save_file(vectors, folder / VECTORS_FILE)
            write_json(folder / HEADER_FILE, header)

    @classmethod
    def load(cls, directory: str | Path) -> "DualIdentifierTable":
        """Read a table that `save` wrote. Raises DamagedArtefact, naming the file, when a byte of it has changed."""
        directory = Path(directory)
        verify_manifest(directory)
        header = read_json(directory / HEADER_FILE)
        rows = pq.read_table(directory / ITEMS_FILE)
        vectors = load_file(directory / VECTORS_FILE)
        letters = LEVEL_LETTERS[: header["levels"]]
        return cls(
            item_tokens=rows["item_token"].to_pylist(),
            codes=np.stack([rows[f"code_{letter}"].to_numpy() for letter in letters], axis=1),
            codebook_size=header["codebook_size"],
            codebooks=vectors["codebooks"],
            terms=rows["terms"].to_pylist(),
            report=header["report"],
            residuals=vectors["residuals"],
            sentences=vectors.get("sentences"),
        )


def _sequence(name: str, value: object) -> tuple[Any, ...]:
    """The entries of a list; a text is none."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InputError(f"{name} must be a list, not {value!r}.")
    return tuple(value)


def _array(name: str, value: object, kind: type[np.generic] = np.float32) -> np.ndarray:
    """A new array of what is given; ragged lists and texts in place of numbers are refused."""
    try:
        return np.array(value, dtype=kind)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name} must be an array of numbers, all rows of one length: {error}.") from error


def code_use(column: np.ndarray) -> dict[str, float]:
    """How evenly the codes of one level are used: how many are, their entropy in bits, the items of the largest.

    column: the codes of the items at that level. Shape (N,).
    """
    counts = np.unique(column, return_counts=True)[1]
    share = counts / len(column)
    entropy = float(-(share * np.log2(share)).sum() + 0.0)
    return {"codes_in_use": len(share), "entropy_bits": entropy, "largest_code": int(counts.max())}
