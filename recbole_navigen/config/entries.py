"""The entries of a comparison: labels, and the settings of each. No RecBole, no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from recbole_navigen.config.checking import refuse_unknown
from recbole_navigen.config.given import Given, gather
from recbole_navigen.config.own_code import own_model, spelled_model
from recbole_navigen.config.reading import parse_argv, read_settings
from recbole_navigen.errors import InputError

SECTION = "models"  # of config files: label -> settings of its own


def gather_entries(
    models: Sequence[str] | None,
    dataset: str | None,
    files: Sequence[str],
    config_dict: Mapping[str, Any],
    argv: Sequence[str],
) -> list[tuple[str, Given, dict[str, Any]]]:
    """Read and check what is to be compared; arguments as of `run_compare`.

    Returns:
        For each entry its label, its settings, and what stands above config files for it alone.
    """
    sections: dict[str, Any] = {}
    for settings in (*map(read_settings, files), config_dict):
        section = settings.get(SECTION) or {}
        if not isinstance(section, dict) or not all(isinstance(entry, dict | None) for entry in section.values()):
            raise InputError(f"the section `{SECTION}` must hold lines of `LABEL: {{key: value}}`, not {section!r}")
        sections.update(section)
    labels = list(models or sections)
    if not labels:
        raise InputError("name what to compare: --models=Pop,SASRec,NaviGen, or a section `models` in a config file")
    if len(set(labels)) < len(labels):
        raise InputError(f"--models={','.join(labels)} names a model twice; keep one")
    line = parse_argv(argv)
    if "model" in line:
        raise InputError("--model names one model; a comparison takes --models=NAME,NAME")
    shared = {key: value for key, value in config_dict.items() if key != SECTION}
    # What only models in files of the user's read is known before the first entry is checked.
    for spelled in filter(None, (spelled_model((sections.get(label) or {}).get("model", label)) for label in labels)):
        own_model(*spelled)
    entries = []
    for label in labels:
        model_settings = dict(sections.get(label) or {})
        model = model_settings.pop("model", label)
        if "seed" in model_settings:
            raise InputError(f"{SECTION}: {label}: seed is the same for all models; use --seeds")
        gathered = gather(model, dataset, files, {**shared, **model_settings}, argv, comparison=True)
        refuse_unknown(
            model_settings, {*gathered.described, *gathered.internal}, f"of {label} in the section {SECTION}"
        )
        if spelled_model(model):
            model_settings["model_file"] = gathered["model_file"]
        entries.append((gathered.model if label == model else label, gathered, {**shared, **model_settings}))
    labels = [label for label, *_ in entries]
    if len(set(labels)) < len(labels):
        raise InputError(
            f"two models are called {max(labels, key=labels.count)}; name one of them in a section {SECTION}"
        )
    known = {name for _, gathered, _ in entries for name in (*gathered.described, *gathered.internal)}
    refuse_unknown(line, known, f"on the command line for {', '.join(labels)}")
    return entries
