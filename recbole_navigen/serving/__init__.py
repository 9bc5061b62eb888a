"""A trained model in use: recommendations, instructions, and its export."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "recommender": "Recommender",
        "model_recommender": "ModelRecommender",
        "answers": "Instruction Recommendation Recommendations",
        "preferences": "Preferences",
    },
)
