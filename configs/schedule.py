"""What is deployed on a Prefect server, when it runs, and after what time a run that says nothing more counts as dead."""

from typing import Annotated, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, model_validator

from configs.schema import Positive, Section

CollisionStrategy = Literal["ENQUEUE", "CANCEL_NEW"]


def _require_known(zone: str) -> str:
    if zone not in available_timezones():
        raise ValueError(f"{zone!r} is no IANA time zone, such as Europe/Berlin or UTC")
    return zone


TimeZone = Annotated[str, AfterValidator(_require_known)]


class Timetable(Section):
    """When a deployment runs by itself: at the times of a cron line, or every so many seconds."""

    cron: Annotated[str, Field(pattern=r"^\S+( \S+){4}$", description="minute hour day month weekday")] | None = None
    every_seconds: Annotated[float, Field(ge=1, description="seconds from one start to the next")] | None = None
    timezone: Annotated[TimeZone, Field(description="IANA name; summer time is followed")] = "UTC"

    @model_validator(mode="after")
    def _one_way_of_saying_it(self) -> Self:
        if (self.cron is None) == (self.every_seconds is None):
            raise ValueError("give either cron or every_seconds")
        return self


class TrainingSchedule(Section):
    """When the model is trained; without a timetable, by hand and by events alone.

    A run that finds another of the same model running waits (ENQUEUE), or is cancelled (CANCEL_NEW).
    """

    timetable: Timetable | None = None
    collision_strategy: CollisionStrategy = "ENQUEUE"


class RecoverySchedule(Section):
    """How often the MLflow runs whose Prefect run is over are looked for and ended."""

    every_seconds: Annotated[float, Field(ge=5)] = 60.0


class HeartbeatConfig(Section):
    """A run sends a heartbeat every `seconds`; Prefect sends none more often than every 30. So many missed, and it is dead."""

    seconds: Annotated[int, Field(ge=30)] = 30
    missed: Positive = 3


class ScheduleConfig(Section):
    """All that `reprise schedule` deploys."""

    training: TrainingSchedule = TrainingSchedule()
    recovery: RecoverySchedule = RecoverySchedule()
    heartbeat: HeartbeatConfig = HeartbeatConfig()
