"""Hyper-parameter search: its space, its study and its page."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__, {"parameter": "Parameter", "search_space": "read_space", "page": "Sweep"}
)
