"""The commands: what each asks for, and how it ends."""
