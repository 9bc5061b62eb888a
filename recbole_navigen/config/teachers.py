"""Teacher and judge of the supervision: their settings, checked before anything is trained. No RecBole, no torch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recbole_navigen.config import shipped
from recbole_navigen.config.checking import fitted_all
from recbole_navigen.config.sections import section_settings
from recbole_navigen.errors import InputError

# The released search and its rule for terms, in place of what is set.
RELEASED = {"name_terms": False, "match": "substring", "population": 3, "rounds": 1, "patience": 0}
NEEDED = {"openai": ("base_url", "model"), "transformers": ("path",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisionSettings:
    """The section `supervision`, properties/supervision.yaml; made by `supervision_settings`."""

    teacher: str
    teacher_model: Mapping[str, Any]
    judge: str | None
    judge_model: Mapping[str, Any] | None
    supervision_seed: int
    domain: str | None
    domains: Mapping[str, str]
    media: str
    moments_per_user: int
    samples: int | None
    name_terms: bool
    thought: str
    teach_terms: bool
    population: int
    rounds: int
    patience: int
    min_gain: float
    match: str
    instruction_budget: int
    released: bool
    traces: bool
    tid_source: str
    tid_reading: str

    @property
    def roles(self) -> dict[str, tuple[str, Mapping[str, Any]]]:
        """Kind and options of the `teacher` and of the `judge`, who is the teacher unless said otherwise."""
        teacher, judge = (self.teacher, self.teacher_model), self.judge or self.teacher
        same = self.judge_model is None and judge == self.teacher
        return {"teacher": teacher, "judge": teacher if same else (judge, self.judge_model or {})}

    @property
    def language_models(self) -> dict[str, tuple[str, Mapping[str, Any]]]:
        """Of `roles` those that a language model of their own fills."""
        roles = self.roles
        if roles["judge"] is roles["teacher"]:
            del roles["judge"]
        return {role: model for role, model in roles.items() if model[0] in NEEDED}


def supervision_settings(section: Mapping[str, Any] | None = None) -> SupervisionSettings:
    """The settings of properties/supervision.yaml with a user's own above them, checked."""
    settings = section_settings("supervision", section)
    settings = SupervisionSettings(**(settings | RELEASED if settings["released"] else settings))
    options = {
        f"{role}_model": teacher_options(*model, f"supervision.{role}_model.")
        for role, model in settings.language_models.items()
    }
    return replace(settings, **options)


def teacher_options(kind: str, options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings of a language model, checked.

    Args:
        kind: openai or transformers. options: as given. prefix: of names in messages.
    """
    checked = fitted_all(shipped.section(f"teacher/{kind}"), options, shipped.sections, f"of the {kind} model", prefix)
    needed = NEEDED[kind]
    if not all(checked.get(name) for name in needed):
        raise InputError(f"the {kind} model needs {' and '.join(needed)}; set them in teacher_model or judge_model.")
    return checked


def refuse_absent_teachers(settings: SupervisionSettings) -> None:
    """Refuse a supervision whose language models are not there (a folder, a package or a key) and will be asked."""
    for kind, options in settings.language_models.values():
        if kind == "transformers":
            if not Path(options["path"]).is_dir():
                raise InputError(
                    f"{options['path']} is no folder of a language model; set the path of a downloaded one."
                )
            continue
        if find_spec("httpx") is None:
            raise InputError("teacher openai needs httpx; pip install 'recbole-navigen[generate]'.")
        if not options["base_url"].startswith(("http://", "https://")):
            raise InputError("an endpoint needs base_url=http(s)://... and the name of a model; set both.")
        name = options.get("api_key_env")
        if name is not None and not os.environ.get(name):
            raise InputError(f"the environment variable {name} (api_key_env) is not set; export the endpoint's key.")


def asks_teachers(settings: Mapping[str, Any], supervision: SupervisionSettings) -> bool:
    """Whether a run with these settings asks its teacher or judge anything."""
    stages = settings["training_stages"]
    judged = "reinforce" in stages and settings["reinforce"].get("scorer") == "judge"
    return bool(
        settings["task_weights"]["cid2ins"] or "write" in stages or judged or supervision.tid_source == "teacher"
    )
