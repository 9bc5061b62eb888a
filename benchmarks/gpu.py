"""What one GPU does: the main job, ranking, writing, adapters, pictures, clips and scores, in under eight minutes.

    python benchmarks/gpu.py [--device=auto] [--parts=job,ranking,writer,lora,media,evaluator]
    python benchmarks/gpu.py --small --device=cpu  # tiny layouts, as the tests run it

Large models have published layouts and random weights (`worlds/published_layouts.py`), so nothing is downloaded. A part
that fails is reported and does not stop the others. Numbers go to results/gpu.json, those of --small to gpu-small.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from recbole.model.sequential_recommender.sasrec import SASRec

from harness.common import RESULTS, Bar, write_results
from recbole_navigen.artefacts import read_json
from recbole_navigen.config import Config
from recbole_navigen.devices import peak_device_memory_mb, resolve_device
from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.generation import diffusers_pipeline as media_pipeline
from recbole_navigen.generation.image import ImageGenerator
from recbole_navigen.generation.make import generate
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.generation.settings import GenerationSettings, generation_settings
from recbole_navigen.generation.video import VideoGenerator
from recbole_navigen.language.adapters import add_lora
from recbole_navigen.language.backbone import scratch_lm
from recbole_navigen.model.decoding import write
from recbole_navigen.model.ranking import Ranking
from worlds import published_layouts as layouts
from worlds.synthetic_catalogue import model_over, random_codes, random_histories

ROOT = Path(__file__).resolve().parent.parent
WIDTH, LENGTH, CODES = 128, 50, 256
BUDGET = 480  # seconds of all parts


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much each part does."""

    items: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    users: int = 256
    rows: int = 64  # of a training batch
    answers: int = 64
    instruction: int = 60  # tokens at most
    adapted: tuple[str, ...] = ("135M", "1.7B")
    image: tuple[int, int] = (1024, 1024)
    image_steps: int = 8
    video: tuple[int, int] = (480, 832)
    video_steps: int = 4
    frames: int = 33
    pictures: int = 512
    repeats: int = 5


SMALL = Sizes((300,), 8, 4, 4, 8, ("tiny",), (32, 32), 2, (32, 32), 2, 5, 8, 1)


class Bench:
    """Measures on one device. Parts return what they measured, and their bars."""

    def __init__(self, device: str, sizes: Sizes, small: bool, settings: list[str]):
        self.device, self.sizes, self.small, self.settings = device, sizes, small, settings
        self.cuda = device.startswith("cuda")
        self.dtype = torch.bfloat16 if self.cuda else torch.float32

    def seconds(self, work: Callable[[], object]) -> float:
        """Median wall time of some runs after one that is not counted; the device has finished."""
        times = []
        for _ in range(self.sizes.repeats + 1):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - start)
        return float(np.median(times[1:]))

    def wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def job(self) -> tuple[dict[str, Any], list[Bar]]:
        """The main job as a user runs it, beside the processor's result on record."""
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(ROOT / "run_navigen.py"), f"--use_gpu={self.cuda}", "--show_progress=False"]
            command += self.settings or ["--dataset=ml-100k"]
            start = time.perf_counter()
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            took = time.perf_counter() - start
            result = json.loads(next(Path(folder).glob("saved/NaviGen-*/result.json")).read_text())
        ndcg = result["test_result"]["ndcg@10"]
        found = {"seconds": took, "ndcg@10": ndcg, "stages": result["stages"]}
        found |= {name: result[name] for name in ("peak_memory_mb", "peak_device_memory_mb", "training_seconds")}
        bars = [Bar("main job, seconds", took, "at most 240", took <= 240)]
        if not self.settings:
            known = read_json(RESULTS / "main_job.json")["test_result"]["ndcg@10"]
            gap = abs(ndcg - known)
            bars.append(Bar("main job, NDCG@10 from the processor's", gap, "at most 0.003", gap <= 0.003))
        return found, bars

    def ranking(self) -> tuple[dict[str, Any], list[Bar]]:
        """Ranking and training steps as the catalogue grows, beside SASRec; scores beside the processor's."""
        table, bars = {}, []
        for n_items in self.sizes.items:
            model, renderer = self._model(n_items)
            contexts = random_histories(renderer, n_items, self.sizes.users, LENGTH, seed=1)
            if n_items == self.sizes.items[0]:
                found, agreed = self._agreement(model, contexts, n_items)
                table["agreement with the processor"], bars = found, agreed
            model.to(self.device)
            ranking, moved = Ranking(model, 4096), contexts.to(self.device)
            model.catalogue_vectors()
            row = {
                "NaviGen, users a second": self.sizes.users / self.seconds(lambda r=ranking, c=moved: r.top_k(c, 10))
            }
            row["NaviGen, items trained a second"] = self._trained(model, renderer, n_items)
            row |= self._sasrec(n_items)
            row["peak device memory, MB"] = peak_device_memory_mb(self.device)
            table[f"{n_items} items"] = row
            share = row["NaviGen, users a second"] / row["SASRec, users a second"]
            bars.append(Bar(f"{n_items} items: users a second / SASRec's", share, "at least 0.6", share >= 0.6))
            share = row["NaviGen, items trained a second"] / row["SASRec, items trained a second"]
            bars.append(Bar(f"{n_items} items: items trained a second / SASRec's", share, "reported", True))
        return table, bars

    def _model(self, n_items: int, lm: Any = None) -> tuple[Any, Any]:
        torch.manual_seed(0)
        lm = lm or scratch_lm(vocab_size=1000, width=WIDTH, layers=2, heads=4, inner=2 * WIDTH)
        codes = random_codes(n_items, CODES, 3, 0)
        return model_over(codes, CODES, lm, "tree", sampled=0 if n_items <= 20_000 else 1024)

    @torch.no_grad()
    def _agreement(self, model: Any, contexts: Any, n_items: int) -> tuple[dict[str, float], list[Bar]]:
        """Log-probabilities of all items in float32, and the first ten in bfloat16, here and on the processor."""
        found: dict[str, list[Any]] = {"whole": [], "half": []}
        for device in ("cpu", self.device):
            model.to(device).train(False)
            ranking, moved = Ranking(model, 4096), contexts.to(device)
            found["whole"].append(ranking.log_probs(moved).cpu())
            with torch.autocast(device.partition(":")[0], dtype=torch.bfloat16):
                found["half"].append(ranking.top_k(moved, 10).items.cpu())
        gap = float((found["whole"][0] - found["whole"][1]).abs().max())
        equal = float((found["half"][0] == found["half"][1]).float().mean())
        bars = [
            Bar(
                "largest difference of log-probabilities to the processor's, float32", gap, "at most 1e-4", gap <= 1e-4
            ),
            Bar("equal places among the first ten, bfloat16", equal, "1", equal == 1),
        ]
        return {"float32, largest difference": gap, "bfloat16, equal places": equal}, bars

    def _trained(self, model: Any, renderer: Any, n_items: int) -> float:
        rows = self.sizes.rows
        histories = torch.randint(1, n_items + 1, (rows, LENGTH), generator=torch.Generator().manual_seed(0))
        rendered = renderer.cid2cid(histories, torch.full((rows,), LENGTH), targets=True).to(self.device)
        took = self._step(model, lambda: model.decoder.loss(model, rendered))
        return rows * LENGTH / took

    def _step(self, model: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> float:
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=True)
        model.train()

        def step() -> None:
            optimizer.zero_grad()
            with torch.autocast(self.device.partition(":")[0], dtype=torch.bfloat16, enabled=self.cuda):
                value = loss()
            value.backward()
            optimizer.step()

        took = self.seconds(step)
        model.eval()
        return took

    def _sasrec(self, n_items: int) -> dict[str, float]:
        """RecBole's SASRec of equal width; it learns one item a row, from the whole catalogue."""
        settings = {"state": "ERROR", "hidden_size": WIDTH, "inner_size": 2 * WIDTH, "use_gpu": self.cuda}
        config = Config("SASRec", "ml-100k", config_dict=settings)
        torch.manual_seed(0)
        model = SASRec(config, SimpleNamespace(num=lambda field: n_items + 1)).to(self.device).eval()

        def rows(count: int) -> dict[str, torch.Tensor]:
            items = torch.randint(1, n_items + 1, (count, LENGTH), device=self.device)
            lengths = torch.full((count,), LENGTH, device=self.device)
            return {model.ITEM_SEQ: items, model.ITEM_SEQ_LEN: lengths, model.POS_ITEM_ID: items[:, -1]}

        asked, learned = rows(self.sizes.users), rows(self.sizes.rows)
        with torch.no_grad():
            ranked = self.seconds(lambda: model.full_sort_predict(asked).topk(10, dim=1))
        took = self._step(model, lambda: model.calculate_loss(learned))
        return {
            "SASRec, users a second": self.sizes.users / ranked,
            "SASRec, items trained a second": self.sizes.rows / took,
        }

    def writer(self) -> tuple[dict[str, Any], list[Bar]]:
        """Tokens a second of answers drawn together, each row by a generator of its own."""
        model, renderer = self._model(self.sizes.items[0])
        grammar, count = renderer.grammar, self.sizes.answers
        grammar.limits[grammar.index("instruction")] = self.sizes.instruction
        grammar.limits[grammar.index("thought")] = self.sizes.instruction
        histories = torch.randint(1, self.sizes.items[0], (count, LENGTH), generator=torch.Generator().manual_seed(0))
        tags = [("film", "image")] * count
        prompts = renderer.cid2ins(histories, torch.full((count,), LENGTH), tags, histories[:, -1])
        model.to(self.device)
        prompts, tokens = prompts.to(self.device), 0

        def answers() -> None:
            nonlocal tokens
            generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
            tokens = int(write(model, prompts, True, 1.0, generators, 0.9).lengths.sum())

        took = self.seconds(answers)
        return {"tokens": tokens, "seconds": took}, [Bar("writer, tokens a second", tokens / took, "reported", True)]

    def lora(self) -> tuple[dict[str, Any], list[Bar]]:
        """Training steps a second of adapters beside language models of published layouts."""
        found, bars = {}, []
        for size in self.sizes.adapted:
            lm = layouts.language_model(size, self.device)
            add_lora(lm, rank=16, alpha=32)
            model, renderer = self._model(self.sizes.items[0], lm)
            model.to(self.device)
            rows = max(2, self.sizes.rows // 8)
            histories = torch.randint(1, self.sizes.items[0], (rows, LENGTH))
            rendered = renderer.cid2cid(histories, torch.full((rows,), LENGTH), targets=True).to(self.device)
            took = self._step(model, lambda m=model, r=rendered: m.decoder.loss(m, r))
            found[size] = {"seconds a step": took, "items a step": rows * LENGTH}
            found[size]["peak device memory, MB"] = peak_device_memory_mb(self.device)
            bars.append(Bar(f"LoRA on {size}, steps a second", 1 / took, "reported", True))
            del lm, model
            self._free()
        return found, bars

    def media(self) -> tuple[dict[str, Any], list[Bar]]:
        """Pictures and clips through the media head, with each way to offload."""
        found, bars = {}, []
        kinds = {"image": (layouts.image_pipeline, ImageGenerator), "video": (layouts.video_pipeline, VideoGenerator)}
        for media, (build, kind) in kinds.items():
            for offload in ("none", "model", "sequential") if self.cuda else ("none",):
                row = self._made(media, build, kind, offload)
                found[f"{media}, offload {offload}"] = row
                name = f"{media} in {str(self.dtype).rpartition('.')[2]}, offload {offload}, seconds each"
                bars.append(Bar(name, row["seconds each"], "reported", row["done"] == row["asked"]))
        return found, bars

    def _made(self, media: str, build: Callable[..., Any], kind: Callable[..., Any], offload: str) -> dict[str, Any]:
        self._free()
        sizes, pipe = self.sizes, build(self.small, self.device, self.dtype)
        own: dict[str, Any] = {"generation_device": self.device, "offload": offload}
        own |= {f"{media}_steps": getattr(sizes, f"{media}_steps"), f"{media}_size": list(getattr(sizes, media))}
        own |= {"video_frames": sizes.frames, "video_guidance": 5.0} if media == "video" else {"image_guidance": 0.0}
        with tempfile.TemporaryDirectory() as folder:
            # The head's own class, given the pipeline in place of a folder: tens of gigabytes need not pass a disk.
            pipe.save_config(folder)
            settings = generation_settings({**own, f"{media}_model": folder, "generation_batch_size": 1})
            generator = with_pipeline(pipe, kind, settings)
            records = [InstructionRecord(f"u{user}", media, "a red ball, night", "i1") for user in range(2)]
            start = time.perf_counter()
            made = generate(records, {media: generator}, Path(folder) / "media", settings)
            self.wait()
            each = (time.perf_counter() - start) / len(records)
            reasons = [record["reason"] for record in made.records if record["status"] != "done"]
        row = {"seconds each": each, "asked": len(records), "done": made.counts["done"], "reasons": reasons}
        return {**row, "peak device memory, MB": peak_device_memory_mb(self.device)}

    def evaluator(self) -> tuple[dict[str, Any], list[Bar]]:
        """Pictures a second through the CLIP-like model, from arrays."""
        rng, side = np.random.default_rng(0), 32 if self.small else 512
        pictures = [rng.integers(0, 255, (side, side, 3), np.uint8) for _ in range(min(32, self.sizes.pictures))]
        with tempfile.TemporaryDirectory() as folder:
            encoder = ClipEncoder(layouts.clip_folder(self.small, Path(folder)), device=self.device)
            encoder.images(pictures[:1])
            many = [np.roll(pictures[place % len(pictures)], place, axis=0) for place in range(self.sizes.pictures)]
            self.wait()
            start = time.perf_counter()
            encoder.images(many)
            took = time.perf_counter() - start
        speed = self.sizes.pictures / took
        return {"pictures": self.sizes.pictures}, [Bar("evaluator, pictures a second", speed, "reported", True)]

    def _free(self) -> None:
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)


def with_pipeline(pipe: Any, kind: Callable[..., Any], settings: GenerationSettings) -> Any:
    """A generator of the media head around a pipeline that is there already."""
    import diffusers

    ready = classmethod(lambda cls, *_, **__: pipe)
    with (
        mock.patch.object(media_pipeline, "loader_of", lambda *_: type(pipe)),
        mock.patch.object(diffusers.DiffusionPipeline, "from_pretrained", ready),
    ):
        return kind(settings)


def main() -> None:
    parser = argparse.ArgumentParser(description="What one GPU does.")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--parts", default="job,ranking,writer,lora,media,evaluator")
    parser.add_argument("--small", action="store_true", help="tiny layouts, for a processor")
    given, settings = parser.parse_known_args()
    device = resolve_device(given.device)
    bench = Bench(device, SMALL if given.small else Sizes(), given.small, settings)
    begin, bars, details = time.perf_counter(), [], {}
    for part in given.parts.split(","):
        start = time.perf_counter()
        try:
            details[part], found = getattr(bench, part)()
            bars += found
        except Exception as error:  # the other parts still tell something, and time on a device is dear
            traceback.print_exc()
            details[part] = {"failed": f"{type(error).__name__}: {error}"}
            bars.append(Bar(f"{part} failed", 0, "runs", False))
        print(f"{part}: {time.perf_counter() - start:.1f} s", flush=True)
    spent = time.perf_counter() - begin
    bars.append(Bar("seconds of all parts", spent, f"at most {BUDGET}", spent <= BUDGET))
    name = torch.cuda.get_device_name(device) if bench.cuda else "processor"
    write_results("gpu-small" if given.small else "gpu", bars, {"device": name, **details})


if __name__ == "__main__":
    main()
