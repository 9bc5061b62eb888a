"""Language models that read streams and write text: the one that ranks items, and the writer beside it.

Symbols: B users, T tokens, M rows, V outputs (text tokens, then STRUCTURE), D width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_navigen.language.answer_grammar import Grammar
from recbole_navigen.language.attention import KeyValue
from recbole_navigen.language.backbone import Backbone
from recbole_navigen.language.dropout import Dropout
from recbole_navigen.language.rendering import Origin, Rendered
from recbole_navigen.language.vocabulary import SPECIALS, STRUCTURE
from recbole_navigen.network.blockwise import Valued, total_by_block, values_by_block


@dataclass(slots=True)
class Context:
    """Users' contexts after one forward pass, ready for any number of trie nodes.

    Attributes:
        state: hidden state from which the next item's first code is decoded. Shape (B, D).
        layers: keys and values per layer, (B, G, T, E) each.
        lengths: tokens of each context that count. Shape (B,).
    """

    state: Tensor
    layers: list[KeyValue]
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        """True where a token counts. Shape (B, 1, T), bool."""
        tokens = self.layers[0][0].shape[2]
        return (torch.arange(tokens, device=self.lengths.device) < self.lengths[:, None])[:, None]


class TextModel(nn.Module):
    """What reads streams of text, codes and pooled items, and scores text.

    Args:
        backbone: the transformer with its text vocabulary.
        grammar: of the text, with its vocabulary.
        dropout: on embeddings.
        scale: standard deviation of the special tokens' rows at the start.

    Subclasses give `code_rows`, (L * K, D), a parameter or a buffer, and `item_vectors`.
    """

    def __init__(self, backbone: Backbone, grammar: Grammar, dropout: float, scale: float):
        super().__init__()
        self.backbone = backbone
        self.grammar = grammar
        self.vocabulary = grammar.vocabulary
        self.dropout = Dropout(dropout)
        self.register_buffer("legal_text", grammar.legal, persistent=False)
        self.special_rows = nn.Parameter(torch.randn(len(SPECIALS), backbone.width) * scale)

    def item_vectors(self, items: Tensor, codes: bool = True) -> Tensor:
        """Pooled vectors of internal item ids, (M,) -> (M, D). codes: False leaves the code rows out."""
        raise NotImplementedError

    def embed(self, rendered: Rendered) -> Tensor:
        """Input embeddings of a stream, (B, T, D)."""
        tokens, text_size = rendered.tokens, self.vocabulary.text_size
        own = torch.cat([self.special_rows, self.code_rows])
        embeddings = F.embedding((tokens - text_size).clamp(min=0), own)
        is_text = (tokens < text_size) & (rendered.origin != Origin.PAD) & (rendered.items == 0)
        if is_text.any():
            embeddings = embeddings.masked_scatter(
                is_text[..., None], F.embedding(tokens[is_text], self.backbone.text_rows)
            )
        shown = rendered.items > 0
        if shown.any():
            unique, inverse = rendered.items[shown].unique(return_inverse=True)
            if (tokens[shown][0] >= self.vocabulary.first_code).item():
                vectors = embeddings[shown] + self.item_vectors(unique, codes=False)[inverse]
            else:
                vectors = self.item_vectors(unique)[inverse]
            embeddings = embeddings.masked_scatter(shown[..., None], vectors)
        return self.dropout(embeddings)

    def read(self, rendered: Rendered) -> Context:
        """Run contexts once; the next item is decoded after each row's last token."""
        hidden, layers = self.backbone.run_context(self.embed(rendered), rendered.lengths)
        rows = torch.arange(len(hidden), device=hidden.device)
        return Context(hidden[rows, rendered.lengths - 1], layers, rendered.lengths)

    def states(self, rendered: Rendered) -> Tensor:
        """`read`'s states alone, (B, D), which cost less."""
        return self.backbone.run_last(self.embed(rendered), rendered.lengths)

    def token_vectors(self, tokens: Tensor) -> Tensor:
        """Input embeddings of text and special tokens, (...) -> (..., D)."""
        text_size = self.vocabulary.text_size
        text = F.embedding(tokens.clamp(max=text_size - 1), self.backbone.text_rows)
        special = F.embedding((tokens - text_size).clamp(min=0), self.special_rows)
        return torch.where((tokens < text_size)[..., None], text, special)

    def text_scores(self, states: Tensor) -> Tensor:
        """Scores of all text and STRUCTURE tokens by output number, legal or not. (M, D) -> (M, V), float32."""
        structure = F.linear(states, self.special_rows[-len(STRUCTURE) :])
        text = self.backbone.text_logits(states)[:, : self.vocabulary.text_size]
        return torch.cat([text, structure], dim=-1).float()

    def text_log_probs(self, states: Tensor, choices: Tensor, temperature: float = 1.0) -> Tensor:
        """Log-probabilities of the text and STRUCTURE tokens that are legal at some places.

        Args:
            states: hidden states before the tokens. Shape (M, D).
            choices: rows of `Grammar.legal`. Shape (M,).
            temperature: what scores are divided by.

        Returns:
            (M, V) by output number, float32; -inf where illegal, and exactly 0 where only one token is legal.
        """
        # The largest tensor of a step: one copy, changed in place.
        scores = self.text_scores(states)
        if temperature != 1.0:
            scores = scores.div_(temperature)
        return scores.masked_fill_(~self.legal_text[choices], float("-inf")).log_softmax(dim=-1)

    def option_log_probs(self, states: Tensor, options: Tensor, temperature: float = 1.0) -> Tensor:
        """Log-probabilities of some options each, as of the tokens of plans.

        Args:
            states: hidden states before the tokens. Shape (M, D).
            options: outputs to choose from, -1 behind the last. Shape (M, O). temperature: what scores are divided by.

        Returns:
            (M, O), float32; -inf where there is no option.
        """
        # Few tokens are an option anywhere: their scores alone are computed.
        offered, place = options.clamp(min=0).unique(return_inverse=True)
        text_size, head = self.vocabulary.text_size, self.backbone.lm.get_output_embeddings()
        is_text, word = offered < text_size, offered.clamp(max=text_size - 1)
        structure = self.special_rows[-len(STRUCTURE) :][(offered - text_size).clamp(min=0)]
        scores = F.linear(states, torch.where(is_text[:, None], head.weight[word], structure)).float()
        if head.bias is not None:
            scores = scores + torch.where(is_text, head.bias[word], 0.0)
        scores = scores.gather(1, place) / temperature
        return scores.masked_fill(options < 0, float("-inf")).log_softmax(dim=-1)

    def written_log_probs(self, rendered: Rendered, temperature: float = 1.0) -> Tensor:
        """Log-probability of each TARGET text token given what stands before it, row after row. Shape (M,), float32.

        `rendered.origin == Origin.TARGET` says where they stand. Gradients reach the body, not the rows that score: see
        `text_loss` for those.
        """
        states, chosen, width = self._written(rendered, temperature)
        return values_by_block(chosen, states, width)

    def text_loss(self, rendered: Rendered) -> Tensor:
        """Mean negative log-likelihood of the TARGET tokens of text streams, in nats a token."""
        states, chosen, width = self._written(rendered)
        learned = [*self.backbone.lm.get_output_embeddings().parameters(), self.special_rows]
        return -total_by_block(chosen, states, width, learned) / len(states)

    def _written(self, rendered: Rendered, temperature: float = 1.0) -> tuple[Tensor, Valued, int]:
        """States before the TARGET text tokens, (M, D), the log-probabilities of these tokens after them, and how many
        scores each of these takes.
        """
        hidden, _ = self.backbone.run_context(self.embed(rendered), rendered.lengths)
        is_target = rendered.origin[:, 1:] == Origin.TARGET
        planned = rendered.options is not None
        choices = (rendered.options if planned else rendered.choices)[:, 1:][is_target]
        outputs = self.grammar.outputs(rendered.tokens[:, 1:][is_target])

        def chosen(states: Tensor, rows: slice) -> Tensor:
            if planned:
                taken = (choices[rows] == outputs[rows, None]).long().argmax(dim=1, keepdim=True)
                return self.option_log_probs(states, choices[rows], temperature).gather(1, taken)[:, 0]
            log_probs = self.text_log_probs(states, choices[rows], temperature)
            return log_probs.gather(1, outputs[rows, None])[:, 0]

        width = len(choices.unique()) if planned else self.legal_text.shape[1]
        return hidden[:, :-1][is_target], chosen, width
