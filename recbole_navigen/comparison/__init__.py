"""A comparison of runs: estimates with intervals, their tables and their page."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(__name__, {"estimates": "Comparison Contender Estimate compare", "page": "report"})
