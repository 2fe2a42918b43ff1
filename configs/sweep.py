"""The schema of a sweep: what is searched, how, and where its trials run."""

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from configs.loading import Tree, first_fault, with_value
from configs.runners import RunnerConfig
from configs.schema import Config, Positive, Section
from tasks.errors import ConfigError

SEARCHED_SECTIONS = ("padding", "model", "training")
PRESETS = "sweeps"

Number = int | float
Scalar = bool | int | float | str | None


def _refuse_passwords(url: str) -> str:
    if re.search(r"://[^/@\s]*:[^/@\s]*@", url) or re.search(r"[?&]password=", url):
        raise ValueError(
            "a password in a URL would be recorded with the sweep: give it by the environment (PGPASSWORD) or a password file"
        )
    if "://" not in url:
        raise ValueError("not a database URL such as postgresql+psycopg://user@host/optuna")
    return url


class Searched(Section):
    """What values a key may take: choices, or a range."""

    low: Number | None = None
    """Least value."""
    high: Number | None = None
    """Greatest value."""
    log: bool = False
    """Draw by the logarithm."""
    step: Annotated[Number, Field(gt=0)] | None = None
    """Draw multiples of this above `low`."""
    choices: Annotated[list[Scalar], Field(min_length=1)] | None = None
    """Draw one of these, instead of from a range."""

    @model_validator(mode="after")
    def _range_or_choices(self) -> Self:
        if self.choices is not None:
            if (self.low, self.high, self.log, self.step) != (None, None, False, None):
                raise ValueError("either choices, or low and high")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if not self.low < self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        if self.step is not None and not math.isclose((steps := (self.high - self.low) / self.step), round(steps)):
            raise ValueError(f"high {self.high} is not low {self.low} and some steps of {self.step}")
        if self.log and (self.step is not None or self.low <= 0):
            raise ValueError("log takes a low above 0, and no step")
        return self

    def extremes(self) -> list[Scalar]:
        """Return the values that must be valid for all others to be: both ends and the one after the first, or every choice."""
        if self.choices is not None:
            return self.choices
        between = [] if self.step is None or self.low is None else [self.low + self.step]
        return [self.low, self.high, *between]


class SweepConfig(Section):
    """A study of trainings that differ in the keys of `space`, chosen by a figure of the validation split."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    """Name of the study; one that is there already is continued."""
    trials: Positive
    """How many trainings."""
    metric: Literal["val_loss", "val_accuracy"] = "val_loss"
    """Figure of the validation split that chooses."""
    sampler: Literal["tpe", "random"] = "tpe"
    """How values are drawn."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the draws."""
    pruner: Literal["median", "hyperband", "none"] = "median"
    """How bad trials are ended early."""
    startup_trials: Positive = 5
    """Trials drawn at random; the median prunes none before so many have ended."""
    warmup_epochs: Positive = 1
    """The median prunes none before this epoch."""
    space: Annotated[dict[str, Searched], Field(min_length=1)]
    """Searched keys, as `training.learning_rate`, and their values."""
    threads: Positive | None = None
    """TensorFlow's in one trial; without a number, the machine's cores divided by the workers."""
    storage: Annotated[str, AfterValidator(_refuse_passwords)] | None = None
    """URL of a database, by SQLAlchemy, without password; without one, a file in the workspace."""
    runner: RunnerConfig = RunnerConfig()
    """Where trials are trained."""

    @field_validator("space")
    @classmethod
    def _space_fits_the_schema(cls, space: dict[str, Searched]) -> dict[str, Searched]:
        for key, searched in space.items():
            if key.split(".")[0] not in SEARCHED_SECTIONS:
                raise ValueError(f"{key}: only keys of {', '.join(SEARCHED_SECTIONS)} can be searched")
            for value in searched.extremes():
                _check_value(key, value)
        return space


def with_values(config: Config, values: dict[str, Any]) -> Config:
    """Return the configuration with the value of each dotted key.

    Raises:
        ConfigError: the values do not go together.
    """
    tree: Tree = config.model_dump()
    for key, value in values.items():
        tree = with_value(tree, key.split("."), value)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(first_fault(error)) from None


def value_of(config: Config, key: str) -> Any:
    """Return the value of a dotted key."""
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _check_value(key: str, value: Scalar) -> None:
    """Have the schema refuse a value that no training could have."""
    alone = with_value({"data": {"source": "sample"}}, key.split("."), value)
    try:
        found = value_of(Config.model_validate(alone), key)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
    if isinstance(found, Section):
        raise ValueError(f"{key}: a section, and not a key")
