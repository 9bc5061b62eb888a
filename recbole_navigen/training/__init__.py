"""Training: trainers, checkpoints without pickle, losses on user rows."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "trainer": "SafeCheckpoint build_model get_trainer",
        "sft": "NaviGenTrainer",
        "user_rows": "UserRowTrainer",
        "instruction_rows": "InstructionRows",
        "checkpoint": "load_checkpoint save_checkpoint",
        "progress": "Progress",
    },
)
