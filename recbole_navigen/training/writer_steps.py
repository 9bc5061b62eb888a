"""Training of the writer on instructions: a fixed number of steps beside a ranking model that stays as it is."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import torch

from recbole_navigen.bars import tqdm
from recbole_navigen.network.writer import Writer
from recbole_navigen.training.averaging import WeightAverage
from recbole_navigen.training.generators import random_states, set_random_states
from recbole_navigen.training.instruction_rows import InstructionRows
from recbole_navigen.training.precision import use_bf16
from recbole_navigen.training.progress import Progress
from recbole_navigen.training.schedule import RATE_FLOOR, rate

AVERAGED_SHARE = 0.1  # of the steps: the weights that are kept are averaged over about so many last ones
WARMUP_SHARE = 0.05
TIMED = 20  # steps after which the bar says how many minutes all of them take

logger = logging.getLogger(__name__)


def train_writer(
    writer: Writer, rows: InstructionRows, settings: Mapping[str, Any], progress: Progress, show_progress: bool
) -> float:
    """Train a writer and leave it at its averaged weights.

    Args:
        writer: at its start. rows: what it learns.
        settings: `writer_steps`, `writer_batch_size`, `writer_learning_rate`, `weight_decay`, `clip_grad_norm`,
            `autocast` and `seed`.
        progress: where a killed training goes on, with the same numbers.
        show_progress: whether to show a bar with the loss.

    Returns:
        Mean loss over the last tenth of the steps, in nats a token.
    """
    device, steps = writer.special_rows.device, settings["writer_steps"]
    bf16 = use_bf16(settings["autocast"], device)
    peak, averaged_steps = settings["writer_learning_rate"], max(1, round(AVERAGED_SHARE * steps))
    learned = [p for p in writer.parameters() if p.requires_grad]
    matrices, others = [p for p in learned if p.ndim > 1], [p for p in learned if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": settings["weight_decay"]}, {"params": others, "weight_decay": 0.0}],
        lr=peak,
        fused=device.type in ("cpu", "cuda"),
    )
    average = WeightAverage(writer, averaged_steps)
    drawn = torch.Generator().manual_seed(settings["seed"])
    losses: list[float] = []
    if (state := progress.load()) is not None:
        writer.load_state_dict(state["trained"], strict=False)
        average.load(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        drawn.set_state(state["drawn"])
        set_random_states(state["random_states"])
        losses = state["losses"]
        logger.info("write: going on from step %d of %d", len(losses), steps)

    writer.train()
    begun, start = len(losses), time.perf_counter()
    with tqdm(total=steps, initial=len(losses), desc="write", ncols=100, disable=not show_progress) as bar:
        while len(losses) < steps:
            step = len(losses)
            for group in optimizer.param_groups:
                group["lr"] = peak * rate(step, steps, int(WARMUP_SHARE * steps), "cosine", RATE_FLOOR)
            batch = rows.batch(settings["writer_batch_size"], drawn).to(device)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                loss = writer.text_loss(batch)
            optimizer.zero_grad()
            loss.backward()
            if settings["clip_grad_norm"]:
                torch.nn.utils.clip_grad_norm_(learned, **settings["clip_grad_norm"])
            optimizer.step()
            average.update()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
            bar.update()
            if len(losses) == begun + TIMED:
                minutes = steps * (time.perf_counter() - start) / TIMED / 60
                bar.set_description(f"write, about {minutes:.0f} min in all" if minutes >= 1 else "write")
            if progress.due and len(losses) < steps:
                progress.save(
                    trained={name: weight for name, weight in writer.named_parameters() if name in average.weights},
                    average=average.state(),
                    optimizer=optimizer.state_dict(),
                    drawn=drawn.get_state(),
                    random_states=random_states(),
                    losses=losses,
                )
                logger.info("write: step %d of %d, %.3f nats a token", len(losses), steps, losses[-1])
    writer.load_state_dict(average.weights, strict=False)
    writer.eval()
    last = losses[-averaged_steps:]
    return sum(last) / len(last)
