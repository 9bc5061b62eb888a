"""Scorers in the layouts of published ones: texts and pictures tell, batches do not, and bad policies are refused."""

from pathlib import Path

import numpy as np
import pytest
import small_scorers
import torch
import transformers
from PIL import Image
from small_media import small_clip
from tokenizers.processors import TemplateProcessing

from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.errors import InputError

TEXTS = ["a red ball on the left, night", "two green rings", "Sea", "a striped star in snow, drifting"]
LIMITS = {"siglip": 24, "siglip-2": 64, "siglip-2-naflex": 64, "align": 64, "chinese-clip": 52}


@pytest.mark.parametrize("name", list(small_scorers.SCORERS))
def test_every_layout_scores_and_batches_change_nothing(name: str, tmp_path: Path) -> None:
    path = small_scorers.build(name, tmp_path / "model")
    own = {}
    if name == "pick-score":
        with pytest.raises(InputError, match="no CLIP-like model can be loaded"):
            ClipEncoder(path)
        own = {"processor": small_clip(tmp_path / "other")}
    rng = np.random.default_rng(0)
    shapes = [(32, 32), (24, 48), (64, 20), (32, 33)]
    images = [Image.fromarray(rng.integers(0, 255, (*shape, 3), np.uint8)) for shape in shapes]
    one, many = (ClipEncoder(path, batch_size=size, **own) for size in (1, 4))
    assert one.limit == LIMITS.get(name, 77)
    texts, pictures = many.texts(TEXTS), many.images(images)
    assert np.abs(texts.parts - one.texts(TEXTS).parts).max() < 1e-5
    assert np.abs(pictures.parts - one.images(images).parts).max() < 1e-5
    assert np.allclose(np.linalg.norm(texts.parts, axis=1), 1, atol=1e-5)
    for vectors in (texts.parts, pictures.parts):
        assert (vectors @ vectors.T)[np.triu_indices(4, 1)].max() < 0.9999
    # A text longer than the model reads is read whole, in chunks.
    long = ", ".join(f"{number} red balls" for number in range(60))
    chunks = many.texts([long, long + ", and a green star"])
    assert chunks.counts.min() > 1 and not chunks.truncated.any()
    assert np.abs(chunks.of(0)[-1] - chunks.of(1)[-1]).max() > 1e-4
    cut = ClipEncoder(path, long_text="truncate", **own).texts([long])
    assert cut.counts.tolist() == [1] and cut.truncated.all()


@pytest.mark.parametrize("name", ["metaclip-2", "siglip-2-naflex", "align", "chinese-clip"])
def test_cosines_are_those_of_the_library(name: str, tmp_path: Path) -> None:
    path = small_scorers.build(name, tmp_path)
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 64, 3), np.uint8))
    encoder = ClipEncoder(path)
    own = encoder.texts(TEXTS).parts @ encoder.images([picture]).parts.T
    model = transformers.AutoModel.from_pretrained(path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    processor = transformers.AutoImageProcessor.from_pretrained(path, backend="pil")
    full = name.startswith("siglip")
    tokens = tokenizer(TEXTS, padding="max_length" if full else True, max_length=encoder.limit, return_tensors="pt")
    tokens = {"input_ids": tokens["input_ids"]} if full else {k: v for k, v in tokens.items() if k != "token_type_ids"}
    with torch.no_grad():
        output = model(**tokens, **processor(picture, return_tensors="pt"))
    vectors = torch.nn.functional.normalize(output.text_embeds, dim=-1)
    wanted = vectors @ torch.nn.functional.normalize(output.image_embeds, dim=-1).T
    assert np.abs(own - wanted.numpy()).max() < 1e-5


def test_siglip_2_reads_lower_case(tmp_path: Path) -> None:
    encoder = ClipEncoder(small_scorers.build("siglip-2", tmp_path))
    assert (encoder.texts(["A Red BALL"]).parts == encoder.texts(["a red ball"]).parts).all()


def test_policies_and_tokenizers_that_cannot_do_are_refused(tmp_path: Path) -> None:
    path = small_scorers.build("metaclip-2", tmp_path / "bare")
    bare = small_scorers.ended()
    bare.backend_tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    bare.save_pretrained(path)
    with pytest.raises(InputError, match=r"reads a text at its end token .* set --clip_processor"):
        ClipEncoder(path)

    path = small_scorers.build("align", tmp_path / "cut")
    tokenizer = small_scorers.ended()
    tokenizer.truncation_side = "right"
    tokenizer.save_pretrained(path)

    class Careless(transformers.PreTrainedTokenizerFast):
        def __call__(self, text, truncation=False, max_length=None, **more):
            found = super().__call__(text, **more)
            if truncation:
                found["input_ids"] = found["input_ids"][:max_length]
            return found

    from recbole_navigen.encoders.clip_inputs import refuse_unreadable

    model, careless = transformers.AutoModel.from_pretrained(path), Careless.from_pretrained(path)
    refuse_unreadable(path, model, careless, 64, "chunk")
    refuse_unreadable(path, model, tokenizer, 64, "truncate")
    with pytest.raises(InputError, match="long_text=truncate would drop the end token"):
        refuse_unreadable(path, model, careless, 64, "truncate")
    with pytest.raises(InputError, match="reads 1 tokens, which its special tokens fill"):
        refuse_unreadable(path, model, tokenizer, 1, "chunk")
