"""The neural networks of NaviGen: language model, decoders over items, writer."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {"item_model": "DualIdentifierLM", "text_model": "TextModel", "writer": "Writer build_writer", "build": "build_lm"},
)
