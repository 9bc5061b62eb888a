"""Baselines that RecBole has not, as models that `--model=` knows."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "transitions": "Transitions",
        "hstu": "HSTU",
        "sasrec_text": "SASRecText",
        "ensemble": "Ensemble",
        "released_navigen": "ReleasedNaviGen",
    },
)
