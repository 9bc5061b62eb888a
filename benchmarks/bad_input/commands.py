"""Bad arguments of the commands: values of their own arguments, words that are none, and processes."""

from collections.abc import Iterator
from typing import Any

from bad_input.world import BASE, DATASET, FEW, SPACE, Input, World

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
        "--model": ("Nope", ""),
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
        ),
        "--params_file": ("nowhere.yaml", "", "dataset", BASE),
        "--output": ("dataset", BASE, f"{BASE}/below", "/proc/nowhere"),
    },
    "generate": {
        "--n_users": ("0", "-3", "1.5", "", "two"),
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


def command_inputs(world: World) -> Iterator[Input]:
    """The commands' own arguments, and words that are none."""
    for name, arguments in ARGUMENTS.items():
        for argument, values in arguments.items():
            for value in values:
                yield Input(
                    "command: values",
                    f"{name} {argument}={value}",
                    _with(name, world, argument, value),
                    (argument.strip("-").removesuffix("s"), value or "folder"),
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
            (word.strip("—-").partition("=")[0][:8] or "config", "argument"),
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
            (*given, "--task_weights={tid2cid: 1}", "--task_weights.tid2cid=0"),
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
        mapping = (*given, "--task_weights={tid2cid: 0}")
        yield Input("command: good", f"{name} a mapping behind files", mapping, (), None, True, _without_terms)
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


def _without_terms(seen: Any) -> bool:
    shipped = {"cid2cid": 1.0, "cid2tid": 0.05, "tid2cid": 0.05, "cid2ins": 0.0}
    return seen.configs[0]["task_weights"] == {**shipped, "tid2cid": 0}
