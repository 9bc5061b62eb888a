"""From settings to who writes, judges and reasons; and what is not imported for nothing."""

import os
import subprocess
import sys
from dataclasses import fields

import pytest
from places import ROOT

from recbole_navigen.config.shipped import section
from recbole_navigen.config.teachers import NEEDED, supervision_settings
from recbole_navigen.errors import InputError
from recbole_navigen.supervision.chat.local_chat import LocalSettings
from recbole_navigen.supervision.chat.openai_chat import OpenAISettings
from recbole_navigen.supervision.evolution import SearchSettings, evolve
from recbole_navigen.supervision.facts import catalogue_facts
from recbole_navigen.supervision.interfaces import Sample
from recbole_navigen.supervision.planner import Planner
from recbole_navigen.supervision.roles import build_roles, search_settings
from recbole_navigen.supervision.template.judge import TemplateJudge
from recbole_navigen.supervision.template.template_teacher import TemplateTeacher

TERMS = [("western", "dust"), ("comedy", "party"), ("western", "comedy")]
ENDPOINT = {"base_url": "http://localhost:1/v1", "model": "m"}


def test_the_yaml_names_the_defaults_of_the_code():
    assert search_settings(supervision_settings()) == SearchSettings()
    for kind, options in (("openai", OpenAISettings), ("transformers", LocalSettings)):
        shipped_values = {name: setting.default for name, setting in section(f"teacher/{kind}").items()}
        needed = NEEDED[kind]
        code = {entry.name: None if entry.name in needed else entry.default for entry in fields(options)}
        assert shipped_values == code


def test_the_template_is_the_default_and_needs_no_store(own_folder):
    roles = build_roles(supervision_settings({"rounds": 1}), TERMS, own_folder / "cache")
    assert isinstance(roles.teacher, TemplateTeacher) and isinstance(roles.judge, TemplateJudge)
    brief = Planner(catalogue_facts({}, {}, "generic", TERMS), "generic").training_brief([], 0, "image", ("western",))
    (found,) = evolve([Sample("u", (), ("western",), brief=brief)], roles.teacher, roles.judge).results
    assert found is not None and roles.reasoner.distilled([found], [None])
    assert not roles.models and not (own_folder / "cache").exists()


def test_teacher_and_judge_may_differ_or_share_a_model(own_folder):
    own = {"teacher": "openai", "teacher_model": ENDPOINT}
    same = build_roles(supervision_settings(own), TERMS, own_folder)
    assert len(same.models) == 1 and same.judge.model is same.teacher.model is same.reasoner.model
    other = {**own, "judge": "openai", "judge_model": {**ENDPOINT, "model": "critic"}}
    models = build_roles(supervision_settings(other), TERMS, own_folder).models
    assert [model.chat.settings.model for model in models] == ["m", "critic"]
    mixed = build_roles(supervision_settings({**own, "judge": "template"}), TERMS, own_folder)
    assert isinstance(mixed.judge, TemplateJudge) and len(mixed.models) == 1


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"techer": "openai"}, "nearest valid name is `teacher`"),
        ({"teacher": "human"}, "teacher must be one of template, openai, transformers, not 'human'"),
        ({"judge": "human"}, "judge must be one of .* or None, not 'human'"),
        ({"thought": "none"}, "thought must be one of distilled, identifier, not 'none'"),
        ({"tid_source": "title"}, "tid_source must be one of text, teacher"),
        ({"rounds": "many"}, "rounds must be a whole number of at least 0, not 'many'"),
        ({"teacher": "openai", "teacher_model": {"base_url": "http://x"}}, "needs base_url and model"),
        ({"teacher": "openai", "teacher_model": {**ENDPOINT, "modle": 1}}, "nearest valid name is `model`"),
        ({"teacher": "transformers"}, "needs path"),
        ({"teacher": "transformers", "teacher_model": {"path": "nowhere"}}, "no folder"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(own_folder, own, message):
    with pytest.raises(InputError, match=message):
        build_roles(supervision_settings(own), TERMS, own_folder)


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = (
        "import sys, recbole_navigen.supervision.roles, recbole_navigen.supervision.chat.openai_chat, "
        "recbole_navigen.supervision.chat.local_chat, recbole_navigen.supervision.trace_plot; "
        "print([name for name in ('httpx', 'transformers', 'matplotlib', 'torch') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert result.stdout.strip() == "[]"
