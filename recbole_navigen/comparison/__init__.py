"""A comparison of runs: estimates with intervals, their tables and their page."""
