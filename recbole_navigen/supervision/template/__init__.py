"""The teacher, judge and reasoner that need no language model."""
