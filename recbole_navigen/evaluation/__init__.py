"""Evaluation: ranks of targets and statistics over users."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "user_ranks": "UserRanks rank_users",
        "ranks": "metric_values",
        "statistics": "Interval bootstrap",
        "media_scores": "MediaScores",
        "media_pairs": "MediaCase score_media",
        "instruction_scores": "InstructionScores score_instructions",
    },
)
