"""The documentation: every command and every Python block of README and docs runs, the site builds, and the page of
settings says what the yaml files say.

How a command is made short, and nothing else about it:

- it runs in a folder with a data set of 40 users and 190 items under the name ml-100k, and a folder `properties` beside
  it that makes models small (`NAVIGEN`); so it is typed as it stands;
- numbers that say how long to work are replaced (`SHORTER`);
- names that stand for something (`saved/NaviGen-ml-100k-...`, FOLDER_OR_HUB_ID, DIR) are replaced by something real;
- trials and runs of comparisons share this process, and the address of a database becomes a SQLite file;
- the first `torchrun` is torch's own, the others fork their two processes from one that has imported the package.

Benchmarks are asked whether they have the options that the documentation names, and are not run. What changes the
machine (`pip`, `apt-get`, `su`, environments) is not run: the files and extras that it names must exist.
"""

import importlib.util
import json
import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import make_settings
import pytest
import yaml
from docs_commands import PAGES, ROOT, Command, python_blocks, typed_commands
from forked_commands import ForkedCommands
from PIL import Image
from small_language_models import make
from small_media import FEW_STEPS, tiny_models
from synthetic import write_atomic
from tiny_settings import NAVIGEN

from recbole_navigen.__main__ import main
from recbole_navigen.cli.compare import compare
from recbole_navigen.cli.convert import convert
from recbole_navigen.cli.fairness import fairness
from recbole_navigen.cli.feedback import feedback
from recbole_navigen.cli.generate import generate
from recbole_navigen.cli.hyper import hyper
from recbole_navigen.cli.recommend import recommend
from recbole_navigen.cli.serve import serve
from recbole_navigen.generation.feedback_file import add_feedback
from recbole_navigen.generation.records import InstructionRecord, write_records
from recbole_navigen.language.vocabulary import train_tokenizer

SCRIPTS = {"run_navigen.py": main, "run_compare.py": compare, "run_generate.py": generate, "run_hyper.py": hyper}
SCRIPTS |= {
    "run_convert.py": convert,
    "run_recommend.py": recommend,
    "run_serve.py": serve,
    "run_feedback.py": feedback,
    "run_fairness.py": fairness,
}
NOT_RUN = ("apt-get", "su", "python3.11", ".", "pytest", "ruff")
SHORTER = {"--epochs": "1", "--n_trials": "1", "--seeds": "1", "--n_users": "2", "--steps": "2", "steps": "2"}
ENCODER = {"hidden_size": 16, "inner_size": 16, "n_layers": 1, "n_heads": 2}
PROPERTIES = {
    "overall.yaml": {
        "show_progress": False,
        "use_gpu": False,
        "epochs": 1,
        "MAX_ITEM_LIST_LENGTH": 8,
        "state": "ERROR",
    },
    "model/NaviGen.yaml": {**NAVIGEN, "epochs": 1, "batch_items": 400, "instruction_tokens": 500},
    "model/SASRec.yaml": ENCODER,
    "dataset/ml-100k.yaml": {"item_text_fields": ["title", "genre"], "MAX_ITEM_LIST_LENGTH": 8},
    "reinforce.yaml": {"prompts": 2, "group": 2, "instruction_prompts": 1, "instruction_group": 2, "eval_prompts": 2},
    "generation.yaml": {"image_steps": 1, "video_steps": 1, "video_frames": 4, "control_users": 1}
    | {"similarity_model": "tf-idf", "fluency_model": None}
    | {"image_size": [32, 32], "video_size": [32, 32]},
    "sweep/NaviGen.yaml": {"learning_rate": [0.001, 0.002]},
    "sweep/SASRec.yaml": {"learning_rate": [0.001, 0.002]},
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a user of the documentation works."""
    folder = tmp_path_factory.mktemp("workshop")
    # 1. Data with the ids that the pages name: items 1 to 190 and user 196.
    for name in ("ml-100k", "NAME"):
        write_atomic(folder / "dataset", name, users=40, items=190)
        for file in (folder / "dataset" / name).iterdir():
            text = re.sub(r"\bu(\d+)\t", lambda found: f"{int(found[1]) + 160}\t", file.read_text())
            file.write_text(re.sub(r"\bi(\d+)\t", lambda found: f"{int(found[1]) + 1}\t", text))
    (folder / "clicks.csv").write_text("uid,sku,ts\n" + "".join(f"u{n % 3},i{n},{1600000000 + n}\n" for n in range(12)))
    (folder / "products.csv").write_text("sku,name\n" + "".join(f"i{n},Tale {n}\n" for n in range(12)))
    # 2. Small models.
    for name, values in {**PROPERTIES, "dataset/NAME.yaml": PROPERTIES["dataset/ml-100k.yaml"]}.items():
        file = folder / "properties" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(values))
    # 3. A pretrained backbone, a CLIP, pipelines and pictures.
    tokenizer = train_tokenizer(["tale of the river", "drama", "comedy night", "western space opera"], 300)
    tokenizer.save_pretrained(folder / "backbone")
    make("Llama", len(tokenizer)).save_pretrained(folder / "backbone")
    tiny_models.build(folder / "models", FEW_STEPS)
    (folder / "pictures").mkdir()
    for item in range(1, 191):
        Image.new("RGB", (40, 32), (item, 255 - item, 90)).save(folder / "pictures" / f"{item}.png")
    # 4. The files of the how-tos.
    for name in ("model", "metric"):
        (folder / f"my_{name}s.py").write_text(python_blocks()[f"docs/howto/own_{name}.md"][0])
    (folder / "my_space.yaml").write_text("bag_width: [16, 32]\n")
    # 5. Instructions that somebody wrote.
    ball = InstructionRecord("196", "image", "a red ball", "7", ("3", "9"), history_titles=("a", "b"), target_title="c")
    records = [ball, replace(ball, user="186", target="8")]
    write_records(folder / "written.jsonl", records)
    # 6. Media that were made of them, and what was said of one.
    (folder / "made").mkdir()
    write_records(folder / "made" / "instructions.jsonl", records)
    media = [{"user": one.user, "media": "image", "status": "done", "sha256": one.user} for one in records]
    (folder / "made" / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in media))
    add_feedback(folder / "made", "keep", "186")
    return folder


@pytest.fixture
def here(workshop: Path, monkeypatch: pytest.MonkeyPatch, in_this_process: list[str]) -> Path:
    monkeypatch.chdir(workshop)
    return workshop


def newest_run(model: str, **settings: Any) -> str:
    """The newest finished run of a model with these settings; it is made if there is none."""
    from recbole_navigen.quick_start import run_navigen

    for result in sorted(Path("saved").glob(f"{model}-*/result.json"), key=lambda f: f.stat().st_mtime, reverse=True):
        config = json.loads(result.read_text())["config"]
        if all(config.get(name) == value for name, value in settings.items()):
            return str(result.parent)
    return run_navigen(model, "ml-100k", config_dict=settings)["run_dir"]


def real(text: str, page: str) -> str:
    """The text with something real in place of each name that stands for something."""
    for found in set(re.findall(r"saved/(\w+)-ml-100k-\.\.\.", text)):
        own: dict[str, Any] = {"training_stages": ["align", "finetune", "write"]}  # one that also writes
        if page == "docs/pretrained.md":
            own = {"history": "tokens", "decoder": "tokens"}  # one that has a plain form
        text = text.replace(f"saved/{found}-ml-100k-...", newest_run(found, **(own if found == "NaviGen" else {})))
    text = re.sub(r"(backbone=)FOLDER_OR_HUB_ID", r"\1backbone", text)
    text = re.sub(r"\b(image|video|clip)(_model=)FOLDER\w*", r"\1\2models/\1", text)
    text = re.sub(r"(item_images=)FOLDER", r"\1pictures", text)
    text = re.sub(r"postgresql\+psycopg://[^'\s]+", "sqlite:///shared.db", text)
    text = re.sub(r"(instructions=)(?:DIR/instructions\.jsonl|FILE)", r"\1written.jsonl", text)
    return text.replace("--output=DIR", "--output=out").replace("--output=OTHER", "--output=other")


def shorter(words: list[str]) -> list[str]:
    """Arguments with shorter work; RecBole's own sets keep their names."""
    result = []
    for word in words:
        name, equals, _ = word.partition("=")
        result.append(f"{name}={SHORTER[name]}" if equals and name in SHORTER else word)
    return [re.sub(r"\bsteps: \d+", f"steps: {SHORTER['steps']}", word) for word in result]


def test_the_pages_have_commands() -> None:
    """The search finds what is there, so that no page is empty by a slip."""
    found = typed_commands()
    assert {command.page for command in found} >= {"README.md", "docs/tutorial.md", "docs/tuning.md", "docs/media.md"}
    assert len(found) >= 35 and all(command.words[0] in {*NOT_RUN, "python", "pip", "torchrun"} for command in found)


TYPED = [command for command in typed_commands() if command.words[0] in ("python", "torchrun")]


@pytest.mark.parametrize("command", [c for c in TYPED if "benchmarks/" not in c.text], ids=str)
def test_a_command_runs(
    command: Command, here: Path, capsys: pytest.CaptureFixture[str], commands: ForkedCommands
) -> None:
    words = shorter(Command(command.page, real(command.text, command.page)).words)
    if words[0] == "torchrun":
        script = str(ROOT / words[2])
        if command != next(one for one in TYPED if one.words[0] == "torchrun"):
            assert words[1] == "--nproc_per_node=2"
            ended = commands("torchrun", [script, *words[3:]], here)
            assert ended.code == 0, ended.printed
            return
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", words[1], script, *words[3:]]
        assert subprocess.run(launch, check=False).returncode == 0
        return
    assert (ROOT / words[1]).is_file()
    if "--help" in words:
        with pytest.raises(SystemExit) as ended:
            SCRIPTS[words[1]](words[2:])
        assert ended.value.code == 0 and "--key=value" in capsys.readouterr().out
        return
    if words[1] == "run_serve.py":
        pytest.importorskip("fastapi")
        words += ["--check"]
    if words[1] == "run_hyper.py":
        words.append(f"--output=sweep-{abs(hash(command))}")
    assert SCRIPTS[words[1]](words[2:]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("command", [c for c in TYPED if "benchmarks/" in c.text], ids=str)
def test_a_benchmark_has_the_options_that_are_named(
    command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script, *options = command.words[1:]
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    # In this process, which has imported all that takes long.
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    known = capsys.readouterr().out
    assert ended.value.code == 0
    for option in options:
        name = option.partition("=")[0]
        # Benchmarks of runs hand what they do not know on as settings.
        assert name in known or name == "--data_path", f"{script} has no {name}"


@pytest.mark.parametrize("command", [c for c in typed_commands() if c.words[0] == "pip"], ids=str)
def test_what_is_installed_exists(command: Command) -> None:
    setup = (ROOT / "setup.py").read_text()
    for file in re.findall(r"-r (\S+)", command.text):
        assert (ROOT / file).is_file()
    for extra in re.findall(r"\.\[(\w+)\]", command.text):
        assert f'"{extra}": [' in setup


def fixtures_of(page: str) -> dict[str, Any]:
    """What the blocks of a page take for granted."""
    if page not in ("docs/supervision.md", "docs/howto/teacher.md", "docs/howto/media_model.md", "docs/media.md"):
        return {}
    from recbole_navigen.config import Config
    from recbole_navigen.data import create_dataset, data_preparation
    from recbole_navigen.generation.settings import generation_settings
    from recbole_navigen.quick_start import Recommender
    from recbole_navigen.supervision.facts import catalogue_facts
    from recbole_navigen.supervision.planner import Planner
    from recbole_navigen.supervision.rows import samples_of

    table = Recommender.load(newest_run("NaviGen", history="pooled")).table
    if page in ("docs/media.md", "docs/howto/media_model.md"):
        texts = {f"i{number}": f"tale {number}" for number in range(10)}
        record = InstructionRecord("u1", "image", "a red star over a quiet sea", target="i7", history=("i3", "i9"))
        return {"texts": texts, "records": [record], "settings": generation_settings({})}
    config = Config("NaviGen", "ml-100k")
    dataset = create_dataset(config)
    train = data_preparation(config, dataset)[0]._dataset
    users = dataset.field2id_token["user_id"]
    planner = Planner(catalogue_facts({}, None, "film", table.terms), "film")
    sources = samples_of(train.sequences, table.terms, users, "film", "image", planner=planner)
    return {"table": table, "train": train, "user_tokens": users, "sources": sources}


@pytest.mark.parametrize("page", python_blocks())
def test_python_blocks_run(page: str, here: Path) -> None:
    names = fixtures_of(page)
    for block in python_blocks()[page]:
        text = real(block, page)
        text = re.sub(r"\b(image|clip)(_model\": )FOLDER_OR_HUB_ID", r'\1\2"models/\1"', text)
        text = text.replace("item_images(FOLDER,", 'item_images("pictures",').replace("n_trials=20", "n_trials=1")
        text = text.replace("seeds=3", "seeds=1").replace('"epochs": 10', '"epochs": 1').replace("saved/RUN", "out/RUN")
        for folder in ("navigen-ml-100k", "plain", "media"):
            shutil.rmtree(folder, ignore_errors=True)
        exec(compile(text, page, "exec"), names)


def test_the_page_of_settings_is_current() -> None:
    """Every setting of every yaml file with its default and its effect; run docs/make_settings.py after a change."""
    assert make_settings.PAGE.read_text(encoding="utf-8") == make_settings.page()
    for file in make_settings.FILES:
        settings = yaml.safe_load((ROOT / "properties" / file).read_text())
        rows = {row.name: row for row in make_settings.rows(file)}
        assert settings.keys() <= rows.keys()
        for name, value in settings.items():
            assert rows[name].help and rows[name].type, name
            assert yaml.safe_load(make_settings.shown(rows[name].default)) == value or file == "recbole.yaml", name


def test_the_site_builds(tmp_path: Path) -> None:
    """With every page in the navigation and no dead link."""
    for package in ("material", "mkdocstrings"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(ROOT / "mkdocs.yml"), "-d", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'not included in the "nav"' not in done.stderr
    for page in PAGES:
        if page.startswith("docs/") and page != "docs/index.md":
            assert (tmp_path / page.removeprefix("docs/").removesuffix(".md") / "index.html").is_file()
