"""Evaluation: ranks of targets and statistics over users."""
