"""The table of kinds: everything that makes inputs for `bad_inputs.py`."""

import itertools
from collections.abc import Callable, Iterator

from bad_input.api import call_inputs
from bad_input.commands import command_inputs
from bad_input.files import atomic_inputs
from bad_input.folders import model_inputs, run_inputs
from bad_input.good_files import good_files
from bad_input.media import media_inputs
from bad_input.settings import good_settings, settings_inputs
from bad_input.sweeps import space_inputs
from bad_input.tables import table_inputs
from bad_input.together import together_inputs
from bad_input.world import Input, World
from bad_input.yaml_files import yaml_inputs

SOURCES: tuple[Callable[[World], Iterator[Input]], ...] = (
    settings_inputs,
    good_settings,
    together_inputs,
    command_inputs,
    yaml_inputs,
    atomic_inputs,
    good_files,
    run_inputs,
    model_inputs,
    space_inputs,
    media_inputs,
    call_inputs,
    table_inputs,
)


def all_inputs(world: World) -> list[Input]:
    """Every input; names are unique within their kind."""
    inputs = list(itertools.chain.from_iterable(source(world) for source in SOURCES))
    seen: set[tuple[str, str]] = set()
    for given in inputs:
        if (given.kind, given.what) in seen:
            raise ValueError(f"{given.kind}: {given.what} is there twice")
        seen.add((given.kind, given.what))
    return inputs
