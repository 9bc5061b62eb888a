"""From settings to teacher, judge and reasoner. Defaults stand in properties/supervision.yaml."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_navigen.config.locate import cache_folder
from recbole_navigen.config.settings import RunSettings
from recbole_navigen.config.teachers import SupervisionSettings, teacher_options
from recbole_navigen.redaction import without_secrets
from recbole_navigen.sources import versions
from recbole_navigen.supervision.chat.model_teacher import Chat, LanguageModel, ModelTeacher
from recbole_navigen.supervision.chat.store import AnswerStore
from recbole_navigen.supervision.evolution import SearchSettings
from recbole_navigen.supervision.facts import ItemFacts
from recbole_navigen.supervision.interfaces import Judge, Teacher
from recbole_navigen.supervision.reasoning import Reasoner
from recbole_navigen.supervision.settings import settings_of
from recbole_navigen.supervision.template.judge import TemplateJudge
from recbole_navigen.supervision.template.reasoner import TemplateReasoner
from recbole_navigen.supervision.template.template_teacher import TemplateTeacher
from recbole_navigen.supervision.template.term_space import TermSpace

if TYPE_CHECKING:
    from recbole_navigen.config import Config

STORE_FILE = "answers.sqlite"


@dataclass(frozen=True, slots=True)
class Roles:
    """The teacher, the judge and the reasoner of a supervision, and the language models among them, each once."""

    teacher: Teacher
    judge: Judge
    reasoner: Reasoner
    models: tuple[LanguageModel, ...]

    def report(self) -> dict[str, Any]:
        """Report on the language models so far, as JSON values: `models` has the counts and the cost of each, and
        `unanswered` the number of questions, by reason, that got no answer and may get one another time.
        """
        unanswered = sum((model.unanswered for model in self.models), Counter())
        return {"models": [model.report() for model in self.models], "unanswered": dict(unanswered)}


def search_settings(settings: SupervisionSettings) -> SearchSettings:
    """Return the settings of the search among those of the supervision."""
    return SearchSettings(**{entry.name: getattr(settings, entry.name) for entry in fields(SearchSettings)})


def local_weights(settings: SupervisionSettings) -> dict[str, str]:
    """Return the hashes of the weights of teacher and judge, where these are models on this machine."""
    chats = {role: _chat(*model) for role, model in settings.roles.items() if model[0] == "transformers"}
    return {role: chat.identity["weights"] for role, chat in chats.items()}


def made_of(settings: SupervisionSettings, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Return what decides the rows of a supervision beside its data: settings, weights of local models, and versions.

    Args:
        settings: from `settings_of`. leave_out: names of those that decide nothing here.
    """
    counted = {name: value for name, value in asdict(settings).items() if name not in leave_out}
    return {"settings": without_secrets(counted), "weights": local_weights(settings), "versions": versions()}


def roles_of(config: "Config", item_terms: Sequence[Sequence[str]], facts: Sequence[ItemFacts]) -> Roles:
    """Teacher, judge and reasoner of a run; answers of language models are kept beside the runs."""
    return build_roles(
        settings_of(config), item_terms, cache_folder(config), RunSettings.of(config).show_progress, facts
    )


def build_roles(
    settings: SupervisionSettings,
    item_terms: Sequence[Sequence[str]],
    folder: str | Path,
    show_progress: bool = False,
    facts: Sequence[ItemFacts] | None = None,
) -> Roles:
    """Make teacher, judge and reasoner.

    Args:
        settings: from `supervision_settings`, with a domain. item_terms: the catalogue's TIDs, N lists.
        folder: where answers of language models are kept, shared by runs; `saved/cache` is a good place.
        show_progress: whether language models show bars. facts: of the same items; None: what their terms say.
    """
    chats = settings.roles
    judge_kind = chats["judge"][0]
    local = "template" in (settings.teacher, judge_kind)
    space = TermSpace(item_terms, facts, settings.domain or "generic") if local else None
    models: list[LanguageModel] = []

    def model_teacher(kind: str, options: Mapping[str, Any]) -> ModelTeacher:
        chat = _chat(kind, options)
        for model in models:
            if model.chat.identity == chat.identity:
                return ModelTeacher(model)
        models.append(LanguageModel(chat, AnswerStore(Path(folder) / STORE_FILE), show_progress))
        return ModelTeacher(models[-1])

    if settings.teacher == "template":
        teacher: Any = TemplateTeacher(space, settings.supervision_seed, settings.instruction_budget)
        reasoner: Any = TemplateReasoner()
    else:
        teacher = reasoner = model_teacher(*chats["teacher"])
    judge = TemplateJudge(space) if judge_kind == "template" else model_teacher(*chats["judge"])
    return Roles(teacher, judge, reasoner, tuple(models))


def _chat(kind: str, options: Mapping[str, Any]) -> Chat:
    """A language model by kind and settings; the module of the other kind is not imported."""
    if kind == "openai":
        from recbole_navigen.supervision.chat.openai_chat import OpenAIChat as Served
        from recbole_navigen.supervision.chat.openai_chat import OpenAISettings as Options
    else:
        from recbole_navigen.supervision.chat.local_chat import LocalChat as Served
        from recbole_navigen.supervision.chat.local_chat import LocalSettings as Options
    return Served(Options(**teacher_options(kind, options)))
