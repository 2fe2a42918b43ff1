"""Where the pieces of a sweep or of a scoring run."""

from typing import Literal, Self

from pydantic import model_validator

from configs.schema import Positive, Section


class RunnerConfig(Section):
    """`workers` pieces at once, on threads, processes, Dask or Ray.

    Dask and Ray start a cluster on this machine that ends with the flow, unless `address` names one that is there.
    """

    kind: Literal["threads", "processes", "dask", "ray"] = "threads"
    workers: Positive = 2
    address: str | None = None

    @model_validator(mode="after")
    def _address_belongs_to_a_cluster(self) -> Self:
        if self.address is not None and self.kind not in ("dask", "ray"):
            raise ValueError(f"address is of a Dask or Ray cluster, not of {self.kind}")
        return self
