"""Settings: reading, checking and merging them, and `Config`, which RecBole's modules take.

Reading and checking need neither torch nor RecBole.
"""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "config": "Config",
        "settings": "DataSettings NaviGenSettings ReinforceSettings RunSettings TrainingSettings",
        "teachers": "SupervisionSettings supervision_settings",
        "reinforcement": "reinforce_settings",
    },
)
