"""What users said of their media as something to learn from: edits as rows of supervision, and preferences as pairs.

    loss = mean over pairs of  -log sigmoid(BETA (r(accepted) - r(rejected)))
           + mean over edits of  -log p(edited) / tokens,          r(y) = log p(y) - log p_start(y)

The first part is direct preference optimisation (Rafailov et al., 2023, arXiv:2305.18290). An edit is preferred to the
text that it replaced, at the same place. What was discarded is set against what the same user kept or edited; of a user
who did neither, against what another one did. Of each answer only the instruction counts: its terms were given to it.

A writer of free text says its terms, and a text that says others than were asked for must not teach it to say what it
likes. So an edit stands behind the terms that it says, and both texts of a pair stand at the place of the accepted one.

Symbols: M answers, A tokens of all answers.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recbole_navigen.data.sequences import padded
from recbole_navigen.language.answer_grammar import MAX_TERMS
from recbole_navigen.language.choices import Choices
from recbole_navigen.language.rendering import Origin, Rendered
from recbole_navigen.language.vocabulary import INSTRUCTION
from recbole_navigen.model.author import Author
from recbole_navigen.network.text_model import TextModel
from recbole_navigen.supervision.feedback_lines import CHANGED, stated_terms
from recbole_navigen.supervision.plans import Brief
from recbole_navigen.supervision.template.lexicons import phrase_words

BETA = 0.1  # of the paper
HELD_OUT = 0.25  # of the users, whose feedback is kept from all learning


@dataclass(frozen=True)
class JudgedAnswer:
    """One instruction that a user judged, where it was written.

    Attributes:
        user: raw id. history: internal item ids that were read, the oldest first. item: internal id of what it is for,
            0 for none. tags: domain and medium.
        tokens: of the answer. options: of a plan, what each token was chosen from; None for free text.
        terms, text: of free text; what it is for, and what it says.
    """

    user: str
    history: tuple[int, ...]
    item: int
    tags: tuple[str, str]
    tokens: list[int]
    options: list[list[int]] | None
    terms: tuple[str, ...] = ()
    text: str = ""


@dataclass
class Feedback:
    """What there is to learn from some users.

    Attributes:
        pairs: what was accepted, and what was rejected. edits: the accepted ones that somebody wrote.
        left_out: reason -> lines that cannot be learned from.
    """

    pairs: list[tuple[JudgedAnswer, JudgedAnswer]] = field(default_factory=list)
    edits: list[JudgedAnswer] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def split_users(lines: Sequence[Mapping[str, Any]], share: float, seed: int) -> tuple[list, list]:
    """Lines of feedback to learn from, and those of a share of the users, at least one, for validation."""
    users = sorted({line["user"] for line in lines})
    order = np.random.default_rng(seed).permutation(len(users))
    held = {users[place] for place in order[: max(1, round(share * len(users)))]}
    return [line for line in lines if line["user"] not in held], [line for line in lines if line["user"] in held]


def feedback_of(
    author: Author,
    item_tokens: Sequence[str],
    known: Sequence[str],
    lines: Sequence[Mapping[str, Any]],
    seed: int,
) -> Feedback:
    """Lines of feedback as pairs and edits.

    Args:
        author: whose instructions were judged. item_tokens: raw ids by item index. known: terms of the catalogue.
        lines: from `read_feedback`. seed: draws whom a discarded answer is set against.
    """
    feedback, index = Feedback(), {token: place + 1 for place, token in enumerate(item_tokens)}
    accepted: dict[str, list[JudgedAnswer]] = {}
    discarded = []
    for line in lines:
        place = _place(author, index, line)
        if isinstance(place, str):
            feedback.left_out[place] += 1
            continue
        before, edited = _answers(author, line, place, known)
        if before is None:
            feedback.left_out["too long, or without terms"] += 1
        elif line["verdict"] == "discard":
            discarded.append(before)
        elif line["verdict"] == "keep":
            accepted.setdefault(before.tags[1], []).append(before)
        elif edited is None:
            feedback.left_out["the edit is what no plan can say, or too long"] += 1
        else:
            feedback.pairs.append((edited, _beside(author, before, edited)))
            feedback.edits.append(edited)
            accepted.setdefault(edited.tags[1], []).append(edited)
    draws = np.random.default_rng(seed)
    for answer in discarded:
        others = accepted.get(answer.tags[1], [])
        own = [other for other in others if other.user == answer.user]
        if own:
            feedback.pairs.append((own[-1], _beside(author, answer, own[-1])))
        elif others:
            other = others[draws.integers(len(others))]
            feedback.pairs.append((other, _beside(author, answer, other)))
        else:
            feedback.left_out["discarded, and nothing was kept"] += 1
    return feedback


def _place(author: Author, index: Mapping[str, int], line: Mapping[str, Any]) -> tuple[list[int], int] | str:
    """History and item of a line as internal ids; or why it has no place."""
    if not line.get("instruction") or "history" not in line or line.get("domain") is None:
        return "of an earlier version, without its history"
    history = [index[item] for item in line["history"] if item in index]
    item = index.get(line["aim"], 0)
    if not history or (not item and (author.settings["choose_item"] or author.planner is not None)):
        return "of items that the run does not have"
    return history[-author.settings["MAX_ITEM_LIST_LENGTH"] :], item


def _answers(
    author: Author, line: Mapping[str, Any], place: tuple[list[int], int], known: Sequence[str]
) -> tuple[JudgedAnswer | None, JudgedAnswer | None]:
    """The answer that was judged, and what it was edited to; None for what the author could not have written.

    known: terms of the catalogue.
    """
    renderer, (history, item) = author.renderer, place
    terms = tuple(line["terms"][:MAX_TERMS])
    texts = [line["instruction"], line["edited"]]
    about = [terms, _edited_terms(terms, stated_terms(line, known)) if texts[1] else terms]
    spelt: list[tuple[list[int], list[list[int]] | None] | None] = [None, None]
    if author.planner is None:
        for number, text in enumerate(texts):
            tokens = renderer.answer(about[number], text) if text and about[number] else None
            if tokens is not None and renderer.grammar.accepts([tokens])[0]:
                spelt[number] = tokens, None
    elif line.get("plan"):
        items = [each - 1 for each in history]
        brief = author.planner.training_brief(items, item - 1, line["media"], terms)
        plan = brief.fitted(line["plan"], lambda phrases: phrases[0])
        plans = [plan, None if texts[1] is None else edited_plan(brief, plan, texts[1])]
        for number, each in enumerate(plans):
            if each is not None and (number == 0 or each != plan):
                choices = Choices(renderer.vocabulary, brief, renderer.answer_terms(terms), False, {})
                spelt[number] = choices.spell(each)
    tags = (line["domain"], line["media"])
    before, edited = (
        None
        if pair is None
        else JudgedAnswer(line["user"], tuple(history), item, tags, *pair, about[number], texts[number])
        for number, pair in enumerate(spelt)
    )
    return before, edited


def _edited_terms(terms: Sequence[str], said: Mapping[str, float]) -> tuple[str, ...]:
    """What an edited text is for: terms that it takes away give their places to those that it brings in.

    said: from `stated_terms`.
    """
    new = [term for term, weight in said.items() if weight == CHANGED and term not in terms]
    about = []
    for term in terms:
        if said.get(term, 0.0) >= 0:
            about.append(term)
        elif new:
            about.append(new.pop(0))
    return tuple([*about, *new][:MAX_TERMS])


def _beside(author: Author, rejected: JudgedAnswer, accepted: JudgedAnswer) -> JudgedAnswer:
    """A rejected answer at the place of the accepted one; a plan, which has other choices there, stays at its own."""
    if rejected.options is not None:
        return rejected
    tokens = author.renderer.answer(accepted.terms, rejected.text)
    return dataclasses.replace(accepted, user=rejected.user, tokens=tokens, text=rejected.text)


def edited_plan(brief: Brief, plan: Mapping[str, str], text: str) -> dict[str, str]:
    """The plan that comes nearest to an edited text: of each aspect the longest candidate whose words the text has, and
    what was planned where it has none.
    """
    said, fitted = phrase_words(text), {}
    for aspect in (*brief.aspects, *brief.thoughts):
        candidates = brief.candidates(aspect, fitted)
        named = [phrase for phrase in candidates if phrase_words(phrase) and phrase_words(phrase) <= said]
        kept = plan[aspect] if plan.get(aspect) in candidates else candidates[0]
        fitted[aspect] = max(named, key=len, default=kept) if aspect not in brief.thoughts else kept
    return fitted


def rendered_answers(author: Author, answers: Sequence[JudgedAnswer]) -> Rendered:
    """Answers behind their prompts as streams, M rows."""
    histories, lengths = padded([answer.history for answer in answers])
    chosen = torch.tensor([answer.item for answer in answers]) if author.settings["choose_item"] else None
    options = None if author.planner is None else [answer.options for answer in answers]
    return author.renderer.cid2ins(
        histories, lengths, [answer.tags for answer in answers], chosen, [answer.tokens for answer in answers], options
    )


def answer_log_probs(author: Author, model: TextModel, answers: Sequence[JudgedAnswer]) -> tuple[Tensor, Tensor]:
    """Log-probability of each answer's instruction, and how many tokens of it were chosen, at least 1. (M,), (M,).

    model: the author's, or a copy of it.
    """
    rendered = rendered_answers(author, answers).to(model.special_rows.device)
    begun = (rendered.tokens == author.renderer.vocabulary.special(INSTRUCTION)).cumsum(dim=1) > 0
    target = rendered.origin[:, 1:] == Origin.TARGET
    owner = target.nonzero()[:, 0]
    counted = begun[:, :-1][target].float()  # INSTRUCTION itself ends the terms
    values = model.written_log_probs(rendered) * counted
    totals = values.new_zeros(len(answers)).index_add(0, owner, values)
    tokens = values.new_zeros(len(answers)).index_add(0, owner, counted)
    return totals, tokens.clamp(min=1)


def preference_loss(accepted: Tensor, rejected: Tensor, start: tuple[Tensor, Tensor], beta: float = BETA) -> Tensor:
    """The first part of the loss above.

    Args:
        accepted, rejected: log-probabilities of the answers of each pair. (M,). start: the same at the start.
    """
    return -F.logsigmoid(beta * ((accepted - start[0]) - (rejected - start[1]))).mean()
