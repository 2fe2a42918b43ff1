"""Where the pieces of a sweep or of a scoring run."""

from typing import Literal, Self

from pydantic import model_validator

from configs.schema import Positive, Section


class RunnerConfig(Section):
    """On what the pieces run, and how many at once."""

    kind: Literal["threads", "processes", "dask", "ray"] = "threads"
    """Where."""
    workers: Positive = 2
    """How many at once."""
    address: str | None = None
    """A cluster that is there; without it, Dask and Ray start one on this machine that ends with the flow."""

    @model_validator(mode="after")
    def _address_belongs_to_a_cluster(self) -> Self:
        if self.address is not None and self.kind not in ("dask", "ray"):
            raise ValueError(f"address is of a Dask or Ray cluster, not of {self.kind}")
        return self
