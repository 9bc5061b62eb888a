"""The folder of a run, `saved/RUN`: what stands in it, by name. What rooms below write there has its name where it is
written: `ranks` (evaluation/user_ranks.py), `checkpoint-last` (training) and the log and progress of GRPO.
"""

from pathlib import Path

from recbole_navigen.errors import InputError

RESULT = "result.json"  # written last: a folder that holds it is a finished run
STARTED = "started.json"  # written first, with the run's identity
LOCK = "run.lock"  # held by the process that works on the run
TRAINED = "trained.json"  # the ranking model is finished
CHECKPOINT = "checkpoint"  # the best epoch
IDENTIFIERS = "identifiers"  # the table of dual identifiers
TOKENIZER = "tokenizer"  # of the ranking model, and of the writer in its own folder
SUPERVISION = "supervision"  # instructions that are kept for this run alone
RECODING = "recoding"  # what the model with new codes starts from, see `recode_epochs`
RECODING_PROGRESS = "recoding-in-training"
WRITER = "writer"  # with its checkpoint, tokenizer and settings
WRITER_SETTINGS = "settings.json"
WRITER_PROGRESS = "writer-in-training"
REINFORCED = "reinforced.json"  # reinforcement is finished
REINFORCE_PAGE = "reinforce.html"
FEEDBACK_LEARNED = "feedback.json"  # what came of the feedback that the writer was last trained on


def refuse_unfinished(folder: str | Path) -> None:
    """Refuse a folder that is not that of a finished run."""
    if not (Path(folder) / RESULT).is_file():
        raise InputError(f"{folder} is not the folder of a finished run: it holds no {RESULT}; name saved/RUN")


def is_saved_model(folder: str | Path) -> bool:
    """Whether a folder holds a model of its own, as `Recommender.save` writes it, and is no run."""
    return (Path(folder) / WRITER_SETTINGS).is_file() and (Path(folder) / IDENTIFIERS).is_dir()
