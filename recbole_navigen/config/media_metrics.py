"""CLIP metrics under RecBole's roof: `metrics: [Recall, NDCG, CLIPScore, CLIPPersonalisation]`.

RecBole evaluates rankings before any medium exists, so there these metrics report nothing; `media_result` gives their
values once media are scored, in the same result dict and with the same rounding. Nothing is measured here: `evaluation`
does that, and the settings need no more than the names.
"""

from collections import OrderedDict

from recbole.config import Config
from recbole.evaluator import Evaluator, register
from recbole.evaluator.base_metric import AbstractMetric
from recbole.evaluator.collector import DataStruct
from recbole.utils import EvaluatorType

import recbole_navigen.compat  # noqa: F401 (must run before anything of RecBole is imported)
from recbole_navigen.config.rules import MEDIA_METRICS as NAMES

NEED = "media.scores"


class MediaMetric(AbstractMetric):
    """Mean over users of one metric of `evaluation.media_scores`, failures counted; nothing while there are
    no scores.
    """

    metric_type = EvaluatorType.RANKING
    metric_need = (NEED,)
    smaller = False
    name = ""

    def calculate_metric(self, dataobject: DataStruct) -> dict[str, float]:
        scores = dataobject._data_dict.get(NEED)
        found = None if scores is None else scores.summary(self.name, resamples=1)
        return {} if found is None else {self.name.lower(): round(found.own.mean, self.decimal_place)}


def register_media_metrics() -> None:
    """Enter them into RecBole's tables of metrics. May be called again."""
    for name in NAMES:
        known = name.lower()
        register.metrics_dict[known] = type(name, (MediaMetric,), {"name": name})
        register.metric_information[known] = MediaMetric.metric_need
        register.metric_types[known] = MediaMetric.metric_type


def media_result(config: Config, scores: object) -> OrderedDict:
    """The CLIP metrics among a run's `metrics`, to join its `test_result`.

    Args:
        config: with `metrics` and `metric_decimal_place`. scores: `MediaScores`.
    """
    register_media_metrics()
    chosen = {name.lower() for name in NAMES}
    settings = {
        "metrics": [metric for metric in config["metrics"] if metric.lower() in chosen],
        "metric_decimal_place": config["metric_decimal_place"],
    }
    data = DataStruct()
    data.set(NEED, scores)
    return Evaluator(settings).evaluate(data)
