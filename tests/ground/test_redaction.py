"""Secrets of settings: they reach whom they are meant for, and no file, page, log, screen or error."""

import base64
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from small_endpoint import scripted_answer
from synthetic import make_config
from tiny_settings import NAVIGEN

from recbole_navigen.cli.hyper import hyper
from recbole_navigen.cli.shared import exit_code
from recbole_navigen.config.reading import parse_argv, read_settings
from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.quick_start import run_compare, run_generate, run_hyper
from recbole_navigen.redaction import (
    HIDDEN,
    HiddenSecrets,
    hide,
    hide_known,
    is_secret,
    remember,
    without_hidden,
    without_secrets,
)

NAMES = ["api_key", "apiKey", "OPENAI_API_KEY", "x-api-key", "password", "db_passwd", "client_secret", "Authorization"]
NAMES += ["access_token", "hf_token", "private_key", "credentials", "api_key2"]
# Long enough to be looked for, and of any signs that a setting may hold.
SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=["Cc", "Cf"]), min_size=12)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_secrets_are_known(name):
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["max_tokens", "instruction_tokens", "token_num_threshold", "api_key_env", "monkey", "seed", "keys", "author"],
)
def test_other_names_are_none(name):
    assert not is_secret(name)


@given(SECRETS, st.sampled_from(NAMES))
def test_a_secret_is_hidden_wherever_settings_hold_it(secret, name):
    part = quote(secret, safe="")
    given = {
        name: secret,
        "nested": {"deep": [{name: secret}], "headers": {"Authorization": f"Bearer {part}"}},
        "storage": f"postgresql+psycopg://me:{part}@host:5432/db",
        "base_url": f"https://host/v1?api_key={part}&x=1",
        "list": [f"http://{part}@host/v1"],
        "plain": "NaviGen",
    }
    shown = without_secrets(given)
    for form in (secret, part):
        assert form not in json.dumps(shown, ensure_ascii=False)
    assert shown["plain"] == "NaviGen" and without_secrets(shown) == shown
    kept, left_out = without_hidden(given)
    assert kept == {"nested": {"deep": [], "headers": {}}, "list": [], "plain": "NaviGen"} or HIDDEN not in str(kept)
    assert {name, "storage", "base_url"} <= set(left_out)


@settings(max_examples=25)
@given(SECRETS)
def test_a_secret_that_was_read_is_hidden_in_any_text(secret):
    remember({"section": {"api_key": secret}})
    forms = [secret, quote(secret, safe=""), json.dumps(secret), repr(secret), f"x{secret}x", f"Bearer {secret}"]
    for form in forms:
        assert secret not in hide(f"the server said {form} to us"), form
    assert secret not in str(hide_known({"a": [f"of {secret}"]}))
    for kind in (InputError, DamagedArtefact):
        assert secret not in str(kind(f"{secret} is wrong"))


def test_a_login_is_hidden_as_a_header_would_send_it():
    remember("https://me:correct-horse-battery@host/v1", "base_url")
    sent = base64.b64encode(b"me:correct-horse-battery").decode()
    assert hide(f"sent Basic {sent}, correct-horse-battery") == "sent Basic (hidden), (hidden)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pa/3@ss@host/v1 failed", "http://(hidden)@host/v1 failed"),
        ("see https://host/v1?sig=a%20b&v=1#frag.", "see https://host/v1?sig=(hidden)&v=(hidden)#(hidden)"),
        ("sqlite:///sweep.db", "sqlite:///sweep.db"),
        ("key sk-abcdefgh12345 is wrong", "key (hidden) is wrong"),
        ("{'api_key': 'a b', 'model': 'tiny'}", "{'api_key': (hidden), 'model': 'tiny'}"),
        ("  password: correct horse\n  model: tiny", "  password: (hidden)\n  model: tiny"),
        ("api_key = None", "api_key = None"),
        ("GET /v1/chat?token=abc&x=1, x-api-key: abc", "GET /v1/chat?token=(hidden)&x=1, x-api-key: (hidden)"),
        ("unknown setting `password`; the nearest valid name is `data_path`",) * 2,
        ("KeyError: 'seed'", "KeyError: 'seed'"),
    ],
)
def test_texts_lose_their_secrets_and_nothing_else(text, shown):
    assert hide(text) == shown == hide(shown)


def test_short_secrets_do_not_blacken_words_and_numbers():
    remember({"password": "postgres", "api_key": 123456, "secret": "ab"})
    assert hide("postgresql 0.123456 1234567 cab") == "postgresql 0.123456 1234567 cab"
    assert hide("user postgres, 123456") == "user (hidden), (hidden)"


def test_log_lines_and_tracebacks_are_clean(caplog):
    remember({"password": "tr0ub4dor&3-xyz"})
    formatter = HiddenSecrets(logging.Formatter("%(levelname)s %(message)s"))
    try:
        raise RuntimeError("login failed for tr0ub4dor&3-xyz")
    except RuntimeError:
        logging.getLogger("x").exception("with %s", "tr0ub4dor&3-xyz")
    line = formatter.format(caplog.records[0])
    assert line.startswith("ERROR with (hidden)") and "RuntimeError" in line and "tr0ub4dor" not in line


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("error", [InputError, KeyError])
def test_commands_print_no_secret(capsys, debug, error):
    def fails():
        parse_argv(["--api_key=sk_live_0123456789"])
        try:
            raise ValueError("sk_live_0123456789")
        except ValueError as cause:
            raise error("--api_key=sk_live_0123456789 is given twice") from cause

    assert exit_code(fails, ["--debug"] if debug else []) == (2 if error is InputError else 1)
    printed = "".join(capsys.readouterr())
    assert "sk_live_0123456789" not in printed and HIDDEN in printed


def test_a_yaml_that_cannot_be_read_is_shown_without_its_secrets(own_folder, capsys):
    Path("wrong.yaml").write_text("password: @correct-horse-battery\nseed: 1\n")
    assert exit_code(lambda: read_settings("wrong.yaml"), ["--debug"]) == 2
    assert "correct-horse" not in "".join(capsys.readouterr())


def test_a_storage_that_cannot_be_reached_shows_no_login(tiny, capsys):
    pytest.importorskip("optuna")
    Path("space.yaml").write_text("embedding_size: [8, 16]\n")
    login = "postgresql+psycopg2://me:hunter2-and-more@127.0.0.1:1/db?sslpassword=also-this-one"
    given = ["--model=BPR", "--dataset=tiny", "--params_file=space.yaml", f"--storage={login}", "--debug"]
    assert hyper(given) == 2
    printed = "".join(capsys.readouterr())
    assert "hunter2" not in printed and "also-this-one" not in printed and "(hidden)@127.0.0.1:1/db" in printed


def test_what_is_sent_to_other_services_is_clean(tiny, monkeypatch):
    from recbole_navigen.training import trainer

    supervision = {"teacher_model": {"api_key": "planted-secret-1", "base_url": "http://a:planted-secret-2@host/v1"}}
    config = make_config("NaviGen", tiny, supervision=supervision)
    sent = []
    monkeypatch.setattr(trainer, "WandbLogger", lambda given: sent.append(vars(given)))
    trainer.recbole.trainer.trainer.WandbLogger(config)
    shown = config.without_secrets()
    sent += [str(shown), str(vars(shown)), str(config), str(config.public())]
    assert "planted-secret" not in str(sent) and "log_wandb" in sent[0]
    assert config["supervision"]["teacher_model"]["api_key"] == "planted-secret-1"


PASSWORD, QUERY, VARIABLE, NESTED = "pass/word+planted@1", "query planted 2", "variable-planted-3", "nested-planted-4"


def planted(folder: Path) -> list[str]:
    """Files below a folder that hold a secret in any form, or its telling part."""
    return [str(file) for file in folder.rglob("*") if file.is_file() and b"planted" in file.read_bytes().lower()]


def test_no_run_sweep_or_comparison_leaves_a_secret_behind(
    tiny, endpoint, own_folder, monkeypatch, capfd, caplog, in_this_process
):
    """The server repeats every secret it gets, and settings hold one wherever they can."""
    monkeypatch.setenv("JUDGE_KEY", VARIABLE)
    secrets = " ".join((PASSWORD, QUERY, VARIABLE))

    def script(_, messages):
        if "first person" in messages[0]["content"]:
            return json.dumps({"reasoning": f"I like boats, {secrets}."})
        return scripted_answer(messages).replace("calm", secrets).replace("clear", secrets)

    server = endpoint(script)
    place = f"127.0.0.1:{server.server_port}/v1"
    teacher = {"base_url": f"http://me:{quote(PASSWORD, safe='')}@{place}?api_key={quote(QUERY)}", "model": "tiny"}
    judge = {"base_url": f"http://{place}", "model": "judge", "api_key_env": "JUDGE_KEY"}
    supervision = {"teacher": "openai", "judge": "openai", "teacher_model": teacher, "judge_model": judge}
    supervision |= {"rounds": 0, "population": 2, "samples": 4, "moments_per_user": 1, "traces": True}
    own = {"show_progress": False, "use_gpu": False, "epochs": 1, "train_batch_size": 16, "MAX_ITEM_LIST_LENGTH": 8}
    whole = {**NAVIGEN, **own, "supervision": supervision, "training_stages": ["align", "finetune", "write"]}
    Path("given.yaml").write_text(yaml.safe_dump(whole))
    Path("space.yaml").write_text("learning_rate: [0.01, 0.02]\n")
    caplog.set_level(logging.DEBUG)

    # What no part reads is refused, and the refusal does not repeat it.
    misplaced = {"collaborative_config": {"Caser": {"api_key": NESTED}}}
    with pytest.raises(InputError, match=r"unknown setting `api_key` of collaborative_config\.Caser") as refused:
        run_generate("tiny", ["given.yaml"], config_dict=misplaced, n_users=2, output="out")
    assert NESTED not in str(refused.value)
    run_generate("tiny", ["given.yaml"], n_users=2, output="out")
    sweep = run_hyper("NaviGen", "tiny", "space.yaml", 1, ["given.yaml"], storage="sqlite:///sweep.db", output="sweep")
    run_compare(["NaviGen"], "tiny", config_file_list=["given.yaml"])

    # Who should have had them, had them.
    sent = {entry.get("Authorization") for entry in server.headers}
    basic = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    assert sent == {f"Basic {basic}", f"Bearer {VARIABLE}"} and any("planted%202" in path for path in server.paths)
    # And nobody else.
    Path("given.yaml").rename(own_folder.parent / "given.yaml")
    assert planted(own_folder) == []
    printed = "".join(capfd.readouterr()) + "".join(map(HiddenSecrets(None).format, caplog.records))
    assert "planted" not in printed.lower() and basic not in printed
    names = {file.name for file in own_folder.rglob("*")}
    assert {"result.json", "best.yaml", "answers.sqlite", "comparison.json", "traces.jsonl"} <= names
    assert list(Path("log").rglob("*.log")) and list(Path("log_tensorboard").rglob("events*"))
    # The best settings can be given again as they are, beside what they do not say.
    best = Path("sweep/best.yaml").read_text()
    again = read_settings("sweep/best.yaml")
    assert HIDDEN not in str(again) and "# supervision.teacher_model.base_url is left out" in best
    assert again["supervision"]["judge_model"]["api_key_env"] == "JUDGE_KEY"
    assert again["supervision"]["teacher_model"] == {"model": "tiny"}
    assert sweep["best"]["settings"]["supervision"]["teacher_model"]["base_url"] == teacher["base_url"]


def test_objects_that_are_no_settings_pass_unchanged():
    thing = SimpleNamespace(password="x")
    assert without_secrets({"a": thing, "b": (1, 2.5, None, True)}) == {"a": thing, "b": [1, 2.5, None, True]}


def test_folders_of_the_shell_are_no_secrets(tmp_path: Path) -> None:
    code = "from recbole_navigen.redaction import hide; import os; print(hide(os.environ['PWD'] + '/saved/run'))"
    environment = {**os.environ, "PWD": str(tmp_path), "OLDPWD": "/a/folder/that/went", "SERVICE_KEY": "hush-hush-1234"}
    places = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert places.stdout.strip() == f"{tmp_path}/saved/run"
    code = "from recbole_navigen.redaction import hide; print(hide('/a/folder/that/went and hush-hush-1234'))"
    hidden = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert hidden.stdout.strip() == "/a/folder/that/went and (hidden)"
