"""Who is told of what happens while nobody looks."""

from typing import Annotated, Literal

from pydantic import Field

from configs.schema import Section

BlockName = Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]
Occasion = Literal["failure", "promote", "undecided"]


class NotificationConfig(Section):
    """Which Prefect notification blocks are sent what."""

    notify: list[BlockName] = Field(default=[])
    """Blocks saved on the Prefect server, as TYPE/NAME: `slack-webhook/ops-room`."""
    occasions: list[Occasion] = Field(default=["failure", "promote", "undecided"], min_length=1)
    """What they are sent."""
    quiet_minutes: Annotated[float, Field(ge=0)] = 15.0
    """For how long a deployment that fails again is not told of again."""
