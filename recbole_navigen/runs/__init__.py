"""The folder of a run: its files, its identity, its result, and how it is loaded."""
