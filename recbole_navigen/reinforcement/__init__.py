"""GRPO with hierarchical and self-consistent rewards, for items and for instructions."""
