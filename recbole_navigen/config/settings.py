"""The settings that parts of a run read: typed, frozen, and resolved once, where a `Config` comes in.

Fields have the names of the settings, which docs/reference/settings.md explains. No RecBole, no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from recbole_navigen.config.reinforcement import reinforce_settings

if TYPE_CHECKING:
    import torch
    from recbole.config import Config
    from recbole.utils import ModelType


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings that name the model, the data, the folders and the metric of a run."""

    model: str
    MODEL_TYPE: "ModelType"
    dataset: str
    data_path: str
    seed: int
    reproducibility: bool
    device: "torch.device"
    local_rank: int
    state: str
    progress: str
    show_progress: bool
    checkpoint_dir: str
    metrics_file: str | None
    train_rows: str | None
    training_stages: list[str] | None
    eval_args: Mapping[str, Any]
    valid_metric: str
    valid_metric_bigger: bool

    @classmethod
    def of(cls, config: "Config") -> Self:
        """The settings as they are now; None for those that nobody set."""
        return cls(*(config[entry.name] for entry in fields(cls)))

    @property
    def name(self) -> str:
        """The name of a run's folder up to the time: MODEL-DATASET."""
        return f"{self.model}-{self.dataset}"

    @property
    def sign(self) -> int:
        """1 if larger values of `valid_metric` are better, else -1."""
        return 1 if self.valid_metric_bigger else -1

    @property
    def user_rows(self) -> bool:
        """Whether the model trains on one row a user: NaviGen, and sequential models with `train_rows: user`."""
        return self.model == "NaviGen" or self.train_rows == "user"

    @property
    def metric(self) -> str:
        """`valid_metric` as results name it."""
        return self.valid_metric.lower()


@dataclass(frozen=True, slots=True)
class DataSettings(RunSettings):
    """The settings that say how data are read, split and put into batches."""

    USER_ID_FIELD: str
    ITEM_ID_FIELD: str
    TIME_FIELD: str
    HEAD_ENTITY_ID_FIELD: str
    RELATION_ID_FIELD: str
    TAIL_ENTITY_ID_FIELD: str
    ENTITY_ID_FIELD: str
    LIST_SUFFIX: str
    ITEM_LIST_LENGTH_FIELD: str
    MAX_ITEM_LIST_LENGTH: int
    field_separator: str
    seq_separator: str
    encoding: str | None
    load_col: Mapping[str, list[str] | str] | None
    unload_col: Mapping[str, list[str] | str] | None
    additional_feat_suffix: list[str] | str | None
    benchmark_filename: list[str] | None
    item_text_fields: list[str] | str | None
    seq_len: Mapping[str, int] | None
    rm_dup_inter: str | None
    val_interval: Mapping[str, str] | None
    filter_inter_by_user_or_item: bool
    shuffle_ties: int | None
    shuffle: bool
    train_batch_size: int
    train_neg_sample_args: Mapping[str, Any] | None
    batch_items: int | None
    window_stride: int | None
    order_noise: float | None
    validation_users: int | None
    select_on: str | None
    exclude_history: bool
    repeatable: bool


@dataclass(frozen=True, slots=True)
class TrainingSettings(RunSettings):
    """The settings of a training. Models on RecBole's own rows know the first two only."""

    run_dir: str | None
    metric_decimal_place: int
    autocast: str | bool
    sampled_softmax: int | None
    lr_schedule: str | None
    warmup_steps: int | None
    warmup_ratio: float
    average_epochs: float | None
    weight_decay: float | None
    task_weights: Mapping[str, float]
    align_epochs: int
    mapping_batch_size: int
    instruction_batch_size: int


@dataclass(frozen=True, slots=True)
class NaviGenSettings(RunSettings):
    """The settings that say of what a NaviGen is made; other models know some of them."""

    backbone: str
    backbone_revision: str | None
    lora: bool
    text_vectors: str
    collaborative_model: str
    collaborative_config: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinforceSettings:
    """The section `reinforce`, properties/reinforce.yaml, with the seed of the run."""

    seed: int
    tasks: list[str]
    reward: str
    scorer: str
    weights: Mapping[str, float]
    triangle: bool
    feedback: str | None
    feedback_beta: float
    feedback_sft: float
    feedback_batch: int
    behind: str
    lora_rank: int
    lora_alpha: float
    steps: int
    prompts: int
    instruction_prompts: int
    group: int
    instruction_group: int
    accumulation: int
    inner: int
    learning_rate: float
    instruction_learning_rate: float
    warmup_ratio: float
    clip_grad_norm: float
    clip: float
    kl: float
    advantage: str
    average: str
    resample: int
    eval_every: int
    eval_prompts: int
    eval_draws: int
    max_kl: float
    max_diversity_loss: float

    @classmethod
    def of(cls, config: "Config") -> Self:
        """The section as it is in a run, checked."""
        return cls(seed=config["seed"], **reinforce_settings(config["reinforce"]))
