"""The stages that make a NaviGen, in the order of the method: check, identifiers, supervision, write, reinforce."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "train": "build_navigen",
        "supervision": "supervision_of supervision_stage",
        "write": "add_writer has_writer",
        "reinforce": "later_stages",
    },
)
