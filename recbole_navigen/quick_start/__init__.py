"""One function for each command, and RecBole's own by their names."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "run": "run_navigen",
        "compare": "run_compare compare_runs",
        "generate": "run_generate",
        "hyper": "run_hyper",
        "recommend": "run_recommend",
        "serve": "run_serve",
        ".runs.loaded": "load_run",
        "recbole_api": "run_recbole objective_function load_data_and_model",
        ".config.models": "get_model",
        ".training.recbole_trainer": "get_trainer Trainer",
        ".serving.recommender": "Recommender",
    },
)
