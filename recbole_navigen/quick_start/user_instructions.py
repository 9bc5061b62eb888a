"""What a run writes for its users, as records, and what a terminal shows of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from recbole_navigen.bars import tqdm
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.quick_start.recommend import SOMEBODY
from recbole_navigen.serving.answers import Instruction
from recbole_navigen.serving.contexts import thought_with
from recbole_navigen.serving.preferences import Preferences
from recbole_navigen.serving.recommender import Recommender
from recbole_navigen.visible import visible

if TYPE_CHECKING:
    from recbole_navigen.generation.media_head import MediaHead
    from recbole_navigen.generation.user_pictures import PictureContext

SHOWN_HISTORY = 5
USERS_AT_ONCE = 64  # between two movements of the progress bar


def user_instructions(
    recommender: Recommender,
    users: Sequence[str],
    kinds: Sequence[str],
    held_out: bool,
    head: "MediaHead | None",
    said: Sequence[Preferences],
    draws: Mapping[str, Any],
    progress: bool,
) -> list[InstructionRecord]:
    """What a run writes for some users.

    Args:
        recommender: of the run. users: raw ids. kinds: of media, one a user.
        held_out: whether the last item is kept out. head: knows the pictures of users; None: there are none.
        said: preferences, one a user. draws: arguments of `Recommender.instruct`. progress: whether a bar is shown.
    """
    records: list[InstructionRecord] = []
    with tqdm(total=len(users), desc="instructions", ncols=100, disable=not progress) as bar:
        for begin in range(0, len(users), USERS_AT_ONCE):
            part = slice(begin, begin + USERS_AT_ONCE)
            whole = [[] if user == SOMEBODY else recommender.history_of(user) for user in users[part]]
            histories = [history[:-1] if held_out else history for history in whole]
            contexts = (
                {} if head is None else head.contexts(recommender, dict(zip(users[part], histories, strict=True)))
            )
            items = [[contexts[user].item] if user in contexts else [] for user in users[part]]
            read = [[*history, *own] for history, own in zip(histories, items, strict=True)]
            written = recommender.instruct(read, kinds[part], preferences=said[part], **draws)
            rows = zip(users[part], histories, whole, said[part], written, strict=True)
            for user, history, all_items, taste, instruction in rows:
                target = all_items[-1] if held_out else None
                records.append(_record(recommender, user, history, target, taste, instruction, contexts.get(user)))
            bar.update(len(written))
    return records


def _record(
    recommender: Recommender,
    user: str,
    history: list[str],
    target: str | None,
    said: Preferences,
    written: Instruction,
    pictures: "PictureContext | None",
) -> InstructionRecord:
    titles, aim = recommender.titles, written.aim
    more = {"preferences": dict(said.weights)} if said else {}
    more |= {} if pictures is None else pictures.more
    more |= {} if written.calibration is None else {"calibration": asdict(written.calibration)}
    return InstructionRecord(
        user,
        written.media,
        written.instruction,
        target=target,
        history=tuple(history),
        reasoning=thought_with(written.reasoning, Preferences(), () if pictures is None else pictures.terms),
        aim=aim.item,
        aim_terms=aim.terms,
        aim_probability=aim.probability,
        terms=written.terms,
        plan=written.plan,
        domain=written.domain,
        history_titles=tuple(titles[item] for item in history),
        target_title=None if target is None else titles[target],
        aim_title=titles[aim.item],
        answer=written.answer,
        more=more,
    )


def show_records(records: Sequence[InstructionRecord]) -> None:
    """Print users in words. Titles are printed as Text: square brackets in them are not markup."""
    console = Console(highlight=False)
    for record in records:
        titles = (record.history_titles or record.history)[-SHOWN_HISTORY:]
        earlier = len(record.history) - len(titles)
        lines = [f"User {record.user}" + (f"  ({earlier} items before)" if earlier else "")]
        lines += [f"  read    {title}" for title in titles]
        if record.aim is not None:
            chance = "" if record.aim_probability is None else f"  ({record.aim_probability:.1%})"
            lines.append(f"  for     {record.aim_title or record.aim}{chance}")
            lines.append(f"          {', '.join(record.aim_terms)}")
        if record.reasoning:
            lines.append(f"  thinks  {record.reasoning}")
        if record.terms:
            lines.append(f"  terms   {', '.join(record.terms)}")
        lines.append(f"  {record.media}   {record.instruction}")
        console.print(Text("\n".join(map(visible, lines)) + "\n"), soft_wrap=True)
