"""Bad search spaces of a sweep, in yaml and in RecBole's format, and good ones."""

from collections.abc import Iterator
from pathlib import Path

from bad_input.commands import TRAINS
from bad_input.world import Input, World

# One space a line; a line end or a tab within is written as in Python.
BAD = r"""
# nothing
3
- dropout
dropout
dropout:
dropout: 0.5
dropout: []
dropout: {}
dropout: [0.1, 0.1]
dropout: {type: floot, low: 0, high: 1}
dropout: {type: float}
dropout: {type: float, low: 0.1}
dropout: {type: float, high: 0.1}
dropout: {type: float, low: 0.5, high: 0.1}
dropout: {type: float, low: a, high: 0.5}
dropout: {type: float, low: .nan, high: 0.5}
dropout: {type: float, low: 0.1, high: .inf}
dropout: {type: float, low: 0.1, high: 0.5, step: 0}
dropout: {type: float, low: 0.1, high: 0.5, step: -1}
dropout: {type: float, low: 0.0, high: 0.5, log: true}
dropout: {type: float, low: 0.1, high: 0.5, log: true, step: 0.1}
dropout: {type: float, low: 0.1, high: 0.5, log: 3}
dropout: {type: float, low: 0.1, high: 0.5, lwo: 3}
dropout: {type: float, low: 0.1, high: 7}
dropout: {type: float, low: -1, high: 0.5}
dropout: {values: 5}
dropout: {values: []}
dropout: {low: 0, high: 1}
dropout: {type: [float], low: 0, high: 1}
dropout: [0.1, 7, 0.2]
dropout: [a, b]
dropout: [~, 0.1]
hidden_size: {type: int, low: 1.5, high: 3}
hidden_size: [16, wide, 32]
hidden_size: [16, 0, 32]
hidden_size: [16, 30, 32]
n_layers: {type: int, low: 0, high: 3}
droppout: [0.1, 0.2]
task_weights.dens: [0, 1]
task_weights: [0, 1]
task_weights.tid2cid: [0, -1, 1]
task_weights.tid2cid.more: [0, 1]
task_weights..tid2cid: [0, 1]
.dense: [0, 1]
dropout: [0.1]\ndropout: [0.2]
dropout: [0.1\n
\tdropout: [0.1]
dropout: !!python/tuple [0.1]
history: [pooled, poled]
history: {type: float, low: 0, high: 1}
backbone: [scratch, nowhere]
epochs: [1, 1.5]
seed: [-1, 2]
training_stages: [[align], [finetune]]
dropout uniform 0.5,0.1
dropout uniform 0.5
dropout uniform a,b
dropout loguniform 1,900
dropout quniform 0,1,0
dropout quniform 0,1,-1
dropout choice []
dropout choice 5
dropout choice [0.1, 7]
dropout normal 0,1
dropout choice [0.1]\nthis is no line
supervision.rounds: [0, -1]
supervision.klingon: [1]
reinforce.steps: [0, 1]
model: [NaviGen, SASRec]
dataset: [tiny, toys]
checkpoint_dir: [a, b]
topk: [[5], [10, 0]]
metrics: [[NDCG], [NDGC]]
"""
GOOD = r"""
dropout: [0.1, 0.2]
dropout: {type: float, low: 0.0, high: 0.5}
levels: {type: int, low: 2, high: 3}
task_weights.tid2cid: [0.5, 1]
dropout uniform 0.1,0.5\n\n# more\nlabel_smoothing choice [0.0,0.1]
batch_items: [~, 60]
"""


def space_inputs(world: World) -> Iterator[Input]:
    """Search spaces of a sweep."""
    for right, texts in ((False, ["", *BAD.strip().split("\n")]), (True, GOOD.strip().split("\n"))):
        for text in texts:
            content = text.replace("\\n", "\n").replace("\\t", "\t")

            def files(world: World, content: str = content) -> None:
                Path("space.yaml").write_text(f"{content}\n")

            name = content.strip().split(":")[0].split(" ")[0]
            about = ("space.yaml", name) if name else ("space.yaml",)
            # Whether a width and a number of heads fit is seen with both of them only.
            fits = None if "30" in text else right
            yield Input("spaces: good" if right else "spaces", text or "nothing", TRAINS["hyper"], about, files, fits)
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
