"""A released NaviGen ranks its items exactly; a tiny random Qwen3 with code tokens in its vocabulary stands in."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from small_language_models import make, save_chat_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from recbole_navigen.baselines.released_navigen import ANSWER, cid, read_codes
from recbole_navigen.errors import InputError
from recbole_navigen.quick_start import compare_runs, run_navigen
from recbole_navigen.runs.loaded import load_run

QUIET = {"state": "ERROR", "show_progress": False, "use_gpu": False, "MAX_ITEM_LIST_LENGTH": 4}
CODES = np.array([[n % 3, n % 7, (n * n) % 5 if n else 0] for n in range(80)])  # some items share a code


@pytest.fixture
def release(tiny: Path) -> dict[str, str]:
    """Folder of a checkpoint whose head is its own, and the file of codes of the items of `tiny`."""
    save_chat_model(Path("checkpoint"))
    tokenizer = AutoTokenizer.from_pretrained("checkpoint")
    names = [f"<s_{level}_{code}>" for at, level in enumerate("abc") for code in np.unique(CODES[:, at])]
    tokenizer.add_tokens(["<|cid_begin|>", *names, "<|cid_end|>"])
    tokenizer.save_pretrained("checkpoint")
    lm = make("Qwen3", len(tokenizer))
    lm.config.tie_word_embeddings = False
    lm.lm_head.weight = torch.nn.Parameter(torch.randn_like(lm.lm_head.weight))
    lm.save_pretrained("checkpoint")
    table = {"pid": [f"i{n}" for n in range(80)], "sid": [cid(row) for row in CODES], "tid": [["term"]] * 80}
    pq.write_table(pa.table(table), "pid2cid2tid.parquet")
    return {"backbone": "checkpoint", "decoder": "tokens", "codes_from": "pid2cid2tid.parquet"}


def by_brute_force(model, history: list[int]) -> np.ndarray:
    """Log-probability of every item: each code's tokens run through the model one after another, softmaxes over what
    exists behind each prefix. (N,), by internal id.
    """
    lm = AutoModelForCausalLM.from_pretrained("checkpoint", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained("checkpoint")
    prompt = tokenizer.encode(model.prompt(history), add_special_tokens=False)
    shown = [model._shown[item].removeprefix("<|cid_begin|>").removesuffix("<|cid_end|>") for item in range(80)]
    paths = [tuple(tokenizer.encode(text, add_special_tokens=False)) for text in shown]
    assert all(len(path) == 3 for path in paths)
    found = {}
    for path in set(paths):
        total = 0.0
        for level in range(3):
            legal = sorted({other[level] for other in paths if other[:level] == path[:level]})
            with torch.no_grad():
                logits = lm(torch.tensor([[*prompt, *path[:level]]])).logits[0, -1]
            total += float(logits[legal].log_softmax(0)[legal.index(path[level])])
        found[path] = total - np.log(paths.count(path))
    return np.array([found[path] for path in paths])


def test_items_are_ranked_exactly_and_shared_codes_are_shared_evenly(release: dict[str, str]) -> None:
    result = run_navigen("ReleasedNaviGen", "tiny", config_dict={**QUIET, **release})
    loaded = load_run(result["run_dir"])
    batch = next(iter(loaded.test_data))[0][:3]
    scores = loaded.model.full_sort_predict(batch)
    assert torch.allclose(scores[:, 1:].exp().sum(dim=1), torch.ones(3), atol=1e-5)
    for row in range(3):
        history = batch["item_id_list"][row, : batch["item_length"][row]].tolist()
        assert np.allclose(scores[row, 1:].numpy(), by_brute_force(loaded.model, history), atol=1e-4)
    # In blocks of one user or all at once, the same.
    loaded.model._budget = 1.0
    assert torch.allclose(loaded.model.full_sort_predict(batch), scores, atol=1e-5)
    assert len(compare_runs([result["run_dir"]])["comparison"].contenders[0].runs[0].ranks.rank) == 60


def test_the_checkpoint_of_the_run_does_not_hold_the_model(release: dict[str, str]) -> None:
    folder = Path(run_navigen("ReleasedNaviGen", "tiny", config_dict={**QUIET, **release})["run_dir"])
    assert (folder / "checkpoint" / "tensors.safetensors").stat().st_size < 2000
    text = load_run(folder).model.prompt([1, 2])
    assert text.endswith(ANSWER) and text.count("<|cid_begin|>") == 3 and "<|assistant|>" in text


def test_what_does_not_belong_together_is_refused(release: dict[str, str]) -> None:
    cases = [
        ({"codes_from": None}, "80 of 80 items have no code, the first is 'i"),
        ({"backbone": None}, "--backbone=FOLDER_OR_HUB_ID"),
        ({"codes_from": "checkpoint/config.json"}, "is no parquet that can be read"),
        ({"backbone": "nowhere/at/all"}, "backbone=nowhere/at/all is neither a folder here nor"),
    ]
    pq.write_table(pa.table({"pid": ["i1"]}), "short.parquet")
    cases.append(({"codes_from": "short.parquet"}, "has no column sid"))
    table = pq.read_table("pid2cid2tid.parquet").to_pydict()
    pq.write_table(pa.table({**table, "sid": [cid([9, 9, 9]), *table["sid"][1:]]}), "other.parquet")
    cases.append(({"codes_from": "other.parquet"}, "has no token <s_a_9>, which an item has"))
    for wrong, message in cases:
        with pytest.raises(InputError, match=message):
            run_navigen("ReleasedNaviGen", "tiny", config_dict={**QUIET, **release, **wrong})


def test_ids_that_are_codes_need_no_file() -> None:
    assert read_codes([cid([1, 20, 3])], None).tolist() == [[1, 20, 3]]
