"""The NaviGen model, its scoring, and the lookup of models by name."""
