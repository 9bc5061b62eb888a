"""One searched setting: its values, how Optuna draws them, and the grid of them."""

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recbole_navigen.errors import InputError

if TYPE_CHECKING:
    from optuna import Trial


@dataclass(frozen=True, slots=True)
class Parameter:
    """One searched setting.

    Attributes:
        name: of the setting; dots lead into a nested one: `task_weights.cid2tid`.
        kind: float, int or choice.
        low, high: bounds, both included; of float and int.
        step: between two values, or None; of float and int.
        log: whether the logarithm is what is spread evenly.
        values: of a choice.
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    values: tuple[Any, ...] = ()

    def suggest(self, trial: "Trial") -> Any:
        """The value that an Optuna trial draws."""
        if self.kind == "choice":
            return self.value(trial.suggest_categorical(self.name, [label(value) for value in self.values]))
        if self.kind == "int":
            return trial.suggest_int(self.name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def value(self, drawn: object) -> Any:
        """The setting's value from what Optuna stores."""
        if self.kind != "choice":
            return drawn
        return next(value for value in self.values if _same(label(value), drawn))

    def holds(self, value: object) -> bool:
        """Whether a value lies in the space, on its steps."""
        if self.kind == "choice":
            return any(_same(label(value), label(other)) for other in self.values)
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return math.isclose(steps, round(steps), abs_tol=1e-9) and (self.kind == "float" or float(value).is_integer())

    def grid(self) -> list[Any]:
        """All values as Optuna stores them; refused for a setting that has no end of them."""
        if self.kind == "choice":
            return [label(value) for value in self.values]
        if self.step is None and self.kind == "float":
            raise InputError(
                f"the grid needs a list of values for {self.name}, which is continuous; give it a step or values, or "
                "choose another sampler"
            )
        step = self.step or 1
        count = int((self.high - self.low) / step + 1e-9) + 1
        values = [self.low + number * step for number in range(count)]
        return [int(value) for value in values] if self.kind == "int" else values


def label(value: object) -> Any:
    """Return the form in which Optuna stores a choice: plain values as they are, lists and mappings as JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def _same(one: object, other: object) -> bool:
    # True equals 1 in Python, and they are two settings.
    return type(one) is type(other) and one == other
