"""The causal filter on the inputs: by hand, at the start, and what it may not see."""

from pathlib import Path

import pytest
import torch
from tiny_settings import NAVIGEN
from torch.nn import functional as F

from recbole_navigen.errors import InputError
from recbole_navigen.network.build import filter_taps
from recbole_navigen.network.causal_filter import CausalFilter
from recbole_navigen.quick_start import Recommender, run_navigen
from recbole_navigen.runs.loaded import load_run


def test_taps_by_hand() -> None:
    filtered = CausalFilter(3)
    filtered.taps.data = torch.tensor([0.5, 2.0, -1.0])
    x = torch.tensor([[[9.0], [1.0], [10.0], [100.0], [1000.0]]])
    real = torch.tensor([[False, True, True, True, False]])
    # The first and the last place are no items: they stay, and no other place reads them.
    assert filtered(x, real).flatten().tolist() == [9, 1 + 0.5, 10 + 5 + 2, 100 + 50 + 20 - 1, 1000]


def test_it_equals_a_convolution_and_starts_as_nothing() -> None:
    torch.manual_seed(0)
    filtered, x = CausalFilter(4), torch.randn(3, 9, 5)
    real = torch.ones(3, 9, dtype=torch.bool)
    assert torch.equal(filtered(x, real), x)
    filtered.taps.data.normal_()
    padded = F.pad(x.transpose(1, 2), (3, 0)).reshape(15, 1, 12)
    expected = F.conv1d(padded, filtered.taps.flip(0)[None, None]).reshape(3, 5, 9).transpose(1, 2)
    assert torch.allclose(filtered(x, real), x + expected, atol=1e-5)
    # A place knows nothing of later ones.
    changed = x.clone()
    changed[:, 6:] += 1
    assert torch.equal(filtered(x, real)[:, :6], filtered(changed, real)[:, :6])


def test_a_run_learns_its_taps_and_is_read_back(tiny: Path) -> None:
    settings = {**NAVIGEN, "state": "ERROR", "show_progress": False, "use_gpu": False, "epochs": 1, "fir_taps": 3}
    folder = run_navigen("NaviGen", "tiny", config_dict=settings)["run_dir"]
    model = load_run(folder).model
    assert model.lm.filter.taps.shape == (3,) and (model.lm.filter.taps != 0).all()
    histories, lengths = torch.tensor([[3, 4, 5]]), torch.tensor([3])
    ours = model.recommend(histories, lengths, 5)
    read = Recommender.load(folder).recommend([model.table.item_tokens[item - 1] for item in (3, 4, 5)], k=5)
    assert [found.item for found in read] == [model.table.item_tokens[item] for item in ours.items[0]]
    model.lm.filter.taps.data.zero_()
    assert not torch.allclose(model.recommend(histories, lengths, 5).log_probs, ours.log_probs)
    own = [filter_taps({**chosen, "fir_taps": None}) for chosen in ({"history": "pooled"}, {"history": "dual"})]
    assert own == [16, 0] and filter_taps({"history": "pooled"}) == 0
    with pytest.raises(InputError, match="fir_taps filters pooled items, and history=dual"):
        run_navigen("NaviGen", "tiny", config_dict={**settings, "history": "dual"})
