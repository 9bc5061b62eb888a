"""Settings that are right alone and wrong together, and good ones that must mean what they say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bad_input.settings import equal
from bad_input.world import BASE, DATASET, Input, World


def together_inputs(world: World) -> Iterator[Input]:
    """Values that are right alone and wrong together, and good ones that must mean what they say."""
    navigen, sasrec, bpr = ("navigen", "--model=NaviGen"), ("navigen", "--model=SASRec"), ("navigen", "--model=BPR")
    cases: list[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = [
        (navigen, ("--hidden_size=30", "--n_heads=4"), ("hidden_size", "n_heads")),
        (sasrec, ("--hidden_size=30", "--n_heads=4"), ("hidden_size", "n_heads", "heads")),
        (navigen, ("--codes=25",), ("codes",)),
        (navigen, ("--codes=2", "--levels=3"), ("codes", "levels")),
        (navigen, ("--topk=[25]", "--valid_metric=NDCG@25"), ("topk",)),
        (bpr, ("--topk=[5,1000]",), ("topk",)),
        (navigen, ("--valid_metric=MRR@5",), ("valid_metric",)),
        (navigen, ("--valid_metric=NDCG@7",), ("valid_metric",)),
        (navigen, ("--valid_metric=NDCG",), ("valid_metric",)),
        (navigen, ("--valid_metric=CLIPScore", "--metrics=[CLIPScore, NDCG]"), ("valid_metric",)),
        (navigen, ("--metrics=[NDGC]",), ("metric",)),
        (bpr, ("--metrics=[NDCG, AUC]",), ("metric",)),
        (navigen, ("--exclude_history=True", "--eval_args={mode: uni5}"), ("exclude_history",)),
        (navigen, ("--training_stages=[finetune, align]",), ("training_stages",)),
        (navigen, ("--training_stages=[align]",), ("training_stages",)),
        (navigen, ("--training_stages=[align, finetune, polish]",), ("training_stages",)),
        (navigen, ("--training_stages=finetune",), ("training_stages",)),
        (navigen, ("--training_stages=[align, finetune, reinforce]", "--reinforce={tasks: [cid2ins]}"), ("write",)),
        (navigen, ("--task_weights={cid2cid: 0}",), ("cid2cid",)),
        (
            navigen,
            (
                "--training_stages=[align, finetune, reinforce]",
                "--reinforce={tasks: [cid2cid], prompts: 5, accumulation: 2}",
            ),
            ("accumulation",),
        ),
        (navigen, ("--training_stages=[align, finetune, reinforce]", "--reinforce={tasks: []}"), ("tasks",)),
        (
            navigen,
            (
                "--training_stages=[align, finetune, reinforce]",
                "--reinforce={reward: paper, tasks: [cid2cid], triangle: False}",
            ),
            ("paper",),
        ),
        (navigen, ("--lora=True",), ("lora", "backbone")),
        (navigen, ("--backbone_dtype=bfloat16",), ("backbone_dtype", "lora")),
        (
            navigen,
            ("--lora=True", f"--backbone={world.models / 'backbone'}", "--lora_targets=[nope]"),
            ("lora_targets", "nope"),
        ),
        (navigen, ("--collaborative_model=Nope",), ("collaborative_model",)),
        (navigen, ("--collaborative_model=NaviGen",), ("collaborative_model",)),
        (navigen, ("--collaborative_model=Pop",), ("collaborative_model",)),
        (navigen, ("--collaborative_model=ItemKNN",), ("collaborative_model",)),
        (navigen, ("--collaborative_model=FM",), ("collaborative_model",)),
        (navigen, ("--collaborative_config={SASRec: {hidden_sise: 16}}",), ("hidden_sise",)),
        (
            navigen,
            ("--collaborative_config={SASRec: {hidden_size: 30, n_heads: 4}}",),
            ("collaborative", "heads", "hidden_size"),
        ),
        (navigen, ("--collaborative_config={SASRec: {steps: 0}}",), ("steps",)),
        (navigen, ("--collaborative_config={SASRec: 5}",), ("collaborative_config",)),
        (navigen, ("--collaborative_config={Nope: {epochs: 1}}",), ("Nope", "collaborative_config")),
        (navigen, ("--task_weights={cid2cid: 0, dense: 0, cid2tid: 0, tid2cid: 0, cid2ins: 0}",), ("task_weights",)),
        (navigen, ("--task_weights={cid2cid: -1}",), ("cid2cid",)),
        (navigen, ("--text_vectors=nowhere",), ("text_vectors", "nowhere")),
        (navigen, ("--learner=sgd",), ("learner",)),
        (navigen, ("--warmup_steps=5",), ("warmup_steps",)),
        (navigen, ("--loss_type=BPR",), ("loss_type",)),
        (sasrec, ("--train_rows=user", "--loss_type=BPR"), ("loss_type", "train_rows")),
        (bpr, ("--train_rows=user",), ("train_rows",)),
        (sasrec, ("--sampled_softmax=1000",), ("sampled_softmax",)),
        (navigen, ("--save_dataset=True",), ("save_dataset",)),
        (navigen, ("--benchmark_filename=[train,valid,test]",), ("train", "benchmark")),
        (navigen, ("--eval_args={split: {RS: [0.8, 0.1, 0.1]}}",), ("split",)),
        (navigen, ("--eval_args={order: RO}",), ("order",)),
        (
            sasrec,
            ("--eval_args={split: {RS: [0.0, 1.0, 0.0]}}", "--train_rows=user"),
            ("training interactions", "split"),
        ),
        (navigen, ("--eval_args={split: {LS: valid_and_test}, group_by: item}",), ("group_by",)),
        (
            navigen,
            ("--supervision={teacher: openai}", "--training_stages=[align,finetune,write]"),
            ("base_url", "openai"),
        ),
        (
            navigen,
            (
                "--supervision={teacher: openai, teacher_model: {base_url: x, modell: y}}",
                "--training_stages=[align,finetune,write]",
            ),
            ("modell",),
        ),
        (
            navigen,
            (
                "--supervision={teacher: openai, teacher_model: {base_url: 5, model: y}}",
                "--training_stages=[align,finetune,write]",
            ),
            ("base_url",),
        ),
        (
            navigen,
            (
                "--supervision={teacher: openai, teacher_model: {base_url: 'ftp://x', model: y}}",
                "--training_stages=[align,finetune,write]",
            ),
            ("base_url",),
        ),
        (
            navigen,
            ("--supervision={teacher: transformers}", "--training_stages=[align,finetune,write]"),
            ("path", "transformers"),
        ),
        (navigen, ("--MAX_ITEM_LIST_LENGTH=5000",), ("MAX_ITEM_LIST_LENGTH",)),
        (navigen, ("--gpu_id=klingon", "--use_gpu=True"), ("gpu_id",)),
        (navigen, ("--checkpoint_dir=base.yaml",), ("checkpoint_dir",)),
        (navigen, ("--checkpoint_dir=base.yaml/deeper",), ("checkpoint_dir",)),
        (navigen, ("--checkpoint_dir=/proc/nowhere",), ("checkpoint_dir",)),
        (navigen, ("--checkpoint_dir=",), ("checkpoint_dir",)),
        (navigen, ("--data_path=",), ("data_path",)),
        (navigen, ("--state=LOUD",), ("state",)),
    ]
    for command, arguments, about in cases:
        # A collaborative model without interactions of pairs may serve, and so may a window longer than any history.
        odd = (
            "--MAX_ITEM_LIST_LENGTH=5000",
            "--gpu_id=klingon",
            "--eval_args={split: {RS: [0.8, 0.1, 0.1]}}",
            "--sampled_softmax=1000",
            "--collaborative_model=FM",
        )
        given = (*command, f"--dataset={DATASET}", "--config_files", BASE, *arguments)
        maybe = None if arguments[0] in odd else False
        yield Input("settings: together", f"{command[1][8:]} {' '.join(arguments)}", given, about, right=maybe)
    goods: list[tuple[tuple[str, ...], tuple[str, ...], str, Any]] = [
        (
            navigen,
            ("--task_weights={tid2cid: 0}",),
            "task_weights",
            {"cid2cid": 1.0, "cid2tid": 0.05, "tid2cid": 0, "cid2ins": 0.0},
        ),
        (
            navigen,
            ("--task_weights.tid2cid=0",),
            "task_weights",
            {"cid2cid": 1.0, "cid2tid": 0.05, "tid2cid": 0, "cid2ins": 0.0},
        ),
        (
            navigen,
            ("--task_weights.tid2cid=0", "--task_weights.cid2tid=0.5"),
            "task_weights",
            {"cid2cid": 1.0, "cid2tid": 0.5, "tid2cid": 0, "cid2ins": 0.0},
        ),
        (navigen, ("--clip_grad_norm.max_norm=2",), "clip_grad_norm", {"max_norm": 2}),
        (navigen, ("--epochs=1e1",), "epochs", 10),
        (navigen, ("--learning_rate=1e-3",), "learning_rate", 1e-3),
        (navigen, ("--batch_items=~",), "batch_items", None),
        (navigen, ("--validation_users=None",), "validation_users", None),
        (navigen, ("--topk=5",), "topk", [5]),
        (navigen, ("--metrics=[ndcg, recall]",), "metrics", ["ndcg", "recall"]),
        (navigen, ("--label_smoothing=0",), "label_smoothing", 0.0),
        (navigen, ("--autocast=False",), "autocast", False),
        (navigen, ("--seed=0",), "seed", 0),
        (navigen, ("--checkpoint_dir=~/bad-input-saved",), "checkpoint_dir", str(Path.home() / "bad-input-saved")),
        (sasrec, ("--user_inter_num_interval=[3,inf)",), "user_inter_num_interval", "[3,inf)"),
        (sasrec, ("--train_rows=user",), "train_rows", "user"),
        (
            bpr,
            ("--eval_args={mode: uni5}",),
            "eval_args",
            {
                "split": {"LS": "valid_and_test"},
                "order": "TO",
                "group_by": "user",
                "mode": {"valid": "uni5", "test": "uni5"},
            },
        ),
        (
            bpr,
            ("--eval_args.mode=pop5",),
            "eval_args",
            {
                "split": {"LS": "valid_and_test"},
                "order": "TO",
                "group_by": "user",
                "mode": {"valid": "pop5", "test": "pop5"},
            },
        ),
        (bpr, ("--wandb_project=100% [a] #1",), "wandb_project", "100% [a]"),
    ]
    for command, arguments, key, value in goods:

        def check(seen: Any, key: str = key, value: Any = value) -> None:
            equal(seen.configs[0][key], value)

        given = (*command, f"--dataset={DATASET}", "--config_files", BASE, *arguments)
        yield Input("settings: good", f"{command[1][8:]} {' '.join(arguments)}", given, (), None, True, check)
