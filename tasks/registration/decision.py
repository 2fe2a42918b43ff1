"""What becomes of a new version."""

import math
from collections.abc import Mapping

from configs.schema import Metric
from tasks.handles import Decision, Interval


def decide_alias(
    metrics: Mapping[str, Interval], floors: Mapping[Metric, float], *, version: str, champion: str | None
) -> Decision:
    """Return what becomes of a version.

    It becomes champion if there is none and every metric with a floor is finite and reaches it. A champion is never
    replaced here: that takes a comparison of the two on the same rows, or a person.

    Args:
        metrics: the version's test metrics.
        floors: the least value of each metric that has one.
        version: its number.
        champion: the number of the present champion, if there is one.
    """
    for name, floor in floors.items():
        value = metrics[name].value if name in metrics else math.nan
        if not value >= floor:
            reason = f"Version {version} stays challenger: its test {name} {value:.4f} is below the floor {floor:g}."
            return Decision(outcome="keep", reason=reason, alias="challenger", champion=champion)
    figures = ", ".join(f"{name} {metrics[name].value:.4f} >= {floor:g}" for name, floor in floors.items())
    if champion is None:
        reason = f"Version {version} becomes the first champion: it passes every floor ({figures})."
        return Decision(outcome="promote", reason=reason, alias="champion", champion=version)
    reason = (
        f"Version {champion} stays champion: version {version} passes every floor ({figures}), "
        "which alone replaces no champion."
    )
    return Decision(outcome="keep", reason=reason, alias="challenger", champion=champion)
