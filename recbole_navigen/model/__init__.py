"""The NaviGen model, its scoring, and the lookup of models by name."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__, {"navigen": "NaviGen", "ranking": "Ranking TopK", "author": "Author", "decoding": "write"}
)
