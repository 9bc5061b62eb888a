"""GRPO with hierarchical and self-consistent rewards, for items and for instructions."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "grpo": "Grpo Learner",
        "policies": "Policy ItemPolicy InstructionPolicy Rollout",
        "rewards": "CODE_REWARDS Case Scorer TermScorer JudgeScorer MediaScorer instruction_rewards",
        "scorers": "SCORERS",
        "released": "term_f1",
    },
)
