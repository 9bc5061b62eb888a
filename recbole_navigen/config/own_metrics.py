"""Metrics of a user's file under RecBole's roof: `--metrics_file=my_metrics.py --metrics=[Recall,NDCG,MyMetric]`."""

from recbole.evaluator import register

import recbole_navigen.compat  # noqa: F401 (must run before anything of RecBole is imported)
from recbole_navigen.config.own_code import load_file, own_metrics
from recbole_navigen.errors import InputError

_NEEDS = frozenset(
    {
        *("rec.items", "rec.topk", "rec.meanrank", "rec.score", "data.num_items", "data.num_users"),
        *("data.count_items", "data.count_users", "data.label"),
    }
)


def metric_classes(file: str) -> dict[str, type]:
    """The metrics of a file by their names in small letters."""
    module, names = load_file(file), own_metrics(file)
    return {name.lower(): value for name, value in vars(module).items() if name.lower() in names}


def register_own_metrics(file: str | None) -> None:
    """Enter the metrics of a file into RecBole's tables. May be called again."""
    for name, metric in metric_classes(file).items() if file is not None else ():
        needs = getattr(metric, "metric_need", None)
        if not needs or not set(needs) <= _NEEDS or not hasattr(metric, "metric_type"):
            raise InputError(
                f"{metric.__name__} of metrics_file={file} must say its `metric_type` and its `metric_need`, a list "
                f"out of {', '.join(sorted(_NEEDS))}"
            )
        register.metrics_dict[name] = metric
        register.metric_information[name] = metric.metric_need
        register.metric_types[name] = metric.metric_type
        if metric.smaller and name not in register.smaller_metrics:
            register.smaller_metrics.append(name)
