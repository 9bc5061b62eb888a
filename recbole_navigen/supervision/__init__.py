"""Supervision: instructions found by evolutionary search, and the reasoning that leads to them."""
