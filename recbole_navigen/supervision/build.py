"""From settings to teacher, judge and reasoner. Defaults stand in properties/supervision.yaml."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from recbole_navigen.config.reading import refuse_unknown, settings_file
from recbole_navigen.errors import InputError
from recbole_navigen.supervision.evolution import SearchSettings
from recbole_navigen.supervision.llm import Chat, LanguageModel, ModelTeacher
from recbole_navigen.supervision.protocol import Judge, Teacher
from recbole_navigen.supervision.rationale import Reasoner
from recbole_navigen.supervision.space import TermSpace
from recbole_navigen.supervision.store import AnswerStore
from recbole_navigen.supervision.template import TemplateTeacher
from recbole_navigen.supervision.template_judge import TemplateJudge
from recbole_navigen.supervision.template_reasoner import TemplateReasoner

KINDS = ("template", "openai", "transformers")
STORE_FILE = "answers.sqlite"


@dataclass(frozen=True, slots=True)
class Roles:
    """Who does what, and the language models among them (for their counts); the same model stands there once."""

    teacher: Teacher
    judge: Judge
    reasoner: Reasoner
    models: tuple[LanguageModel, ...]

    def report(self) -> dict[str, Any]:
        """Of the language models so far, as JSON values: `models`, the counts and cost of each, and `unanswered`, how
        many questions got no answer that may get one another time, by reason.
        """
        unanswered = sum((model.unanswered for model in self.models), Counter())
        return {"models": [model.report() for model in self.models], "unanswered": dict(unanswered)}


def supervision_settings(own: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The settings of properties/supervision.yaml with a user's own above them; unknown ones are refused."""
    settings = settings_file("supervision", own)
    choices = {"teacher": KINDS, "judge": (None, *KINDS), "tid_source": ("text", "teacher")}
    for key, known in {**choices, "thought": ("distilled", "identifier")}.items():
        if settings[key] not in known:
            names = ", ".join(name for name in known if name)
            raise InputError(f"{key}={settings[key]!r} is unknown; use one of {names}.")
    return settings


def search_settings(settings: Mapping[str, Any]) -> SearchSettings:
    """The search's part of the settings."""
    return SearchSettings(**{entry.name: settings[entry.name] for entry in fields(SearchSettings)})


def build_roles(
    settings: Mapping[str, Any], item_terms: Sequence[Sequence[str]], folder: str | Path, show_progress: bool = False
) -> Roles:
    """Make teacher, judge and reasoner.

    Args:
        settings: from `supervision_settings`. item_terms: the catalogue's TIDs, N lists.
        folder: where answers of language models are kept, shared by runs; `saved/cache` is a good place.
        show_progress: whether language models show bars.
    """
    judge_kind = settings["judge"] or settings["teacher"]
    judge_options = settings["judge_model"]
    if judge_options is None:
        judge_options = settings["teacher_model"] if judge_kind == settings["teacher"] else {}
    space = TermSpace(item_terms) if "template" in (settings["teacher"], judge_kind) else None
    models: list[LanguageModel] = []

    def model_teacher(kind: str, options: Mapping[str, Any]) -> ModelTeacher:
        chat = _chat(kind, options)
        for model in models:
            if model.chat.identity == chat.identity:
                return ModelTeacher(model)
        models.append(LanguageModel(chat, AnswerStore(Path(folder) / STORE_FILE), show_progress))
        return ModelTeacher(models[-1])

    if settings["teacher"] == "template":
        teacher: Any = TemplateTeacher(space, settings["supervision_seed"])
        reasoner: Any = TemplateReasoner(space, settings["supervision_seed"])
    else:
        teacher = reasoner = model_teacher(settings["teacher"], settings["teacher_model"])
    judge = TemplateJudge(space) if judge_kind == "template" else model_teacher(judge_kind, judge_options)
    return Roles(teacher, judge, reasoner, tuple(models))


def _chat(kind: str, options: Mapping[str, Any]) -> Chat:
    """A language model by kind and settings; the module of the other kind is not imported."""
    if kind == "openai":
        from recbole_navigen.supervision.openai import OpenAIChat as Served
        from recbole_navigen.supervision.openai import OpenAISettings as Options
    else:
        from recbole_navigen.supervision.local_lm import LocalChat as Served
        from recbole_navigen.supervision.local_lm import LocalSettings as Options
    refuse_unknown(options, [entry.name for entry in fields(Options)], f"of the {kind} model")
    try:
        return Served(Options(**options))
    except TypeError as error:
        needed = "base_url and model" if kind == "openai" else "path"
        raise InputError(f"the {kind} model needs {needed}; set them in teacher_model or judge_model.") from error
