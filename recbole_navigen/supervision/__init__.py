"""Supervision: instructions found by evolutionary search, and the reasoning that leads to them."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "interfaces": "Draft Judge Judgement Review Sample Task Teacher",
        "settings": "settings_of",
        "facts": "ItemFacts catalogue_facts",
        "dataset_facts": "facts_of",
        "planner": "Planner planner_of",
        "roles": "Roles build_roles search_settings",
        "rows": "InstructionRow Supervision samples_of supervise",
    },
)
