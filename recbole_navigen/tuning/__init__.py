"""Hyper-parameter search: its space, its study and its page."""
