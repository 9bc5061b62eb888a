"""A NaviGen as its authors release it: a causal language model whose own vocabulary holds the code tokens.

    <|cid_begin|><s_a_X><s_b_Y><s_c_Z><|cid_end|>

It is not trained here. It is asked as the release asks it, by a chat whose answer has begun with
`{"target_cid":"<|cid_begin|>`, and every item gets its exact log-probability: that of its three tokens, normalised over
the codes that exist behind each prefix, instead of a beam. Items that share a code share its probability evenly.

The exact wording of the release's prompts is not part of this package: `system_prompt` and `task_prompt` have its form.

Symbols: B users, N items, L levels, K codes, D width, T tokens.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from recbole_navigen.baselines.untrained import Untrained
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.trie import CatalogueTrie
from recbole_navigen.language.adapters import DTYPES, leave_frozen_out
from recbole_navigen.language.backbone import Backbone, pretrained_lm, pretrained_tokenizer
from recbole_navigen.network.legal_codes import LegalCodes
from recbole_navigen.network.text_model import Context
from recbole_navigen.network.token_decoder import TokenDecoder

BEGIN, END, LEVELS = "<|cid_begin|>", "<|cid_end|>", "abc"
CID = re.compile(r"<\|cid_begin\|><s_a_(\d+)><s_b_(\d+)><s_c_(\d+)><\|cid_end\|>")
ANSWER = '{"target_cid":"' + BEGIN


def cid(codes: np.ndarray) -> str:
    """The five tokens of a code, (3,)."""
    return BEGIN + "".join(f"<s_{level}_{code}>" for level, code in zip(LEVELS, codes, strict=True)) + END


def read_codes(tokens: list[str], file: str | Path | None) -> np.ndarray:
    """Codes of items by their ids.

    Args:
        tokens: ids of N items.
        file: the release's `pid2cid2tid.parquet`, whose `sid` is the code of `pid`; where there is None, and for ids
            that it does not have, the id itself must be a code.

    Returns:
        (N, 3), int64.
    """
    known: dict[str, str] = {}
    if file is not None:
        try:
            table = pq.read_table(file)
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(f"codes_from={file} is no parquet that can be read ({error}); get it again.") from error
        if absent := {"pid", "sid"} - set(table.column_names):
            raise InputError(
                f"codes_from={file} has no column {' nor '.join(sorted(absent))}; name pid2cid2tid.parquet."
            )
        codes = (value[0] if isinstance(value, list) and value else value for value in table["sid"].to_pylist())
        known = dict(zip(map(str, table["pid"].to_pylist()), map(str, codes), strict=True))
    matches = [CID.fullmatch(known.get(token, token)) for token in tokens]
    if missing := [token for token, match in zip(tokens, matches, strict=True) if match is None]:
        raise InputError(
            f"{len(missing)} of {len(tokens)} items have no code, the first is {missing[0]!r}; give codes_from a "
            "pid2cid2tid.parquet of these items, or make the data set by navigen-convert navigen-release."
        )
    return np.array([list(map(int, match.groups())) for match in matches])


@dataclass(frozen=True, slots=True)
class Prompts:
    """Texts as a decoder's contexts. tokens: right-padded, (B, T). lengths: (B,)."""

    tokens: Tensor
    lengths: Tensor


class ReleasedLM(nn.Module):
    """What a `TokenDecoder` asks of a language model: it reads contexts, and has rows of codes.

    Args:
        lm: the model. ids: of the code tokens in its vocabulary, -1 for codes that do not exist. Shape (L, K).
    """

    def __init__(self, lm: PreTrainedModel, ids: np.ndarray):
        super().__init__()
        self.backbone = Backbone(lm.requires_grad_(False))
        leave_frozen_out(self.backbone)
        self.dropout = nn.Identity()
        at = torch.from_numpy(ids.clip(min=0)).flatten()
        for name, rows in (("code_rows", lm.get_input_embeddings()), ("head_rows", lm.get_output_embeddings())):
            self.register_buffer(name, rows.weight.detach()[at].float(), persistent=False)

    def read(self, prompts: Prompts) -> Context:
        """Run contexts once; the first code follows each one's last token."""
        embeddings = F.embedding(prompts.tokens, self.backbone.text_rows).float()
        hidden, layers = self.backbone.run_context(embeddings, prompts.lengths)
        rows = torch.arange(len(hidden), device=hidden.device)
        return Context(hidden[rows, prompts.lengths - 1], layers, prompts.lengths)


class HeadDecoder(TokenDecoder):
    """A `TokenDecoder` whose codes are scored by the model's own head, not by their input rows."""

    def code_logits(self, lm: ReleasedLM, level: int, states: Tensor) -> Tensor:
        size = self.legal.codebook_size
        return F.linear(states, lm.head_rows[level * size : (level + 1) * size])


class ReleasedNaviGen(Untrained):
    """Ranks all items by a released checkpoint; nothing is trained.

    Args:
        config: RecBole's config with the keys of properties/model/ReleasedNaviGen.yaml.
        dataset: any part of the data set.
    """

    scores_are_log_probabilities = True

    def __init__(self, config: Config, dataset: Dataset):
        super().__init__(config, dataset)
        source, revision = config["backbone"], config["backbone_revision"]
        if source is None:
            raise InputError("backbone names the released checkpoint: --backbone=FOLDER_OR_HUB_ID")
        items = [str(token) for token in dataset.field2id_token[dataset.iid_field][1:]]
        codes = read_codes(items, config["codes_from"])
        distinct, leaf, shared = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
        self._shown = [cid(row) for row in codes]
        self.tokenizer = pretrained_tokenizer(source, revision)
        ids = self._token_ids(distinct)
        lm = pretrained_lm(source, revision).to(DTYPES[config["backbone_dtype"]])
        self.lm = ReleasedLM(lm, ids)
        self.decoder = HeadDecoder(LegalCodes(CatalogueTrie.build(distinct, ids.shape[1])))
        leaf = leaf.reshape(-1)
        self.register_buffer("leaf", torch.from_numpy(leaf), persistent=False)
        self.register_buffer("log_shared", torch.from_numpy(np.log(shared[leaf])).float(), persistent=False)
        self._budget = float(config["scoring_memory"]) * 2**20
        self._system, self._task = config["system_prompt"], config["task_prompt"]

    def _token_ids(self, codes: np.ndarray) -> np.ndarray:
        """Ids of code tokens, -1 where no item has the code. (any, L) -> (L, K)."""
        ids = np.full((len(LEVELS), int(codes.max()) + 1), -1)
        vocabulary = self.tokenizer.get_vocab()
        for level, name in enumerate(LEVELS):
            for code in np.unique(codes[:, level]):
                ids[level, code] = vocabulary.get(f"<s_{name}_{code}>", -2)
                if ids[level, code] < 0:
                    raise InputError(
                        f"the vocabulary of {self.tokenizer.name_or_path} has no token <s_{name}_{code}>, which an "
                        "item has; the checkpoint and codes_from must be of one release."
                    )
        return ids

    def prompt(self, history: list[int]) -> str:
        """What the model reads of a history of internal ids, up to the first code of its answer."""
        shown = json.dumps([self._shown[item - 1] for item in history], separators=(",", ":"))
        messages = [
            {"role": "system", "content": self._system},
            {"role": "user", "content": self._task.replace("{history}", shown)},
        ]
        return chat(self.tokenizer, messages) + ANSWER

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Log-probabilities of all items by internal id, -inf for the padding item. Shape (B, N + 1), float32."""
        histories, lengths = interaction[self.ITEM_SEQ].tolist(), interaction[self.ITEM_SEQ_LEN].tolist()
        texts = [self.prompt(history[:length]) for history, length in zip(histories, lengths, strict=True)]
        tokens = [self.tokenizer.encode(text, add_special_tokens=False) for text in texts]
        at_once = max(1, int(self._budget / self.decoder.user_bytes(self.lm, max(map(len, tokens)))))
        result = torch.full((len(tokens), self.n_items), -torch.inf, device=self.device)
        for begin in range(0, len(tokens), at_once):
            part = tokens[begin : begin + at_once]
            padded = nn.utils.rnn.pad_sequence([torch.tensor(own) for own in part], batch_first=True).to(self.device)
            own = torch.tensor([len(row) for row in part], device=self.device)
            by_code = self.decoder.log_probs(self.lm, Prompts(padded, own))
            result[begin : begin + at_once, 1:] = by_code[:, self.leaf] - self.log_shared
        return result


def chat(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> str:
    """Messages up to where the answer begins, in the tokenizer's template, or in that of Qwen where it has none."""
    if tokenizer.chat_template is not None:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    said = "".join(f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages)
    return said + "<|im_start|>assistant\n"
