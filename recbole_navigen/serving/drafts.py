"""Drafts of instructions, and which of several is handed out.

A small model's draws differ in quality, and the search that made its supervision knows what is good. So drafts are
scored as in that search, with the offline judge and the terms of the item they are for; nothing is looked up that a
served model would not have. A draft whose thought would not have been learned comes behind all others.

Symbols: B instructions, R drafts of each, M = B R rows, W items of a history.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from recbole_navigen.language.answer import Answer, answer_text, parse_answer
from recbole_navigen.language.answer_grammar import MAX_TERMS, TERM_TOKENS
from recbole_navigen.language.choices import Choices
from recbole_navigen.model.author import Author
from recbole_navigen.model.decoding import row_bytes, write
from recbole_navigen.model.ranking import Ranking
from recbole_navigen.supervision.fitness import round_scores
from recbole_navigen.supervision.interfaces import Draft, Review, Sample
from recbole_navigen.supervision.plans import Brief
from recbole_navigen.supervision.reasoning import problem
from recbole_navigen.supervision.template.judge import TemplateJudge
from recbole_navigen.supervision.template.term_space import TermSpace
from recbole_navigen.supervision.validity import draft_problem

PENALTY = 20.0  # above every difference of two scores
PLAN_TOKENS = 256  # more than any plan has


def written_drafts(
    author: Author,
    ranking: Ranking,
    read: tuple[torch.Tensor, torch.Tensor],
    items: Sequence[int],
    tags: Sequence[tuple[str, str]],
    seeds: Sequence[int],
    named: Sequence[Sequence[str]] | None,
    briefs: Sequence[Brief] | None,
    think: bool,
    temperature: float,
    top_p: float,
) -> Iterator[tuple[str, Answer, float, dict[str, str] | None]]:
    """Write, as many at once as the memory holds.

    Args:
        author: what writes. ranking: knows the memory budget.
        read: histories as internal ids, right-padded, (M, W), and their lengths, (M,).
        items: internal ids of what the instructions are for, M. tags: domain and medium of each.
        seeds: of the draws. named: the terms that each answer names; None to draw them too.
        briefs: what each plan may say, M; None for free text. think, temperature, top_p: see `write`.

    Yields:
        For each row the raw answer, what it says, its log-probability in nats, and its plan.
    """
    model, renderer, settings = author.model, author.renderer, author.settings
    longest = renderer.longest_prompt(read[0].shape[1])
    most = longest + MAX_TERMS * TERM_TOKENS
    most += PLAN_TOKENS if briefs else settings["thought_tokens"] + settings["instruction_tokens"]
    step = ranking.users_at_once(model.backbone.token_bytes(longest) * longest + row_bytes(model, most))
    known: dict[str, list[int]] = {}
    for begin in range(0, len(items), step):
        part = slice(begin, begin + step)
        chosen = torch.tensor(items[part]) if settings["choose_item"] else None
        prompts = renderer.cid2ins(read[0][part], read[1][part], tags[part], chosen).to(model.special_rows.device)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[part]]
        named_tokens = None if named is None else [renderer.answer_terms(terms[:MAX_TERMS]) for terms in named[part]]
        plans = None
        if briefs is not None:
            pairs = zip(briefs[part], named_tokens, strict=True)
            plans = [Choices(renderer.vocabulary, brief, terms, think, known) for brief, terms in pairs]
        written = write(model, prompts, think, temperature, generators, top_p, named_tokens, plans)
        totals = written.log_probs.sum(dim=1).tolist()
        for row, (tokens, total) in enumerate(zip(written.answers(), totals, strict=True)):
            if plans is None:
                raw = renderer.vocabulary.raw_answer(tokens)
                yield raw, parse_answer(raw), total, None
            else:
                plan = plans[row].plan
                said = author.planner.say(plan, briefs[begin + row])
                answer = Answer(tuple(named[begin + row][:MAX_TERMS]), *said)
                yield answer_text(answer), answer, total, plan


def draft_scores(space: TermSpace, samples: Sequence[Sample], drafts: Sequence[Sequence[Answer]]) -> np.ndarray:
    """How good drafts are, by the score of the search; those with a problem, or whose thought has one, lose PENALTY.

    Args:
        space: of the catalogue's terms. samples: what each instruction is for, B.
        drafts: of each, R answers, or what has their `target_ins` and `reasoning`.

    Returns:
        Shape (B, R), float64.
    """
    reviews = [
        Review.of_round(sample, tuple(Draft(answer.target_ins) for answer in answers))
        for sample, answers in zip(samples, drafts, strict=True)
    ]
    scores = np.empty((len(samples), len(drafts[0])))
    for row, (review, judgements) in enumerate(zip(reviews, TemplateJudge(space).judge(reviews), strict=True)):
        thoughts = [answer.reasoning for answer in drafts[row]]
        flawed = [thought is not None and problem(thought, review.sample) is not None for thought in thoughts]
        if review.sample.brief is None:  # plans are free of what the validator refuses
            refused = [draft_problem(draft.prompt, review.sample.media) is not None for draft in review.drafts]
            flawed = [one or other for one, other in zip(flawed, refused, strict=True)]
        overall = [one.overall for one in round_scores(review, judgements)]
        scores[row] = np.array(overall) - PENALTY * np.array(flawed)
    return scores
