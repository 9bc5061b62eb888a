"""Search spaces: what is read, what is refused, and that nothing is evaluated."""

import math
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_navigen.config.reading import properties_folders, read_settings
from recbole_navigen.errors import InputError
from recbole_navigen.tuning.search_space import Parameter, defaults, label, nested, read_space, refuse_unfit


def space_of(text: str) -> dict[str, Parameter]:
    Path("space.yaml").write_text(text)
    return {parameter.name: parameter for parameter in read_space("space.yaml")}


def test_yaml() -> None:
    space = space_of(
        "lr: {type: float, low: 1e-4, high: 1e-2, log: true}\n"
        "layers: {type: int, low: 1, high: 6, step: 2}\n"
        "sizes: [[64, 64], [128], ~, true, 1]\n"
        "kind: {type: choice, values: [a, b]}\n"
    )
    assert space["lr"] == Parameter("lr", "float", 1e-4, 1e-2, None, True)
    assert space["layers"].grid() == [1, 3, 5]
    assert space["sizes"].values == ([64, 64], [128], None, True, 1)
    assert space["kind"].values == ("a", "b")


def test_recboles_format() -> None:
    """The file of RecBole's own documentation, and its quoted lists."""
    space = space_of(
        "learning_rate loguniform -8,0\n\n# a comment\nembedding_size choice [64,96 , 128]\n"
        "train_batch_size quniform 512,2048,512\ndropout uniform 0.0, 0.5\nmlp_hidden_size choice ['[64,64]','[128]']\n"
        "flag choice [True,False,None]\n"
    )
    assert math.isclose(space["learning_rate"].low, math.exp(-8)) and space["learning_rate"].high == 1.0
    assert space["learning_rate"].log and space["embedding_size"].values == (64, 96, 128)
    assert space["train_batch_size"].kind == "int" and space["train_batch_size"].grid() == [512, 1024, 1536, 2048]
    assert (space["dropout"].low, space["dropout"].high) == (0.0, 0.5)
    assert space["mlp_hidden_size"].values == ([64, 64], [128]) and space["flag"].values == (True, False, None)
    # RecBole evaluates this line as Python.
    assert space_of("a choice [__import__('os').abort()]")["a"].values == ("__import__('os').abort()",)


@pytest.mark.parametrize(
    ("line", "grid"),
    [
        ("quniform 1,10,4", [0, 4, 8]),
        ("quniform 2,6,4", [4]),
        ("quniform 0.5,2.5,1", [1, 2]),
        ("quniform 0.05,0.32,0.1", [0.1, 0.2, 0.3]),
        ("choice [(64,64),(128,)]", ["[64, 64]", "[128]"]),
        ("choice ['(64,64)', None]", ["[64, 64]", None]),
        ("choice [relu, 1e-3]", ["relu", 0.001]),
    ],
)
def test_recboles_lines_mean_what_they_mean_there(line: str, grid: list) -> None:
    """quniform draws multiples of its step, and choices are Python."""
    assert space_of(f"a {line}")["a"].grid() == (pytest.approx(grid) if "quniform" in line else grid)


@pytest.mark.parametrize("bounds", [(1, 10, 4), (0.3, 7.2, 0.5), (16, 100, 24)])
def test_quniform_holds_what_hyperopt_draws(bounds: tuple[float, float, float]) -> None:
    low, high, step = bounds
    (space,) = space_of(f"a quniform {low},{high},{step}").values()
    inside = [low + (high - low) * (count + 0.5) / 997 for count in range(997)]
    assert {round(value / step) * step for value in inside} == set(space.grid())


def test_choices_of_intervals_stay_text() -> None:
    (space,) = space_of("user_inter_num_interval choice ['[0,3]', '[0,inf)']").values()
    assert space.values == ("[0,3]", "[0,inf)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no setting"),
        ("a: 3", "a is 3, which is nothing to search; write"),
        ("a: []", "needs a list of at least one value"),
        ("a: {type: real, low: 1, high: 2}", "use float, int or choice"),
        ("a: {type: float, low: 1, hihg: 2}", "unknown `hihg`; the nearest is `high`"),
        ("a: {type: float, low: 1}", "a has no `high`"),
        ("a: {type: float, low: 2, high: 1}", "low 2 above high 1"),
        ("a: {type: float, low: x, high: 1}", "low 'x', which is no number"),
        ("a: {type: int, low: 0.5, high: 1}", "an int takes whole numbers"),
        ("a: {type: float, low: 0, high: 1, log: true}", "low above zero"),
        ("a: {type: float, low: 0, high: 1, log: 1}", "it is true or false"),
        ("a: {type: int, low: 0, high: 4, step: 0}", "step 0; it must be above zero"),
        ("a: [1, 2, 1]", "lists 1 twice"),
        ("a choice [1,2]\na uniform 0,1", "names a twice"),
        ("a uniform 0,1\nb triangular 0,1", "line 2: `b triangular 0,1` was not understood"),
        ("a uniform 0,1,2", "takes 2 numbers"),
        ("a choice 5", "needs a list"),
        ("a quniform 0,4,0", "step 0; it must be above zero"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        space_of(text)
    assert "space.yaml" in str(raised.value) or "--a=" in str(raised.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml is not a file"):
        read_space("nowhere.yaml")


values = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text("ab", max_size=2), st.lists(st.integers(0, 3)))


@given(
    choices=st.lists(values, min_size=1, max_size=5, unique_by=lambda value: (type(value), str(value))), data=st.data()
)
def test_choices_come_back_as_they_were(choices: list, data: st.DataObject) -> None:
    """Optuna stores plain values only; lists, None, True beside 1 must not be confused on the way."""
    parameter = Parameter("a", "choice", values=tuple(choices))
    wanted = data.draw(st.sampled_from(choices))
    found = parameter.suggest(optuna.trial.FixedTrial({"a": label(wanted)}))
    assert found == wanted and type(found) is type(wanted)
    assert parameter.holds(wanted) and not parameter.holds("no such value")


@given(
    low=st.integers(-20, 20), count=st.integers(0, 12), step=st.integers(1, 5), kind=st.sampled_from(["int", "float"])
)
def test_a_grid_is_what_the_space_holds(low: int, count: int, step: int, kind: str) -> None:
    parameter = Parameter("a", kind, low, low + count * step, step)
    grid = parameter.grid()
    assert len(grid) == count + 1 and all(map(parameter.holds, grid))
    assert not parameter.holds(low - step) and not parameter.holds(low + count * step + step)
    assert step == 1 or count == 0 or not parameter.holds(low + 1)


def test_a_continuous_setting_has_no_grid() -> None:
    with pytest.raises(InputError, match="continuous; give it a step or values"):
        Parameter("a", "float", 0.0, 1.0).grid()


def test_dots_change_one_entry() -> None:
    base = {"weights": {"x": 1.0, "y": {"z": 2}}, "a": 3}
    assert nested({"weights.y.z": 5, "weights.x": 0, "a": 4}, base) == {"weights": {"x": 0, "y": {"z": 5}}, "a": 4}
    assert base["weights"] == {"x": 1.0, "y": {"z": 2}}
    space = (Parameter("weights.y.z", "int", 1, 3), Parameter("a", "choice", values=(1, 2)))
    refuse_unfit(space, base, {}, "space.yaml")
    assert defaults(space, base) == {"weights.y.z": 2}
    with pytest.raises(InputError, match=r"a is searched in space\.yaml and fixed as 3 at once"):
        refuse_unfit(space, base, {"a": 3}, "space.yaml")
    with pytest.raises(InputError, match="weights has no entry `q`; it has x, y"):
        refuse_unfit((Parameter("weights.q", "int", 1, 2),), base, {}, "space.yaml")


def test_settings_with_a_file_of_their_own() -> None:
    """A run names only what it changes in them; the rest, and what there is, stands in properties/NAME.yaml."""
    file = read_settings(properties_folders()[0] / "reinforce.yaml")
    space = space_of("reinforce.steps: [50, 100]\nsupervision.domains.ml-100k: [video, game]\n").values()
    base = {"reinforce": {"group": file["group"] + 1}, "supervision": {}}
    refuse_unfit(space, base, {"reinforce": base["reinforce"]}, "space.yaml")
    found = nested({"reinforce.steps": 50, "supervision.domains.ml-100k": "game"}, base)
    assert found["reinforce"] == {"group": file["group"] + 1, "steps": 50}
    domains = read_settings(properties_folders()[0] / "supervision.yaml")["domains"]
    assert found["supervision"] == {"domains": {**domains, "ml-100k": "game"}}
    assert defaults((Parameter("reinforce.steps", "int", 1, 10_000),), base) == {"reinforce.steps": file["steps"]}
    with pytest.raises(InputError, match=r"reinforce has no entry `stepps`; it has tasks, reward"):
        refuse_unfit((Parameter("reinforce.stepps", "int", 1, 2),), base, {}, "space.yaml")


def test_what_a_pretrained_backbone_brings_along_is_not_searched() -> None:
    space, base = (Parameter("n_layers", "int", 1, 3),), {"n_layers": 2, "backbone": "scratch"}
    refuse_unfit(space, base, {}, "space.yaml")
    with pytest.raises(InputError, match=r"n_layers is searched in space\.yaml and would change nothing"):
        refuse_unfit(space, {**base, "backbone": "models/qwen"}, {}, "space.yaml")


def test_the_shipped_spaces_hold_the_defaults() -> None:
    """So that the first trial is the run without a sweep."""
    from recbole_navigen.config import Config

    for file in (properties_folders()[0] / "sweep").glob("*.yaml"):
        config, space = Config(file.stem), read_space(file)
        refuse_unfit(space, config, {}, str(file))
        missing = {parameter.name for parameter in space} - set(defaults(space, config))
        assert not missing, (file.stem, missing)
