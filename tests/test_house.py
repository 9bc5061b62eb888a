"""The floor plan: who may import whom, no circles, no large files, and a page that shows the rooms there are."""

import ast
import re
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
from places import PACKAGE, ROOT

# What each room may import beside itself and the ground floor. The order is that of the house, from below.
# `ground` are the modules directly in the package, but for the command of `python -m`.
PLAN: dict[str, tuple[str, ...]] = {
    "ground": (),
    "config": (),
    "data": ("config",),
    "conversion": ("config", "data"),
    "identifiers": ("config",),
    "encoders": (),
    "language": ("identifiers",),
    "supervision": ("config", "data", "identifiers", "language"),
    "network": ("identifiers", "language"),
    "model": ("identifiers", "language", "network", "supervision"),
    "training": ("config", "data", "language", "network", "model", "supervision"),
    "baselines": ("config", "data", "identifiers", "encoders", "language", "network", "training"),
    "reinforcement": ("config", "data", "language", "network", "model", "supervision", "training"),
    "evaluation": ("data", "encoders", "language", "supervision"),
    "presentation": ("evaluation",),
    "runs": (
        *("config", "data", "encoders", "identifiers", "language", "supervision", "network", "model", "training"),
        *("reinforcement", "evaluation", "presentation"),
    ),
    "serving": (
        *("config", "data", "identifiers", "encoders", "language", "supervision", "network", "model", "training"),
        *("presentation", "runs"),
    ),
    "pipeline": (
        *("config", "data", "identifiers", "encoders", "language", "supervision", "network", "model", "training"),
        *("baselines", "reinforcement", "evaluation", "presentation", "runs", "serving"),
    ),
    "generation": (
        *("config", "encoders", "language", "supervision", "evaluation", "presentation", "runs", "serving"),
    ),
    "comparison": ("evaluation", "presentation", "runs"),
    "tuning": ("config", "presentation"),
    "quick_start": (
        *("config", "data", "language", "supervision", "training", "evaluation", "runs", "serving", "pipeline"),
        *("generation", "presentation", "comparison", "tuning"),
    ),
    "cli": ("config", "conversion", "language", "runs", "generation", "tuning", "quick_start"),
}
LONGEST = 400  # lines
# Files that have the same role in each room.
ROLES = {"__init__.py", "settings.py", "page.py", "interfaces.py"}
# A command and what it runs, in `cli` and in `quick_start`.
COMMANDS = {"compare.py", "generate.py", "hyper.py", "recommend.py", "serve.py"}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name, without that of the package."""
    names = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return names


MODULES = modules()


def face(name: str) -> dict[str, str]:
    """Where the names of a room's face stand: name -> module."""
    tree = ast.parse((PACKAGE / name / "__init__.py").read_text("utf-8"))
    (table,) = (node for node in ast.walk(tree) if isinstance(node, ast.Dict))
    homes = {each: module for module, names in ast.literal_eval(table).items() for each in names.split()}
    return {each: module[1:] if module[0] == "." else f"{name}.{module}" for each, module in homes.items()}


FACES = {name: face(name) for name in PLAN if name not in ("ground", "cli", "data")}  # `data` loads what it shows


def room(module: str) -> str:
    """The room of a module."""
    if module == "__main__":
        return "cli"
    first = module.partition(".")[0]
    return first if first and (PACKAGE / first).is_dir() else "ground"


def imports(file: Path) -> set[str]:
    """Modules of the package that a file imports anywhere, also in its functions."""
    reached = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            reached |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("recbole_navigen"):
            own = node.module.partition(".")[2]
            inner = {f"{own}.{alias.name}".strip(".") for alias in node.names}
            found = inner & MODULES.keys()
            reached |= {f"recbole_navigen.{name}" for name in found}
            faced = {alias.name for alias in node.names} & FACES.get(own, {}).keys()
            reached |= {f"recbole_navigen.{FACES[own][name]}" for name in faced}
            if len(found) + len(faced) < len(inner):
                reached.add(node.module)
    prefix = "recbole_navigen."
    return {name.removeprefix(prefix) for name in reached if name.startswith(prefix)}


@pytest.mark.parametrize("name", sorted(PLAN))
def test_a_room_imports_what_the_plan_allows(name: str) -> None:
    allowed = {"ground", name, *PLAN[name]}
    wrong = [
        f"{module} imports {other}"
        for module, file in MODULES.items()
        if room(module) == name
        for other in imports(file)
        if room(other) not in allowed
    ]
    assert not wrong


def test_the_plan_has_every_room_and_no_circle() -> None:
    assert {room(module) for module in MODULES} == set(PLAN)
    below: set[str] = set()
    for name, allowed in PLAN.items():
        assert set(allowed) <= below, f"{name} imports a room above it"
        below.add(name)


def test_no_two_modules_import_each_other() -> None:
    """Imports for types alone do not count: they are never made."""
    arrows = {module: imports(file) for module, file in MODULES.items()}
    typing_only = re.compile(r"^if TYPE_CHECKING:\n((?: .*\n|\n)+)", re.MULTILINE)
    for module, file in MODULES.items():
        for block in typing_only.findall(file.read_text("utf-8")):
            for name in re.findall(r"from recbole_navigen\.([\w.]+) import", block):
                arrows[module].discard(name)
    state: dict[str, int] = {}

    def visit(module: str, way: list[str]) -> None:
        if state.get(module) == 2:
            return
        assert state.get(module) != 1, f"a circle: {' -> '.join([*way, module])}"
        state[module] = 1
        for other in sorted(arrows.get(module, ())):
            visit(other, [*way, module])
        state[module] = 2

    for module in arrows:
        visit(module, [])


def test_each_room_has_a_face_that_loads_nothing() -> None:
    for name, homes in FACES.items():
        package = import_module(f"recbole_navigen.{name}")
        assert package.__all__ == list(homes) and dir(package) == sorted(homes)
        for each in package.__all__:
            assert getattr(package, each) is getattr(import_module(f"recbole_navigen.{homes[each]}"), each)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018
    rooms = ", ".join(f"recbole_navigen.{name}" for name in FACES)
    code = f"import sys, {rooms}; print({{'torch', 'numpy', 'recbole'}} & sys.modules.keys())"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"


def test_no_file_is_too_long() -> None:
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    long = {str(file.relative_to(ROOT)): len(file.read_text("utf-8").splitlines()) for file in files}
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}


def test_rooms_of_the_benchmarks_import_no_script() -> None:
    """A script stands in `benchmarks` and imports what it will; what several share lies in a room below."""
    scripts = {file.stem for file in (ROOT / "benchmarks").glob("*.py")}
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in (ROOT / "benchmarks").glob("*/*.py")
        for name in re.findall(r"^\s*(?:from|import) (\w+)\b", file.read_text("utf-8"), re.MULTILINE)
        if name in scripts
    ]
    assert not wrong


def test_no_two_rooms_have_a_file_of_the_same_name() -> None:
    files = [file for file in PACKAGE.rglob("*.py") if file.name not in ROLES]
    names = Counter(file.name for file in files if file.parent.name != "cli" or file.name not in COMMANDS)
    assert [name for name, count in names.items() if count > 1] == []


def test_the_page_of_the_architecture_shows_the_rooms_there_are() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    shown = re.findall(r"^\| `recbole_navigen/(\w+)` \|", page, re.MULTILINE)
    assert shown == [name for name in PLAN if name != "ground"]


def test_tests_stand_in_the_rooms_of_the_code() -> None:
    """Beside the rooms there are benchmarks, docs, the ground floor and what tests share; no test imports another."""
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= {*PLAN, "benchmarks", "docs", "support"}
    for file in (ROOT / "tests").rglob("test_*.py"):
        assert not re.search(r"^\s*(from|import) test_\w+", file.read_text("utf-8"), re.MULTILINE), file


def test_the_picture_of_the_rooms_is_that_of_the_plan() -> None:
    import make_architecture

    assert make_architecture.plan() == PLAN
    assert make_architecture.FILE.read_text("utf-8") == make_architecture.svg(PLAN)
