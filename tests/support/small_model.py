"""Small language models over random catalogues, shared by the tests of `language/` and `model/`."""

from types import SimpleNamespace

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from recbole_navigen.data.sequences import UserSequences
from recbole_navigen.identifiers.trie import CatalogueTrie
from recbole_navigen.language.answer_grammar import Grammar
from recbole_navigen.language.attention import ATTENTION
from recbole_navigen.language.backbone import Backbone, scratch_lm
from recbole_navigen.language.rendering import Renderer
from recbole_navigen.language.vocabulary import Vocabulary, train_tokenizer
from recbole_navigen.model.ranking import Ranking
from recbole_navigen.network.item_model import DualIdentifierLM
from recbole_navigen.network.legal_codes import LegalCodes
from recbole_navigen.network.token_decoder import TokenDecoder
from recbole_navigen.network.tree_decoder import TreeDecoder
from recbole_navigen.reinforcement.policies import ItemPolicy

WORDS = ("red", "green", "blue", "space", "war", "love", "robot", "river")


def random_codes(n_items: int, levels: int, codes: int, seed: int) -> np.ndarray:
    """Distinct random code rows, (N, L), clustered so that all kinds of nodes occur: wide, narrow and single-child."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(codes, 0.4), size=levels)
    rows: dict[tuple, None] = {}
    while len(rows) < n_items:
        rows.setdefault(tuple(int(rng.choice(codes, p=0.9 * w + 0.1 / codes)) for w in weights))
    return np.array(list(rows), dtype=np.int64)[rng.permutation(n_items)]


def small_model(
    n_items=30,
    levels=3,
    codes=5,
    seed=0,
    history="pooled",
    dense=None,
    lm=None,
    dropout=0.0,
    item_rows=False,
    decoder="tree",
) -> tuple[DualIdentifierLM, Renderer]:
    """A model in evaluation mode whose weights are far from uniform, and its renderer."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    cids = random_codes(n_items, levels, codes, seed)
    terms = [tuple(rng.choice(WORDS, size=rng.integers(1, 4), replace=False)) for _ in range(n_items)]
    tokenizer = train_tokenizer([" ".join(item) for item in terms], 400)
    lm = lm or scratch_lm(len(tokenizer), width=16, layers=2, heads=2, inner=24)
    vocabulary = Vocabulary(tokenizer, lm.get_input_embeddings().num_embeddings, levels, codes)
    by_id = np.concatenate([np.zeros((1, levels), dtype=np.int64), cids])
    grammar = Grammar(vocabulary, {"thought_tokens": 20, "instruction_tokens": 30})
    renderer = Renderer(vocabulary, by_id, terms, history, grammar)
    trie = CatalogueTrie.build(cids, codes)
    model = DualIdentifierLM(
        backbone=Backbone(lm, dropout),
        grammar=grammar,
        decoder=TreeDecoder(trie, 16) if decoder == "tree" else TokenDecoder(LegalCodes(trie, dense)),
        codes=by_id,
        codebooks=rng.standard_normal((levels, codes, 8)).astype(np.float32),
        residuals=rng.standard_normal((n_items, 8)).astype(np.float32) if item_rows else None,
        term_tokens=renderer.term_tokens,
        dropout=dropout,
        seed=seed,
        start_text=True,
    )
    with torch.no_grad():
        model.code_rows.mul_(20)
        if decoder == "tokens":
            model.decoder.code_bias.normal_()
    return model.eval(), renderer


def catalogues(**more: st.SearchStrategy) -> st.SearchStrategy[dict]:
    """Arguments of `small_model` for small catalogues of all shapes, and `more`."""
    shapes = {
        "n_items": st.integers(2, 30),
        "levels": st.integers(1, 4),
        "codes": st.integers(4, 9),
        "seed": st.integers(0, 10_000),
        "history": st.sampled_from(["pooled", "tokens", "dual"]),
    }
    return st.fixed_dictionaries({**shapes, **more}).filter(lambda c: c["codes"] ** c["levels"] >= 2 * c["n_items"])


few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def ranked(case: dict) -> tuple:
    """A small model of a case, contexts of three users, and their ranking, (3, N)."""
    model, renderer = small_model(**case)
    rendered = renderer.cid2cid(*random_histories(case["n_items"], 3, 6, case["seed"]))
    return model, rendered, Ranking(model, memory=64).log_probs(rendered)


def random_histories(n_items: int, users: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Internal ids (B, W), right-padded, and lengths (B,), each at least 1."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, width + 1, (users,), generator=generator)
    items = torch.randint(1, n_items + 1, (users, width), generator=generator)
    return torch.where(torch.arange(width) < lengths[:, None], items, 0), lengths


def item_policy(**changes) -> tuple[ItemPolicy, DualIdentifierLM]:
    """A policy on two short training sequences, and its model."""
    lm, renderer = small_model(**changes)
    items = np.array([4, 9, 2, 7, 7, 1, 3])
    sequences = UserSequences(np.array([1, 2]), items, np.array([0, 3, 7]))
    model = SimpleNamespace(
        lm=lm, renderer=renderer, ranking=Ranking(lm, 64), device=torch.device("cpu"), max_seq_length=5
    )
    return ItemPolicy(model, sequences, "prefix"), lm


def llama(vocabulary: int):
    """A Llama layout with grouped-query attention: 4 heads, 2 key-value heads."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            attn_implementation=ATTENTION,
        )
    )


def brute_force(model, rendered):
    """(B, N): each item's codes appended to each context as plain tokens, one causal pass each, no trie and no tree."""
    trie, body = model.decoder.trie, model.backbone.body
    codes = model.codes[1:].numpy()
    result = torch.zeros(len(rendered.tokens), trie.n_items)
    for user in range(len(result)):
        stream = model.embed(rendered.rows(slice(user, user + 1)))
        for item, path in enumerate(codes):
            rows = model.code_rows[torch.from_numpy(path + np.arange(len(path)) * model.codebook_size)]
            inputs = torch.cat([stream, rows[None]], dim=1) * model.backbone.input_scale
            states = body(inputs_embeds=inputs, use_cache=False).last_hidden_state[0]
            for level, code in enumerate(path):
                siblings = np.unique(codes[(codes[:, :level] == path[:level]).all(axis=1), level])
                logits = model.decoder.code_logits(model, level, states[stream.shape[1] - 1 + level])
                result[user, item] += logits[siblings].log_softmax(0)[np.searchsorted(siblings, code)]
    return result
