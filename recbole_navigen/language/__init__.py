"""The language model: vocabulary, rendering of the tasks, and a Hugging Face decoder that reads dual identifiers."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "rendering": "Renderer",
        "rendered": "Rendered",
        "vocabulary": "Vocabulary",
        "answer_grammar": "Grammar",
        "answer": "Answer InvalidAnswer parse_answer",
        "choices": "Choices",
        "backbone": "Backbone",
    },
)
