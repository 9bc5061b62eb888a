"""HSTU's block in SASRec's place: attention without a softmax, gated, with a bias of relative position.

    U, V, Q, K = split(silu(W1 norm(x)))
    y          = x + W2 (norm(A V) * U),    A[t, s] = silu(Q_t . K_s / sqrt(d) + b[t - s]) / T   for s <= t

After "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative Recommendations"
(arXiv:2402.17152, equations 2 to 4). The bias of elapsed time is left out: windows hold items and no times. T is the
longest history, so that a state says how much it has read.

Symbols: B users, T tokens, N items, D width, G heads, E width of a head.
"""

import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor, nn
from torch.nn import functional as F

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.errors import InputError


class Block(nn.Module):
    """One layer. width: D. heads: G. longest: T. dropout: on what it adds to its input."""

    def __init__(self, width: int, heads: int, longest: int, dropout: float):
        super().__init__()
        self.heads, self.longest = heads, longest
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.into, self.out = nn.Linear(width, 4 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(heads, longest))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x: (B, T, D). real: False for padding, (B, T). Returns (B, T, D)."""
        users, tokens, width = x.shape
        gate, *parts = F.silu(self.into(self.before(x))).chunk(4, dim=-1)
        value, query, key = (part.view(users, tokens, self.heads, -1).transpose(1, 2) for part in parts)
        place = torch.arange(tokens, device=x.device)
        distance = place[:, None] - place
        scores = query @ key.transpose(2, 3) / (width // self.heads) ** 0.5 + self.bias[:, distance.clamp(min=0)]
        seen = (distance >= 0) & real[:, None, None, :]
        mixed = (F.silu(scores) * seen / self.longest) @ value
        mixed = self.after(mixed.transpose(1, 2).reshape(users, tokens, width))
        return x + self.dropout(self.out(mixed * gate))


class HSTU(SequentialRecommender):
    """A next-item model of HSTU blocks, trained on user rows (`train_rows: user`) with a softmax over items.

    Args:
        config: RecBole's config with the keys of properties/model/HSTU.yaml.
        dataset: the training part of the data set.
    """

    def __init__(self, config: Config, dataset: Dataset):
        super().__init__(config, dataset)
        width, heads, drop = config["hidden_size"], config["n_heads"], config["hidden_dropout_prob"]
        if width % heads:
            raise InputError(f"hidden_size={width} is no multiple of n_heads={heads}; choose others.")
        self.item_embedding = nn.Embedding(self.n_items, width, padding_idx=0)
        self.position_embedding = nn.Embedding(self.max_seq_length, width)
        self.dropout = nn.Dropout(drop)
        self.blocks = nn.ModuleList(Block(width, heads, self.max_seq_length, drop) for _ in range(config["n_layers"]))
        self.norm = nn.LayerNorm(width)
        for embedding in (self.item_embedding, self.position_embedding):
            nn.init.normal_(embedding.weight, std=config["initializer_range"])

    def encode_windows(self, inputs: Tensor) -> Tensor:
        """State after each position of windows of internal item ids, right-padded with 0. (B, T) -> (B, T, D)."""
        positions = torch.arange(inputs.shape[1], device=inputs.device)
        states = self.dropout(self.item_embedding(inputs) + self.position_embedding(positions))
        for block in self.blocks:
            states = block(states, inputs != 0)
        return self.norm(states)

    def forward(self, item_seq: Tensor, item_seq_len: Tensor) -> Tensor:
        """States behind histories, (B, T) and (B,) -> (B, D)."""
        return self.gather_indexes(self.encode_windows(item_seq), item_seq_len - 1)

    def predict(self, interaction: Interaction) -> Tensor:
        """Score of one given item a row, shape (B,)."""
        states = self.forward(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
        return (states * self.item_embedding(interaction[self.ITEM_ID])).sum(dim=1)

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items by internal id, shape (B, N + 1)."""
        states = self.forward(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
        return states @ self.item_embedding.weight.T
