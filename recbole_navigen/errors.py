"""The two errors that a user of RecBole-NaviGen may meet."""


class InputError(ValueError):
    """Bad input. The message is one clear sentence: what is wrong, where, and what to do about it.

    The command line prints the message as one line and leaves with exit code 2.
    """


class DamagedArtefact(RuntimeError):
    """A stored artefact differs from what was written. The message names the file."""
