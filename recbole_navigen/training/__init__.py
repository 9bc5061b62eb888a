"""Training: trainers, checkpoints without pickle, losses on user rows."""
