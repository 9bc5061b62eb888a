"""Baselines that RecBole has not, as models that `--model=` knows."""
