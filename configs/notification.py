"""Who is told of what happens while nobody looks."""

from typing import Annotated, Literal

from pydantic import Field

from configs.schema import Section

BlockName = Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]
Occasion = Literal["failure", "promote", "undecided"]


class NotificationConfig(Section):
    """Which Prefect notification blocks are sent what.

    `notify` names blocks that are saved on the Prefect server, as TYPE/NAME: `slack-webhook/ops-room`. A deployment that
    fails again within `quiet_minutes` is not told again.
    """

    notify: list[BlockName] = Field(default=[])
    occasions: list[Occasion] = Field(default=["failure", "promote", "undecided"], min_length=1)
    quiet_minutes: Annotated[float, Field(ge=0)] = 15.0
