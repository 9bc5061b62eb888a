"""Small real models of the tiny world, trained from scratch and saved as Hugging Face folders.

    python benchmarks/tiny_models.py FOLDER

FOLDER/clip is a `CLIPModel` with tokenizer and image processor, FOLDER/image a `StableDiffusionPipeline`, FOLDER/video
an `AnimateDiffPipeline`. The image pipeline reads prompts with the CLIP's text tower, the video pipeline with one that
began as it; both share one autoencoder, and the video model starts from the image model's weights. They are measuring
instruments: real classes, real files, scenes whose truth is known.

Why AnimateDiff: its motion modules know the number of each frame. Text-to-video UNets with convolutions over time
(`UNet3DConditionModel`) must guess it from the padding at both ends, and did not learn which motion was asked for.

Symbols: B a batch, T tokens, D width, H pixels a side.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from recbole_navigen.artefacts import atomic_directory, content_hash, read_json, stage_is_current, write_json
from worlds import tiny_world as world

JITTER = (0.02, 0.02, 0.01)
LATENTS, FACTOR = 8, 4  # channels of a latent, pixels of its side
HEADS, GROUPS = 4, 8  # of attention, and of group norms
PARTS, TRAINING = ("clip", "autoencoder", "image", "video"), "training.json"
SPECIAL = ("<|startoftext|>", "<|endoftext|>")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the models are and how many steps each trains; these take half an hour on two cores."""

    width: int = 64
    layers: int = 3
    patch: int = 8
    latent_width: int = 32
    channels: int = 64
    pairs: int = 128  # pictures with captions in a batch of CLIP
    frames: int = 32  # pictures, half of them of clips, in a batch of the autoencoder
    pictures: int = 16  # in a batch of the image model
    clips: int = 8  # in a batch of the video model
    clip_steps: int = 1500
    autoencoder_steps: int = 700
    image_steps: int = 1000
    video_steps: int = 2500


# Sizes that a part does not depend on, so that more steps for one model do not train them all again.
_LATER = ("channels", "pictures", "clips", "image_steps", "video_steps")
_NOT_OF = {
    "clip": (*_LATER, "latent_width", "frames", "autoencoder_steps"),
    "autoencoder": (*_LATER, "width", "layers", "patch", "pairs", "clip_steps"),
    "image": ("clips", "video_steps"),
}


def train_tokenizer(folder: Path, rng: np.random.Generator, vocabulary: int = 640):
    """A CLIPTokenizer whose merges come from the world's captions; other words fall into pieces."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    scenes, _ = world.split_scenes()
    texts = [world.caption(scenes[place], rng, motion=True).lower() for place in rng.integers(len(scenes), size=4000)]
    learner = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token=SPECIAL[1]))
    learner.pre_tokenizer = CLIPTokenizer().backend_tokenizer.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            initial_alphabet=alphabet,
            end_of_word_suffix="</w>",
            special_tokens=list(SPECIAL),
            show_progress=False,
        ),
    )
    learnt = json.loads(learner.to_str())["model"]
    vocab = learnt["vocab"]
    # Every character can also end a word.
    for character in alphabet:
        vocab.setdefault(f"{character}</w>", len(vocab))
    tokenizer = CLIPTokenizer(
        vocab=vocab, merges=[tuple(pair) for pair in learnt["merges"]], model_max_length=77, pad_token=SPECIAL[1]
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


class Drawings:
    """Batches of training scenes: pictures or clips in [-1, 1], and their captions."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.scenes = world.split_scenes()[0]

    def __call__(self, count: int, clips: bool = False, frames: int = 0) -> tuple[Tensor, list[str]]:
        """Shapes (B, 3, H, H), or (B, 3, F, H, H) of clips. `frames` of the pictures are taken out of clips."""
        scenes = self.scenes[self.rng.integers(len(self.scenes), size=count)]
        jitter = self.rng.normal(size=(count, 3)) * JITTER
        pixels = world.draw_clips(scenes, jitter=jitter) if clips else world.draw(scenes, jitter=jitter)
        if frames:
            pixels[:frames] = world.draw(scenes[:frames], self.rng.random(), jitter[:frames])
        captions = [world.caption(scene, self.rng, motion=clips) for scene in scenes]
        return torch.from_numpy(np.moveaxis(pixels, -1, 1)).float() / 127.5 - 1, captions


def _fit(name: str, steps: int, parameters: list[nn.Parameter], rate: float, loss: Callable[[], Tensor]) -> float:
    """Train with AdamW, a short warm-up and a linear fall of the learning rate; returns the running loss at the end."""
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    shown = None
    with tqdm(range(steps), desc=name, mininterval=1) as bar:
        for step in bar:
            for group in optimiser.param_groups:
                group["lr"] = rate * min((step + 1) / 50, 1.0) * max(1 - step / steps, 0.02)
            optimiser.zero_grad()
            value = loss()
            value.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            shown = value.item() if shown is None else 0.95 * shown + 0.05 * value.item()
            bar.set_postfix(loss=f"{shown:.4f}", refresh=False)
    return shown


def train_clip(folder: Path, sizes: Sizes, drawings: Drawings) -> float:
    """A CLIPModel by the symmetric contrastive loss over pictures and captions, saved; the last loss."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    tokenizer = train_tokenizer(folder, drawings.rng)
    tower = {
        "hidden_size": sizes.width,
        "intermediate_size": 2 * sizes.width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": 4,
    }
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = CLIPModel(
        CLIPConfig(
            text_config={**tower, **ends, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id},
            vision_config={**tower, "image_size": world.SIZE, "patch_size": sizes.patch},
            projection_dim=sizes.width,
        )
    )
    mean = std = [0.5] * 3
    side = {"height": world.SIZE, "width": world.SIZE}
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": world.SIZE}, crop_size=side, image_mean=mean, image_std=std
    )

    def loss() -> Tensor:
        pixels, captions = drawings(sizes.pairs, frames=sizes.pairs // 4)  # it will score clips, too
        tokens = tokenizer(captions, padding=True, truncation=True, return_tensors="pt")
        return model(**tokens, pixel_values=pixels, return_loss=True).loss

    final = _fit("CLIP", sizes.clip_steps, list(model.parameters()), 1e-3, loss)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return final


def train_autoencoder(sizes: Sizes, drawings: Drawings):
    """An AutoencoderTiny over pictures and frames; its scaling makes latents of unit variance."""
    from diffusers import AutoencoderTiny

    settings = {
        "latent_channels": LATENTS,
        "encoder_block_out_channels": (sizes.latent_width,) * 3,
        "decoder_block_out_channels": (sizes.latent_width,) * 3,
        # No blocks at full size: they would cost more than all the rest.
        "num_encoder_blocks": (0, 1, 1),
        "num_decoder_blocks": (1, 1, 0),
    }
    model = AutoencoderTiny(**settings)

    def batch() -> Tensor:
        pictures, _ = drawings(sizes.frames // 2)
        clips, _ = drawings(sizes.frames // 2 // world.FRAMES, clips=True)
        return torch.cat([pictures, clips.transpose(1, 2).flatten(0, 1)])

    def loss() -> Tensor:
        pixels = batch()
        latents = model.encoder(pixels)
        found = model.decoder(latents)
        return functional.l1_loss(found, pixels) + functional.mse_loss(found, pixels) + 1e-3 * (latents**2).mean()

    final = _fit("autoencoder", sizes.autoencoder_steps, list(model.parameters()), 2e-3, loss)
    with torch.no_grad():
        scale = 1 / model.encoder(batch()).std().item()
    model.register_to_config(scaling_factor=scale)
    return model.eval(), final


def _image_unet(sizes: Sizes):
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        in_channels=LATENTS,
        out_channels=LATENTS,
        block_out_channels=(sizes.channels,) * 2,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=sizes.width,
        attention_head_dim=HEADS,  # which this class reads as the number of heads
        norm_num_groups=GROUPS,
        sample_size=world.SIZE // FACTOR,
        use_linear_projection=True,
    )


def _video_unet(image_unet, sizes: Sizes):
    """The image model with motion modules, which begin as nothing, so that clips begin as pictures.

    Their first attention over frames begins with each frame's view of itself. As it is usually drawn it begins as a
    mean over frames, in which the number of a frame is all but lost.
    """
    from diffusers import MotionAdapter, UNetMotionModel

    adapter = MotionAdapter(
        block_out_channels=(sizes.channels,) * 2,
        motion_layers_per_block=1,
        motion_num_attention_heads=HEADS,
        motion_norm_num_groups=GROUPS,
        motion_max_seq_length=world.FRAMES,
    )
    unet = UNetMotionModel.from_unet2d(image_unet, adapter)
    for part, module in unet.named_modules():
        if "motion_modules" not in part:
            continue
        if part.endswith("proj_out"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
        elif part.endswith(("attn1.to_q", "attn1.to_k")):
            module.weight.data = 3 * torch.eye(len(module.weight))
    return unet


def train_denoiser(sizes: Sizes, drawings: Drawings, text, tokenizer, vae, start=None):
    """A diffusion UNet on the autoencoder's latents, of pictures, or of clips if `start`, the image model, is given.

    With clips the text encoder learns, too: it was trained on what stands still and has little to say of motion.
    Returns the UNet, the text encoder, the scheduler and the last loss.
    """
    from diffusers import DDIMScheduler

    unet = _image_unet(sizes) if start is None else _video_unet(start, sizes)
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )
    text.requires_grad_(start is not None)
    both = nn.ModuleList([unet, text])
    averaged = torch.optim.swa_utils.AveragedModel(both, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        # A pool of encoded scenes that is renewed part by part: drawing and encoding cost more than one step.
        pool: list[tuple[Tensor, Tensor]] = []
        count = sizes.pictures if start is None else sizes.clips
        while True:
            with torch.no_grad():
                pixels, captions = drawings(count, clips=start is not None)
                captions = ["" if drawings.rng.random() < 0.1 else caption for caption in captions]
                flat = pixels if start is None else pixels.transpose(1, 2).flatten(0, 1)
                latents = vae.encode(flat).latents * vae.config.scaling_factor
                if start is not None:
                    latents = latents.unflatten(0, (count, -1)).transpose(1, 2)
                tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
                pool.append((latents.float(), tokens["input_ids"]))
            pool = pool[-64:]
            for _ in range(4):
                yield pool[drawings.rng.integers(len(pool))]

    source = batches()

    def loss() -> Tensor:
        latents, tokens = next(source)
        context = text(tokens).last_hidden_state
        noise = torch.randn_like(latents)
        last = scheduler.config.num_train_timesteps
        steps = torch.randint(last, (len(latents),))
        if start is not None:
            # Where an object goes is decided while little but noise is seen: a third of the clips is learned from noise
            # alone, and a third from a little more.
            share = torch.rand(len(latents))
            steps = torch.where(share < 1 / 3, last - 1, torch.where(share < 2 / 3, last - 1 - steps // 4, steps))
            context = context.repeat_interleave(latents.shape[2], dim=0)
        noisy = scheduler.add_noise(latents, noise, steps)
        averaged.update_parameters(both)
        found = unet(noisy, steps, encoder_hidden_states=context).sample
        return functional.mse_loss(found.float(), scheduler.get_velocity(latents, noise, steps))

    name, steps = ("image model", sizes.image_steps) if start is None else ("video model", sizes.video_steps)
    learned = [weight for weight in both.parameters() if weight.requires_grad]
    final = _fit(name, steps, learned, 1e-3, loss)
    return *averaged.module.eval(), scheduler, final


def shown() -> str:
    """Names what the models learn from and how they are made: drawings, which scenes are held out, captions, jitter."""
    scenes, held_out = world.split_scenes()
    some = scenes[:: len(scenes) // 100]
    captions = [
        world.caption(scene, np.random.default_rng(number), motion)
        for number, scene in enumerate(some)
        for motion in (False, True)
    ]
    drawn = world.draw_clips(world.all_scenes()[::500])
    return content_hash(drawn, scenes, held_out, captions, JITTER, LATENTS, FACTOR, HEADS, GROUPS)


def build(
    folder: str | Path, sizes: Sizes | None = None, seed: int = 0, parts: Sequence[str] = PARTS
) -> dict[str, float]:
    """Train and save what is not there yet, part by part.

    Args:
        folder: gets a folder of each part. sizes, seed: of all of them.
        parts: which ones; `image` needs the two before it, and `video` all others.

    Returns:
        The last training loss and the seconds of each part, also of those that were there already.
    """
    from diffusers import AnimateDiffPipeline, AutoencoderTiny, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    folder, sizes, report = Path(folder), sizes or Sizes(), {}
    taught = shown()

    def part(name: str, train: Callable[[Path, Drawings], float]) -> None:
        if name not in parts:
            return
        own = {size: value for size, value in asdict(sizes).items() if size not in _NOT_OF.get(name, ())}
        inputs = {"sizes": own, "shown": taught, "seed": seed, "torch": torch.__version__}
        if not stage_is_current(folder / name, inputs):
            torch.manual_seed(seed)
            begin = time.perf_counter()
            with atomic_directory(folder / name, inputs) as path:
                loss = train(path, Drawings(np.random.default_rng(seed)))
                write_json(path / TRAINING, {"loss": loss, "seconds": time.perf_counter() - begin})
        report.update({f"{name} {key}": value for key, value in read_json(folder / name / TRAINING).items()})

    def autoencoder(path: Path, drawings: Drawings) -> float:
        model, loss = train_autoencoder(sizes, drawings)
        model.save_pretrained(path)
        return loss

    def pipeline(path: Path, drawings: Drawings, clips: bool = False) -> float:
        start = UNet2DConditionModel.from_pretrained(folder / "image" / "unet") if clips else None
        text, tokenizer = (kind.from_pretrained(folder / "clip") for kind in (CLIPTextModel, CLIPTokenizer))
        vae = AutoencoderTiny.from_pretrained(folder / "autoencoder")
        unet, text, scheduler, loss = train_denoiser(sizes, drawings, text, tokenizer, vae, start)
        shared = {"vae": vae, "text_encoder": text, "tokenizer": tokenizer, "scheduler": scheduler, "unet": unet}
        if not clips:
            own = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
            StableDiffusionPipeline(**shared, **own).save_pretrained(path)
        else:
            AnimateDiffPipeline(**shared, motion_adapter=None).save_pretrained(path)
        return loss

    part("clip", lambda path, drawings: train_clip(path, sizes, drawings))
    part("autoencoder", autoencoder)
    part("image", pipeline)
    part("video", lambda path, drawings: pipeline(path, drawings, clips=True))
    return report
