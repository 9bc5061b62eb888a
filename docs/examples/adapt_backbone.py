"""Adapt a language model that no single process could train to the texts of a catalogue: sharded weights (FSDP).

    torchrun --nproc_per_node=2 docs/examples/adapt_backbone.py --backbone=FOLDER_OR_HUB_ID --output=FOLDER

Each process keeps its share of every layer's weights, gradients and optimizer state, and gathers a layer only while it
computes. What comes out is a plain folder of transformers, for `--backbone=FOLDER`. Texts are the items' fields
`item_text_fields`; interactions are not read.
"""

import argparse
import os

import torch
from torch import distributed
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer

from recbole_navigen.config import Config
from recbole_navigen.data import create_dataset
from recbole_navigen.data.item_text import read_item_text


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch_size", type=int, default=16, help="texts in a step of all processes together")
    parser.add_argument("--learning_rate", type=float, default=1e-5)
    given = parser.parse_args()

    # 1. The processes, each with a device of its own.
    gpu = torch.cuda.is_available()
    device = torch.device(f"cuda:{os.environ['LOCAL_RANK']}" if gpu else "cpu")
    if gpu:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if gpu else "gloo")
    rank, size = distributed.get_rank(), distributed.get_world_size()

    # 2. The model: its blocks are sharded one by one, then what lies around them.
    model = AutoModelForCausalLM.from_pretrained(
        given.backbone, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    )
    for module in list(model.modules()):
        if type(module).__name__ in model._no_split_modules:
            fully_shard(module)
    fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=given.learning_rate)

    # 3. Steps. All processes draw the same texts, and each reads its share of them.
    tokenizer = AutoTokenizer.from_pretrained(given.backbone, trust_remote_code=False)
    config = Config("NaviGen", given.dataset)
    texts = [text for text in read_item_text(config, create_dataset(config)).text if text]
    generator = torch.Generator().manual_seed(config["seed"])
    for step in range(given.steps):
        rows = torch.randint(len(texts), (given.batch_size,), generator=generator)[rank::size].tolist()
        own = [torch.tensor(tokenizer(texts[row])["input_ids"]) for row in rows]
        # Padding stands behind the text, where a causal model does not look.
        tokens, labels = (pad_sequence(own, batch_first=True, padding_value=fill).to(device) for fill in (0, -100))
        loss = model(input_ids=tokens, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if rank == 0 and step % 50 == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)

    # 4. Whole weights again, in the main process.
    weights = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if rank == 0:
        model.save_pretrained(given.output, state_dict=weights)
        tokenizer.save_pretrained(given.output)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
