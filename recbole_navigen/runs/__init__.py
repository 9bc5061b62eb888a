"""The folder of a run: its files, its identity, its result, and how it is loaded."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "result": "Run read_result",
        "loaded": "LoadedRun load_run",
        "load": "load_navigen load_trained load_writer",
        "trained": "TrainedModel",
        "stages": "Stages",
    },
)
