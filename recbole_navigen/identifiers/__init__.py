"""Dual identifiers: collaborative codes, textual terms, the table that holds both and the trie over the codes."""
