"""The body of NaviGen: four architectures read text as they themselves do, whole contexts or their last tokens."""

import pytest
import torch
from small_language_models import ARCHITECTURES, make

from recbole_navigen.language.backbone import Backbone


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    return request.param


@torch.no_grad()
def test_text_is_read_as_the_model_itself_reads_it(architecture: str) -> None:
    """Through rows and decoder, as NaviGen does. Gemma scales its rows on the way."""
    lm = make(architecture)
    tokens = torch.randint(0, 300, (2, 7), generator=torch.Generator().manual_seed(0))
    backbone = Backbone(lm)
    hidden, _ = backbone.run_context(backbone.text_rows[tokens], torch.tensor([7, 7]))
    assert torch.allclose(backbone.text_logits(hidden), lm(input_ids=tokens).logits, atol=1e-4)


@pytest.mark.parametrize("learning", [False, True])
def test_the_last_state_alone_is_the_one_of_the_whole_context(architecture: str, learning: bool) -> None:
    backbone = Backbone(make(architecture)).eval()
    tokens = torch.randint(0, 300, (3, 7), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([7, 1, 4])
    with torch.set_grad_enabled(learning):
        hidden, _ = backbone.run_context(backbone.text_rows[tokens], lengths)
        last = backbone.run_last(backbone.text_rows[tokens], lengths)
    assert last.shape == (3, backbone.width) and last.requires_grad == learning
    torch.testing.assert_close(last, hidden[torch.arange(3), lengths - 1], atol=1e-5, rtol=1e-5)
    again, _ = backbone.run_context(backbone.text_rows[tokens], lengths)
    torch.testing.assert_close(again, hidden, atol=0, rtol=0)  # nothing stays behind
