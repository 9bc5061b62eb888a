"""The two errors that a user of RecBole-NaviGen may meet. Their messages show no secret, whoever prints them."""

from recbole_navigen.redaction import hide


class InputError(ValueError):
    """Bad input. The message is one clear sentence: what is wrong, where, and what to do about it.

    The command line prints the message as one line and leaves with exit code 2.
    """

    def __init__(self, message: str):
        super().__init__(hide(str(message)))


class DamagedArtefact(RuntimeError):
    """A stored artefact differs from what was written. The message names the file."""

    def __init__(self, message: str):
        super().__init__(hide(str(message)))
