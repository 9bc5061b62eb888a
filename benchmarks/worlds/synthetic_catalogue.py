"""Models over catalogues that do not exist: random codes of any number, weights that nobody trained.

They serve where only the work is measured.
"""

import numpy as np
import torch

from recbole_navigen.identifiers.trie import CatalogueTrie
from recbole_navigen.language.answer_grammar import Grammar
from recbole_navigen.language.backbone import Backbone
from recbole_navigen.language.rendering import Rendered, Renderer
from recbole_navigen.language.vocabulary import Vocabulary, train_tokenizer
from recbole_navigen.network.item_model import DualIdentifierLM
from recbole_navigen.network.legal_codes import LegalCodes
from recbole_navigen.network.token_decoder import TokenDecoder
from recbole_navigen.network.tree_decoder import TreeDecoder


def random_codes(n_items: int, codes: int, levels: int, seed: int) -> np.ndarray:
    """Distinct code rows, (N, L)."""
    rng = np.random.default_rng(seed)
    rows = np.unique(rng.integers(codes, size=(int(n_items * 1.3) + 100, levels)), axis=0)
    return rows[rng.permutation(len(rows))[:n_items]]


def model_over(
    codes: np.ndarray, codebook_size: int, lm, decoder: str, seed: int = 0, sampled: int = 0
) -> tuple[DualIdentifierLM, Renderer]:
    """A language model of dual identifiers over some codes.

    Args:
        codes: (N, L). codebook_size: K. lm: a causal LM with NaviGen's attention. decoder: `tree` or `tokens`.
        seed: of everything random. sampled: items that the loss is normalised over, 0 for all.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    levels = codes.shape[1]
    tokenizer = train_tokenizer(["one term"], 300)
    vocabulary = Vocabulary(tokenizer, lm.get_input_embeddings().num_embeddings, levels, codebook_size)
    by_id = np.concatenate([np.zeros((1, levels), dtype=np.int64), codes])
    grammar = Grammar(vocabulary, {"thought_tokens": 1, "instruction_tokens": 1})
    renderer = Renderer(vocabulary, by_id, [("term",)] * len(codes), "pooled", grammar)
    trie = CatalogueTrie.build(codes, codebook_size)
    tree = decoder == "tree"
    head = TreeDecoder(trie, lm.config.hidden_size, sampled) if tree else TokenDecoder(LegalCodes(trie))
    model = DualIdentifierLM(
        backbone=Backbone(lm),
        grammar=grammar,
        decoder=head,
        codes=by_id,
        codebooks=rng.standard_normal((levels, codebook_size, 16)).astype(np.float32),
        residuals=None,
        term_tokens=renderer.term_tokens,
        dropout=0.0,
        seed=seed,
        start_text=False,
    )
    return model.eval(), renderer


def random_histories(renderer: Renderer, n_items: int, users: int, length: int, seed: int) -> Rendered:
    """Contexts of random items, all of one length."""
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(1, n_items + 1, (users, length), generator=generator)
    return renderer.cid2cid(items, torch.full((users,), length))
