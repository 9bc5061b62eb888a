"""What a command refuses before it imports torch or RecBole, and how arguments are told from settings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from recbole_navigen.cli.command_line import CommandLine
from recbole_navigen.cli.shared import command_line
from recbole_navigen.errors import InputError

# Command -> arguments, and a word of the sentence.
REFUSED = {
    "run": [
        (["--epochz=3"], "`epochs`"),
        (["--model=SASRecc"], "SASRec"),
        (["--dropout=2"], "below 1"),
        (["--dataset=ml-10k"], "ml-100k"),
        (["--config_files", "fine.yaml", "--task_weights={tid2ci: 0}"], "`tid2cid`"),
        (["--task_weights={tid2ci: 0, tid2cid: 1}", "--config_files", "fine.yaml"], "`tid2cid`"),
        (["--config_files", "absent.yaml"], "absent.yaml"),
        (["--config_files", "twice.yaml"], "twice"),
        (["--epochs", "3"], "--key=value"),
        (["--dataset=ml-100k", "--dataset=ml-100k"], "twice"),
        (["--dataset"], "--dataset"),
        (["--reinforce.stepz=3"], "`steps`"),
        (["--valid_metric=NDGC@10"], "valid_metric"),
    ],
    "compare": [
        (["--models=SASRec,BPRR"], "BPR"),
        (["--models=SASRec,BPR", "--epochz=3"], "`epochs`"),
        (["--models=Pop,BPR", "--n_heads=2"], "n_heads"),
        (["--config_files", "models.yaml"], "`hidden_size`"),
        (["--models=SASRec", "--seeds=many"], "seeds"),
    ],
    "hyper": [
        (["--n_trials=many"], "n_trials"),
        (["--params_file=space.yaml"], "dropout"),
        (["--model=BPR", "--params_file=names.yaml"], "`embedding_size`"),
        (["--learning_rate=-1"], "above 0"),
    ],
    "generate": [
        (["--strength=0"], "strength"),
        (["--image_modell=x"], "unknown setting"),
        (["--codes_from=x"], "for NaviGen; it belongs to ReleasedNaviGen; the nearest valid name is `codes`"),
        (["--image_model=./nowhere"], "image_model=./nowhere"),
        (["--reference_image=none.png", "--clip_model=x/y"], "none.png"),
        (["--n_users=3", "--hidden_size=31"], "n_heads"),
        (["--temperature=hot"], "temperature"),
        (["--temperature=nan"], "temperature"),
        (["--top_p=2"], "top_p"),
        (["--drafts=0"], "drafts"),
    ],
}
FILES = {
    "fine.yaml": "epochs: 1\n",
    "twice.yaml": "epochs: 1\nepochs: 2\n",
    "models.yaml": "models: {SASRec: {hiden_size: 8}}\n",
    "space.yaml": "dropout: [0.1, 2]\n",
    "names.yaml": "embeding_size: [8, 16]\n",
}
CHILD = """
import contextlib, io, json, sys
from recbole_navigen.__main__ import main
from recbole_navigen.cli.compare import compare
from recbole_navigen.cli.generate import generate
from recbole_navigen.cli.hyper import hyper

homes = {"run": main, "compare": compare, "hyper": hyper, "generate": generate}
for command, cases in json.load(sys.stdin).items():
    for argv, word in cases:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            code = homes[command](argv)
        heavy = [name for name in ("torch", "recbole", "pandas", "transformers") if name in sys.modules]
        print(json.dumps([command, argv, word, code, said.getvalue(), heavy]))
"""


def test_all_commands_refuse_before_torch_is_imported(own_folder: Path) -> None:
    for name, text in FILES.items():
        Path(name).write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=json.dumps(REFUSED), capture_output=True, text=True, env=environment
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == sum(map(len, REFUSED.values())), done.stderr
    for command, argv, word, code, said, heavy in lines:
        assert code == 2 and heavy == [], (command, argv, said, heavy)
        assert said.startswith("error: ") and said.count("\n") == 1 and word in said, (command, argv, said)


@pytest.fixture
def commands() -> CommandLine:
    return command_line("test", "", "", "")


@pytest.mark.parametrize("place", range(4))
def test_settings_are_settings_wherever_they_stand(place: int, commands: CommandLine) -> None:
    argv = ["--config_files", "a.yaml", "b.yaml"]
    argv.insert(place, "--task_weights={tid2cid: 0}")
    if place == 1:  # between the option and its files
        argv = ["--config_files", "a.yaml", "--task_weights={tid2cid: 0}", "--config_files", "b.yaml"]
    arguments, settings = commands.split(argv)
    assert arguments.config_files == ["a.yaml", "b.yaml"] and settings == ["--task_weights={tid2cid: 0}"]


def test_named_arguments_are_given_once(commands: CommandLine) -> None:
    assert commands.split(["--dataset=a", "--x=[1, 2]", "-d=b"][:2])[0].dataset == "a"
    for argv in (["--dataset=a", "--dataset=b"], ["-d", "a", "--dataset", "b"], ["--debug", "--debug"]):
        with pytest.raises(InputError, match="given twice"):
            commands.split(argv)
    with pytest.raises(InputError, match="expected one argument"):
        commands.split(["--dataset"])
