"""`show_facts`: what the teacher and the writer of instructions know of a data set's items."""

import random
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from recbole_navigen.config import Config
from recbole_navigen.config.calls import SETTINGS, checks
from recbole_navigen.data import create_dataset, read_item_text
from recbole_navigen.supervision.dataset_facts import facts_of
from recbole_navigen.supervision.facts import ItemFacts, facts_report
from recbole_navigen.visible import visible


@checks(**SETTINGS, count="int from 1", seed="int")
def show_facts(
    dataset: str | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: dict[str, Any] | None = None,
    argv: Sequence[str] = (),
    count: int = 20,
    seed: int = 0,
) -> tuple[ItemFacts, ...]:
    """Print the facts of some items of a data set, and how many items have any.

    Args:
        dataset, config_file_list, config_dict, argv: settings as `run_navigen` takes them.
        count: how many items are printed, drawn by `seed`, in the order of the data.

    Returns:
        The facts of all items, by item index, N.
    """
    config = Config("NaviGen", dataset, config_file_list, config_dict, argv)
    data = create_dataset(config)
    texts = read_item_text(config, data).text[1:]
    facts = facts_of(config, data)
    console = Console(highlight=False)
    for item in sorted(random.Random(seed).sample(range(len(facts)), min(count, len(facts)))):
        fact = facts[item]
        about = ", ".join([*fact.kinds, *filter(None, [fact.machine]), *["literal"] * fact.literal]) or "nothing"
        console.print(visible(texts[item]), markup=False, soft_wrap=True)
        console.print(
            f"    {visible(fact.name) or '(no name)'}: {about}  [{fact.source}]", markup=False, soft_wrap=True
        )
    report = facts_report(facts)
    console.print(
        f"{report['items']} items: {report['by_text']} have kinds by their text, {report['by_terms']} by their terms, "
        f"{report['without']} have none; {report['nameless']} have no name.",
        markup=False,
        soft_wrap=True,
    )
    return facts
