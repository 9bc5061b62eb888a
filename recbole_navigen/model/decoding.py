"""Answers written token by token: what `run_generate` shows, and the rollouts of reinforcement learning.

The next token is drawn among those that the grammar allows, so every answer is valid. The log-probabilities are those
of exactly the distribution drawn from; `TextModel.written_log_probs` gives the same values with gradients, for
the stream that `Renderer.cid2ins` makes of `Written.answers()`, if nothing was cut off (`top_p` of 1).

Symbols: B rows, T tokens of the prompts, A tokens of the answers, V outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from recbole_navigen.errors import InputError
from recbole_navigen.language.attention import Tree
from recbole_navigen.language.choices import Choices
from recbole_navigen.language.rendering import Rendered
from recbole_navigen.language.vocabulary import END, TERMS, THINK
from recbole_navigen.network.text_model import TextModel

BLOCK = 32  # tokens between two times at which finished answers leave a batch
# Steps between two looks at whether all answers are complete, by kind of device. Elsewhere than on the processor the
# look makes the device wait, and a few steps beyond the end cost less: they change nothing.
CHECKED = {"cpu": 1}
LIKELY = 64  # most probable tokens that are ranked at first where a nucleus is sought


@dataclass(frozen=True, slots=True)
class Written:
    """Answers of B prompts.

    Attributes:
        tokens: token ids, 0 behind the end of an answer. Shape (B, A), int64.
        lengths: tokens of each answer. Shape (B,), int64.
        sampled: True where the model chose among several tokens. Shape (B, A), bool.
        log_probs: of the chosen tokens; 0 where there was no choice. Shape (B, A), float32.
    """

    tokens: Tensor
    lengths: Tensor
    sampled: Tensor
    log_probs: Tensor

    def answers(self) -> list[list[int]]:
        """Tokens of each answer, as `Renderer.cid2ins` and `Vocabulary.raw_answer` take them."""
        return [row[:length] for row, length in zip(self.tokens.tolist(), self.lengths.tolist(), strict=True)]


def row_bytes(lm: TextModel, tokens: int) -> float:
    """Memory that one answer of so many tokens, its prompt included, takes beside the reading of the prompt, in bytes
    (an upper estimate).
    """
    config = lm.backbone.lm.config
    kept = 2 * config.num_hidden_layers * config.hidden_size * tokens
    # Keys and values, their copy as they grow, and one layer beside what is new; scores, and what is made of them.
    return 4.0 * (3 * kept + 8 * lm.grammar.legal.shape[1])


@torch.no_grad()
def write(
    lm: TextModel,
    rendered: Rendered,
    think: bool = True,
    temperature: float = 0.0,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    top_p: float = 1.0,
    terms: Sequence[Sequence[int]] | None = None,
    plans: Sequence[Choices] | None = None,
) -> Written:
    """Write an answer after each prompt; keys and values of what is written are kept, so a token costs one step.

    Args:
        lm: the model, in evaluation mode.
        rendered: prompts as `Renderer.cid2ins` makes them for inference, B rows; a row a sample.
        think: whether answers begin with a thought.
        temperature: 0 takes the most probable token (its log-probability is that at temperature 1); above 0, tokens are
            drawn from scores divided by it.
        generator: of the draws; torch's own if left out. One for each row, on the processor: what a row gets then does
            not depend on the rows beside it.
        top_p: tokens are drawn among the most probable ones that hold this share together; 1 cuts none off.
        terms: what each answer names, as `Renderer.answer_terms` gives it; None to leave it to the model.
        plans: what each answer may choose from, at its beginning; they are left at its end. None writes free text.
    """
    if temperature < 0:
        raise InputError(f"temperature={temperature} must not be negative; 0 takes the most probable token.")
    if not 0 < top_p <= 1:
        raise InputError(f"top_p={top_p} must be above 0 and at most 1, which cuts nothing off.")
    grammar, device = lm.grammar, rendered.tokens.device
    context, width = lm.read(rendered), rendered.tokens.shape[1]
    cache, readable, lengths = context.layers, context.mask[:, 0], context.lengths
    token = torch.full_like(lengths, lm.vocabulary.special(THINK if think else TERMS))
    place = grammar.follow(grammar.start(len(token), device), grammar.outputs(token))
    for plan in plans or ():
        plan.take(plan.options()[0])
    rows, end_token = torch.arange(len(token), device=device), lm.vocabulary.special(END)
    nothing = torch.zeros_like(token, dtype=torch.bool)
    steps = [(rows, token, nothing, torch.zeros(len(token), device=device), ~nothing)]
    if terms is not None:
        term_tokens = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(row, device=device) for row in terms], batch_first=True
        )
        said = torch.zeros_like(token)[:, None]
    every, step = CHECKED.get(device.type, BLOCK // 4), -1
    while True:
        done = grammar.done(place) if plans is None else torch.tensor([plan.done for plan in plans], device=device)
        step += 1
        if step % every == 0 and done.all():
            break
        # 1. The room for keys and values grows in blocks, and finished rows leave it. Numbers to draw by come with it.
        if step % BLOCK == 0:
            left = (~done).nonzero()[:, 0]
            cache = [tuple(F.pad(part[left], (0, 0, 0, BLOCK)) for part in layer) for layer in cache]
            readable = F.pad(readable[left], (0, BLOCK))
            rows, token, lengths, done, place = rows[left], token[left], lengths[left], done[left], place.rows(left)
            if isinstance(generator, Sequence):
                generator = [generator[row] for row in left.tolist()]
                shares = [torch.rand(BLOCK, generator=one, dtype=torch.float64) for one in generator]
                drawn = torch.stack(shares).to(device)
            if terms is not None:
                term_tokens, said = term_tokens[left], said[left]
            if plans is not None:
                plans = [plans[row] for row in left.tolist()]

        # 2. The last token reads its prompt and what was written since.
        end = width + step
        tree = Tree(
            context=[(key[:, :, :end], value[:, :, :end]) for key, value in cache], context_mask=readable[:, None, :end]
        )
        embedded = lm.token_vectors(token)[:, None]
        state = lm.backbone.run_nodes(embedded, (lengths + step)[:, None], tree)[:, 0]
        for (key, value), (new_key, new_value) in zip(cache, tree.captured, strict=True):
            key[:, :, end], value[:, :, end] = new_key[:, :, 0], new_value[:, :, 0]
        readable[:, end] = True

        # 3. The next token of a plan, among its options.
        shares = drawn[:, step % BLOCK, None] if isinstance(generator, Sequence) else generator
        if plans is not None:
            offered = [[end_token] if plan.done else plan.options() for plan in plans]
            options = grammar.padded_outputs(offered).to(device)
            scores = lm.option_log_probs(state, options, temperature or 1.0)
            taken = draw(scores.exp(), shares) if temperature else scores.argmax(1, True)
            token = grammar.tokens(options.gather(1, taken)[:, 0])
            for plan, chosen in zip(plans, token.tolist(), strict=True):
                if not plan.done:
                    plan.take(chosen)
            free = (options >= 0).sum(dim=1) > 1
            steps.append((rows, token, free, torch.where(free, scores.gather(1, taken)[:, 0], 0.0), ~done))
            continue

        # 4. The next token of free text, among the legal ones.
        choice = grammar.choice(place)
        scores = lm.text_log_probs(state, choice, temperature or 1.0)
        if temperature and top_p < 1:
            scores = nucleus(scores, top_p)
        output = draw(scores.exp(), shares) if temperature else scores.argmax(1, True)
        free = grammar.on(device, "free")[choice]
        if terms is not None:
            naming = place.group == grammar.index("term")
            output = torch.where(naming[:, None], grammar.outputs(term_tokens.gather(1, said)), output)
            said = (said + naming[:, None]).clamp(max=term_tokens.shape[1] - 1)
            free = free & ~naming
        token = grammar.tokens(output[:, 0])
        log_probs = torch.where(free, scores.gather(1, output)[:, 0], 0.0)
        steps.append((rows, token, free, log_probs, ~done))
        # A finished text can only be followed by END, which leaves it finished.
        place = grammar.follow(place, output[:, 0])
    shape = (len(rendered.tokens), len(steps))
    written = Written(
        tokens=torch.zeros(shape, dtype=torch.long, device=device),
        lengths=torch.zeros(shape[0], dtype=torch.long, device=device),
        sampled=torch.zeros(shape, dtype=torch.bool, device=device),
        log_probs=torch.zeros(shape, device=device),
    )
    for step, (rows, *values, alive) in enumerate(steps):
        written.lengths[rows] += alive
        for column, value in zip((written.tokens, written.sampled, written.log_probs), values, strict=True):
            column[rows, step] = torch.where(alive, value, column[rows, step])
    longest = int(written.lengths.max())
    columns = (column[:, :longest] for column in (written.tokens, written.sampled, written.log_probs))
    return Written(next(columns), written.lengths, *columns)


def draw(probs: Tensor, shares: Tensor | torch.Generator | None) -> Tensor:
    """One token a row by the inverse of its distribution function. `torch.multinomial` would draw a number for each
    token of the vocabulary. probs (B, V); numbers from 0 to 1, (B, 1), float64, or what draws them -> (B, 1).
    """
    if not isinstance(shares, Tensor):
        place = probs.device if shares is None else shares.device
        shares = torch.rand(len(probs), 1, generator=shares, device=place, dtype=torch.float64).to(probs.device)
    below = probs.double().cumsum(dim=1)
    # Rounding must not carry a share of nearly 1 past the last token that has a probability.
    return torch.searchsorted(below, shares.clamp(max=1 - 1e-12) * below[:, -1:], right=True)


def nucleus(log_probs: Tensor, share: float) -> Tensor:
    """The smallest set of most probable tokens that hold a share together, renormalised (Holtzman et al., 2020).

    Args:
        log_probs: of a distribution in each row. Shape (B, V). share: above 0, below 1.

    Returns:
        (B, V); -inf outside the set, whose last token is the one that reaches the share; tokens as probable as that
        one are in it as well.
    """
    # A few tokens nearly always hold the share; sorting all of them would take longer than all else of a step.
    least = _last_of_nucleus(log_probs.topk(min(LIKELY, log_probs.shape[1]), dim=1).values, share)
    if len(short := least.isnan().nonzero()[:, 0]):
        # Where rounding leaves even all of them below the share, all are kept: nothing is less than NaN.
        least[short] = _last_of_nucleus(log_probs[short].sort(dim=1, descending=True).values, share)
    return log_probs.masked_fill(log_probs < least[:, None], float("-inf")).log_softmax(dim=1)


def _last_of_nucleus(ranked: Tensor, share: float) -> Tensor:
    """The token that reaches a share among the most probable ones, by its log-probability; NaN if they do not hold it.

    ranked (B, R), the most probable first -> (B,).
    """
    place = (ranked.exp().cumsum(dim=1) < share).sum(dim=1)
    least = ranked.gather(1, place.clamp(max=ranked.shape[1] - 1)[:, None])[:, 0]
    return torch.where(place < ranked.shape[1], least, float("nan"))
