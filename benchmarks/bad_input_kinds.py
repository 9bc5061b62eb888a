"""The table of kinds of bad inputs, and those of commands: their arguments, search spaces, media, and processes."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from bad_input_calls import call_inputs, table_inputs
from bad_input_files import atomic_inputs, yaml_inputs
from bad_input_folders import model_inputs, run_inputs
from bad_input_settings import good_settings, settings_inputs
from bad_input_world import BASE, DATASET, FEW, SPACE, Input, World
from PIL import Image

TRAINS = {
    "navigen": ("navigen", f"--dataset={DATASET}", "--config_files", BASE),
    "compare": ("compare", "--models=NaviGen,BPR", f"--dataset={DATASET}", "--config_files", BASE),
    "hyper": ("hyper", "--n_trials=1", SPACE, f"--dataset={DATASET}", "--config_files", BASE),
    "generate": ("generate", *FEW, f"--dataset={DATASET}", "--config_files", BASE),
}
# Values of the commands' own arguments: command -> argument -> bad ones.
ARGUMENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "navigen": {
        "--model": ("Nope", "", "navigen", "5", "../NaviGen", "SASRec,BPR"),
        "--dataset": ("tinny", "", "a/b", "None"),
    },
    "compare": {
        "--models": ("Nope", "", ",", "SASRec,", "SASRec,,BPR", "SASRec,SASRec", "sasrec", "5"),
        "--seeds": (
            "0",
            "-1",
            "[]",
            "[1,1]",
            "[a]",
            "1.5",
            "[1.5]",
            "true",
            "abc",
            "{a: 1}",
            "[-1]",
            "2,3",
            "[1",
            "99999999999999999999",
        ),
        "--dataset": ("tinny", ""),
        "--runs": ("nowhere", "", BASE),
    },
    "hyper": {
        "--model": ("Nope", "", "Pop"),
        "--n_trials": ("0", "-1", "1.5", "abc", "", "nan"),
        "--heartbeat": ("0", "-1", "1.5", "abc"),
        "--sampler": ("foo", "", "TPE ", "tpe,random"),
        "--pruner": ("foo", "", "mediam"),
        "--storage": (
            "foo",
            "foo://x",
            "sqlite:///no/such/folder/x.db",
            "journal:",
            "journal:base.yaml/x",
            "mysql://",
            "postgresql://nobody@127.0.0.1:1/x",
            "sqlite://",
        ),
        "--params_file": ("nowhere.yaml", "", "dataset", BASE),
        "--output": ("dataset", BASE, f"{BASE}/below", "/proc/nowhere"),
        "--study": ("",),
    },
    "generate": {
        "--users": ("0", "-3", "1.5", "", "nobody", "u1,nobody", "u1,,u2", "u1,u1", "u1,all", ",", "U1"),
        "--temperature": ("-1", "nan", "inf", "-inf", "abc", "", "1e999"),
        "--top_p": ("0", "-1", "7", "nan", "abc", "1.0001"),
        "--drafts": ("0", "-1", "1.5", "abc", ""),
        "--sampling_seed": ("abc", "1.5", ""),
        "--media": ("song", "", "Image"),
        "--output": (BASE, f"{BASE}/below", "/proc/nowhere"),
        "--run": ("nowhere", BASE, "dataset"),
        "--dataset": ("tinny", ""),
    },
}
# Words that no command understands.
WORDS = (
    "epochs=3",
    "-epochs=3",
    "--=3",
    "--epochs",
    "--epochs==3",
    "--epochs=",
    "—epochs=3",
    "--lora",
    "3",
    "",
    "--",
    "-x",
    "--modell=BPR",
    "--config_file=base.yaml",
    "--topk=[5,10",
    "--topk={5",
    "--epochs=3 --seed=4",
    "--epochs= 3,",
    "--show_progres=False",
    "--seed=-1",
    "--seed=1.5",
    "--seed=99999999999999999999999",
)
# Search spaces: a line that is wrong, and what the sentence must name beside the file.
SPACES = (
    "", "# nothing", "3", "- dropout", "dropout", "dropout:", "dropout: 0.5", "dropout: []", "dropout: {}", "dropout: [0.1, 0.1]",
    "dropout: {type: floot, low: 0, high: 1}", "dropout: {type: float}", "dropout: {type: float, low: 0.1}", "dropout: {type: float, high: 0.1}",
    "dropout: {type: float, low: 0.5, high: 0.1}", "dropout: {type: float, low: a, high: 0.5}", "dropout: {type: float, low: .nan, high: 0.5}",
    "dropout: {type: float, low: 0.1, high: .inf}", "dropout: {type: float, low: 0.1, high: 0.5, step: 0}", "dropout: {type: float, low: 0.1, high: 0.5, step: -1}",
    "dropout: {type: float, low: 0.0, high: 0.5, log: true}", "dropout: {type: float, low: 0.1, high: 0.5, log: true, step: 0.1}", "dropout: {type: float, low: 0.1, high: 0.5, log: 3}",
    "dropout: {type: float, low: 0.1, high: 0.5, lwo: 3}", "dropout: {type: float, low: 0.1, high: 7}", "dropout: {type: float, low: -1, high: 0.5}",
    "dropout: {values: 5}", "dropout: {values: []}", "dropout: {low: 0, high: 1}", "dropout: {type: [float], low: 0, high: 1}", "dropout: [0.1, 7, 0.2]", "dropout: [a, b]", "dropout: [~, 0.1]",
    "hidden_size: {type: int, low: 1.5, high: 3}", "hidden_size: [16, wide, 32]", "hidden_size: [16, 0, 32]", "hidden_size: [16, 30, 32]", "n_layers: {type: int, low: 0, high: 3}",
    "droppout: [0.1, 0.2]", "task_weights.dens: [0, 1]", "task_weights: [0, 1]", "task_weights.dense: [0, -1, 1]", "task_weights.dense.more: [0, 1]", "task_weights..dense: [0, 1]", ".dense: [0, 1]",
    "dropout: [0.1]\ndropout: [0.2]", "dropout: [0.1\n", "\tdropout: [0.1]", "dropout: !!python/tuple [0.1]", "history: [pooled, poled]", "history: {type: float, low: 0, high: 1}", "backbone: [scratch, nowhere]",
    "epochs: [1, 1.5]", "seed: [-1, 2]", "training_stages: [[align], [finetune]]", "dropout uniform 0.5,0.1", "dropout uniform 0.5", "dropout uniform a,b", "dropout loguniform 1,900", "dropout quniform 0,1,0", "dropout quniform 0,1,-1",
    "dropout choice []", "dropout choice 5", "dropout choice [0.1, 7]", "dropout normal 0,1", "dropout choice [0.1]\nthis is no line", "supervision.rounds: [0, -1]", "supervision.klingon: [1]", "reinforce.steps: [0, 1]", "model: [NaviGen, SASRec]", "dataset: [tiny, toys]", "checkpoint_dir: [a, b]", "topk: [[5], [10, 0]]", "metrics: [[NDCG], [NDGC]]",
)  # fmt: skip
GOOD_SPACES = (
    "dropout: [0.1, 0.2]",
    "dropout: {type: float, low: 0.0, high: 0.5}",
    "n_layers: {type: int, low: 1, high: 1}",
    "task_weights.dense: [0.5, 1]",
    "dropout uniform 0.1,0.5\n\n# more\nn_layers choice [1,2]",
    "codes: [~, 6]",
)


def command_inputs(world: World) -> Iterator[Input]:
    """The commands' own arguments, and words that are none."""
    for name, arguments in ARGUMENTS.items():
        for argument, values in arguments.items():
            for value in values:
                yield Input(
                    "command: values",
                    f"{name} {argument}={value}",
                    _with(name, world, argument, value),
                    (argument.strip("-"), value or "empty"),
                )
            yield Input(
                "command: values",
                f"{name} {argument} without a value",
                (*TRAINS[name], argument),
                (argument.strip("-"),),
            )
    for number, word in enumerate(WORDS):
        name = list(TRAINS)[number % 4]
        yield Input(
            "command: words",
            f"{name} {word}",
            (*TRAINS[name], word),
            (word.strip("—-").partition("=")[0][:8] or "argument", "argument"),
        )
    for name, given in TRAINS.items():
        bare = given[: given.index("--config_files")]
        yield Input(
            "command: words", f"{name} --config_files and no file", (*bare, "--config_files"), ("config_files",)
        )
        yield Input(
            "command: words",
            f"{name} a setting behind files",
            (*bare, "--config_files", BASE, "epochs=3"),
            ("epochs=3",),
        )
        yield Input("command: words", f"{name} a setting twice", (*given, "--epochs=2", "--epochs=3"), ("epochs",))
        yield Input(
            "command: words",
            f"{name} a setting and its entry",
            (*given, "--task_weights={dense: 1}", "--task_weights.dense=0"),
            ("task_weights",),
        )
        yield Input(
            "command: processes",
            f"{name} of a world of words",
            given,
            ("WORLD_SIZE",),
            environment={"WORLD_SIZE": "two"},
        )
        if name != "navigen":
            yield Input(
                "command: processes",
                f"{name} by torchrun",
                given,
                ("torchrun",),
                environment={"WORLD_SIZE": "2", "RANK": "0"},
            )
        yield Input("command: good", name, given, (), None, True)
        value = {"cid2cid": 1.0, "dense": 0, "cid2tid": 0.05, "tid2cid": 0.05, "cid2ins": 0.0}
        check: Callable[..., bool] = lambda seen, value=value: seen.configs[0]["task_weights"] == value
        yield Input(
            "command: good",
            f"{name} a mapping behind files",
            (*given, "--task_weights={dense: 0}"),
            (),
            None,
            True,
            check,
        )
    both = (
        ("compare", "--runs", str(world.navigen), "--models=BPR"),
        ("compare", "--runs", str(world.navigen), "--epochs=3"),
        ("compare", "--runs", str(world.navigen), str(world.navigen), "--topk=[0]"),
        ("compare", "--runs", str(world.navigen), str(world.baseline), "--metrics=[NDGC]"),
        ("compare", "--runs", str(world.navigen), str(world.baseline), "--topk=[1000]"),
        ("compare", "--runs", str(world.navigen), str(world.baseline), "--checkpoint_dir=base.yaml"),
        ("compare", f"--dataset={DATASET}", "--config_files", BASE),
        ("compare", "--models=NaviGen,FM", f"--dataset={DATASET}", "--config_files", BASE, "--model=BPR"),
        ("generate", f"--run={world.navigen}", "--dataset=tiny"),
        ("generate", f"--run={world.navigen}", "--epochs=3"),
        ("generate", f"--run={world.navigen}", f"--output={world.navigen}"),
        ("generate", f"--run={world.navigen}", f"--output={world.navigen}/deeper"),
        ("generate", *FEW, f"--dataset={DATASET}", "--config_files", BASE, "--model=BPR"),
        (*TRAINS["hyper"], "--learning_rate=0.1"),
        (*TRAINS["hyper"], "--eval_args={split: {LS: test_only}}"),
    )
    for given in both:
        yield Input("command: together", " ".join(word.replace(str(world.folder), "") for word in given), given)


def _with(name: str, world: World, argument: str, value: str) -> tuple[str, ...]:
    if argument == "--runs":
        return (name, argument, value, str(world.baseline))
    if argument == "--run":
        return (name, f"{argument}={value}", *FEW)
    if name == "generate" and argument != "--dataset":
        own = [word for word in FEW if not word.startswith(argument)]
        return (name, f"--run={world.navigen}", *own, f"{argument}={value}")
    own = [word for word in TRAINS[name] if not word.startswith(f"{argument}=")]
    return (*own, f"{argument}={value}")


def space_inputs(world: World) -> Iterator[Input]:
    """Search spaces of a sweep."""
    for number, text in enumerate((*SPACES, *GOOD_SPACES)):

        def files(world: World, text: str = text) -> None:
            Path("space.yaml").write_text(f"{text}\n")

        good = number >= len(SPACES)
        # Whether a width and a number of heads fit is seen with both of them only.
        right = True if good else None if "30" in text else False
        name = text.strip().split(":")[0].split(" ")[0]
        about = ("space.yaml", name) if name else ("space.yaml",)
        yield Input(
            "spaces: good" if good else "spaces",
            repr(text),
            TRAINS["hyper"],
            about,
            files,
            right,
        )
    for what, content in {
        "binary": bytes(range(256)),
        "Latin-1": b"dropout: [0.1] # \xe9",
        "zero bytes": b"\0\0\0",
    }.items():
        yield Input(
            "spaces",
            what,
            TRAINS["hyper"],
            ("space.yaml",),
            lambda world, content=content: Path("space.yaml").write_bytes(content),
        )


def media_inputs(world: World) -> Iterator[Input]:
    """Requests for media that cannot be met: alone with a finished run, and where a run would be trained first."""
    clip, image = f"--clip_model={world.models / 'clip'}", f"--image_model={world.models / 'image'}"
    video = f"--video_model={world.models / 'video'}"
    makes = ("--output=out", image, clip)
    cases: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
        ((image,), ("output",)),
        (("--output=out", "--image_model=retrieval"), ("clip_model",)),
        (("--output=out", "--image_model=retrieval", clip), ("item_images",)),
        (("--output=out", "--image_model=retrieval", clip, "--item_images=nowhere"), ("item_images",)),
        (("--output=out", "--image_model=retrieval", clip, "--item_images=empty"), ("item_images",)),
        (("--output=out", "--image_model=retrieval", clip, "--item_images=broken"), ("i1.png", "broken")),
        (("--output=out", "--image_model=retrieval", clip, "--item_images=pictures", "--image_steps=3"), ("image_steps",)),
        ((*makes, "--media=video"), ("video_model",)),
        ((*makes, "--media=mixed"), ("video_model",)),
        ((*makes, "--image_to_image=True"), ("reference_image",)),
        ((*makes, "--strength=0.5"), ("strength",)),
        ((*makes, "--reference_image=nowhere.png"), ("reference_image",)),
        ((*makes, f"--reference_image={BASE}"), ("reference_image",)),
        ((*makes, "--reference_image=empty"), ("reference_image",)),
        ((*makes, "--reference_image=cut.png"), ("reference_image",)),
        ((*makes, "--reference_image=large.png"), ("reference_image",)),
        ((*makes, "--reference_image=pictures/i1.png", "--image_to_image=True", "--strength=0"), ("strength",)),
        (("--reference_image=pictures/i1.png",), ("clip_model",)),
        ((*makes, "--block_list=nowhere.txt"), ("block_list",)),
        ((*makes, "--block_list=empty"), ("block_list",)),
        ((*makes, "--block_list=pictures/i1.png"), ("block_list",)),
        ((*makes, "--extra_metrics=[nope]", "--held_out"), ("extra_metrics",)),
        ((*makes, "--extra_metrics=[ssim]"), ("extra_metrics",)),
        ((*makes, "--image_revision=main"), ("revision",)),
        (("--output=out", image, clip, "--clip_revision=main"), ("revision",)),
        ((*makes, "--generation_device=klingon"), ("generation_device", "klingon")),
        ((*makes, "--generation_device=cuda:7"), ("generation_device", "cuda")),
        ((*makes, "--offload=model"), ("offload", "accelerator")),
        ((*makes, "--image_size=[33,32]"), ("image_size",)),
        ((*makes, "--video_steps=3"), ("video_steps",)),
        (("--output=out", video, "--media=video", "--video_frames=100000"), ("video_frames",)),
        ((*makes, "--image_guidance=-5"), ("image_guidance",)),
    ]  # fmt: skip
    ways = {
        "run": (f"--run={world.navigen}", *FEW),
        "training first": (*FEW, f"--dataset={DATASET}", "--config_files", BASE),
    }
    for arguments, about in cases:
        for way, given in ways.items():
            what = " ".join(word.replace(str(world.models), "MODELS") for word in arguments)
            # What only the pipeline knows, such as the sizes it can draw, may be said when it draws.
            odd = ("--image_size=[33,32]", "--video_frames=100000", "--video_steps=3")
            right = None if arguments[-1] in odd else False
            yield Input("media: settings", f"{what}, {way}", ("generate", *given, *arguments), about, _pictures, right)
    for what, arguments in {
        "pictures": (image, clip, "--held_out"),
        "retrieval": ("--image_model=retrieval", clip, "--item_images=pictures"),
        "words": (),
    }.items():
        yield Input("media: good", what, ("generate", *ways["run"], "--output=out", *arguments), (), _pictures, True)


def _pictures(world: World) -> None:
    """Folders of pictures, right and broken."""
    for folder in ("pictures", "broken", "empty"):
        Path(folder).mkdir()
    for number in range(24):
        Image.new("RGB", (24, 24), (9 * number, 90, 90)).save(Path("pictures", f"i{number}.png"))
    Path("broken", "i1.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    whole = Path("pictures", "i1.png").read_bytes()
    Path("cut.png").write_bytes(whole[: len(whole) // 2])
    # A picture of 4 * 10^8 pixels in a few kilobytes: its header alone says so.
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    Path("large.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


SOURCES: tuple[Callable[[World], Iterator[Input]], ...] = (
    settings_inputs,
    good_settings,
    command_inputs,
    yaml_inputs,
    atomic_inputs,
    run_inputs,
    model_inputs,
    space_inputs,
    media_inputs,
    call_inputs,
    table_inputs,
)


def all_inputs(world: World) -> list[Input]:
    """Every input; names are unique within their kind."""
    inputs = list(itertools.chain.from_iterable(source(world) for source in SOURCES))
    seen: set[tuple[str, str]] = set()
    for given in inputs:
        if (given.kind, given.what) in seen:
            raise ValueError(f"{given.kind}: {given.what} is there twice")
        seen.add((given.kind, given.what))
    return inputs
