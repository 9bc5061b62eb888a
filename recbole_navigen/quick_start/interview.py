"""Questions in a terminal, one after another: each is chosen after the answer to the one before."""

from collections.abc import Sequence

from rich.console import Console

from recbole_navigen.errors import InputError
from recbole_navigen.serving.preferences import Preferences
from recbole_navigen.serving.questions import SKIP, Question
from recbole_navigen.serving.recommender import Recommender
from recbole_navigen.visible import visible


def interview(
    recommender: Recommender, history: Sequence[str], stated: Preferences | None, count: int, about: str
) -> Preferences:
    """Ask somebody, and return what they state, with what they had stated before.

    Args:
        recommender: knows what to ask. history: raw item ids. stated: preferences so far.
        count: questions at most. about: see `Recommender.ask`.

    Answers are lines of the standard input, or how they begin; an empty one skips a question, and the end of the input
    ends the interview.
    """
    console, stated, asked = Console(highlight=False), stated or Preferences(), []
    while len(asked) < count:
        questions = recommender.ask(history, stated, 1, about, asked)
        if not questions:
            console.print("no further question would tell anything", soft_wrap=True)
            break
        question = questions[0]
        asked.append(question)
        console.print(visible(f"{len(asked)}. {question.text}"), markup=False, soft_wrap=True)
        console.print(visible(f"   ({question.reason})"), markup=False, style="dim", soft_wrap=True)
        said = _answer(console, question)
        if said is None:
            break
        stated = stated + said
    if stated:
        console.print(visible(f'what is known now: --preferences="{stated}"'), markup=False, soft_wrap=True)
    return stated


def _answer(console: Console, question: Question) -> Preferences | None:
    """What an answer states; None at the end of the input."""
    while True:
        console.print(f"   {', '.join(question.answers)}: ", end="", markup=False)
        try:
            said = input()
        except EOFError:
            console.print()
            return None
        try:
            return question.preferences(said.strip() or SKIP)
        except InputError as error:
            console.print(f"   {visible(str(error))}", markup=False, soft_wrap=True)
