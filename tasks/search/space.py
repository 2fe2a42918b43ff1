"""From a sweep's space to Optuna's distributions."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from configs.schema import Config
from configs.sweep import Searched, value_of, with_values


def distributions(space: dict[str, Searched], config: Config) -> dict[str, BaseDistribution]:
    """Return the distribution of each key: of integers where the schema has the key an integer.

    Raises:
        ConfigError: an end of a range does not go together with the configuration.
    """
    return {key: _distribution(key, searched, config) for key, searched in space.items()}


def _distribution(key: str, searched: Searched, config: Config) -> BaseDistribution:
    if searched.choices is not None:
        return CategoricalDistribution(searched.choices)
    low, high, step = searched.low, searched.high, searched.step
    assert low is not None and high is not None  # noqa: S101, PT018 (the schema has it so)
    if isinstance(value_of(with_values(config, {key: low}), key), int):
        return IntDistribution(int(low), int(high), log=searched.log, step=int(step or 1))
    return FloatDistribution(low, high, log=searched.log, step=step)
