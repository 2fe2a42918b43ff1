"""What is deployed on a Prefect server, when it runs, and after what time a run that says nothing more counts as dead."""

from typing import Annotated, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, model_validator

from configs.monitoring import DataSource, MonitoringConfig
from configs.notification import NotificationConfig
from configs.schema import Section
from configs.scoring import ScoringConfig

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


class WatchingSchedule(Section):
    """How often the training's reviews are looked at: any that nothing was trained on start a training.

    They count once they have stayed the same for `settle_seconds`.
    """

    every_seconds: Annotated[float, Field(ge=5)] = 120.0
    settle_seconds: Annotated[float, Field(ge=0)] = 10.0


class ScoringSchedule(Section):
    """What is scored by the clock; without a request, each run is told what to score."""

    timetable: Timetable | None = None
    request: ScoringConfig | None = None

    @model_validator(mode="after")
    def _timetable_needs_a_request(self) -> Self:
        if self.timetable is not None and self.request is None:
            raise ValueError("a timetable needs a request: which table to score, and where to")
        return self


class MonitoringSchedule(Section):
    """Which reviews are compared with the champion's by the clock; without any, each run is told which."""

    timetable: Timetable | None = None
    reviews: DataSource | None = None
    monitoring: MonitoringConfig = MonitoringConfig()

    @model_validator(mode="after")
    def _timetable_needs_reviews(self) -> Self:
        if self.timetable is not None and self.reviews is None:
            raise ValueError("a timetable needs reviews: which to compare with the champion's")
        return self


class SweepSchedule(Section):
    """The sweep that is offered, by its preset's name or its YAML file.

    It has no timetable: a study is continued under its name, and begun for other reviews under another.
    """

    study: Annotated[str, Field(min_length=1)] = "imdb"


class RecoverySchedule(Section):
    """How often the MLflow runs whose Prefect run is over are looked for and ended."""

    every_seconds: Annotated[float, Field(ge=5)] = 60.0


class HeartbeatConfig(Section):
    """A run sends a heartbeat every `seconds`; Prefect sends none more often than every 30. So many missed, and it is dead."""

    seconds: Annotated[int, Field(ge=30)] = 30
    missed: Annotated[int, Field(ge=2)] = 3


class ScheduleConfig(Section):
    """All that `reprise schedule` deploys, and who is told of it; nothing is watched without a section `watching`."""

    training: TrainingSchedule = TrainingSchedule()
    watching: WatchingSchedule | None = None
    scoring: ScoringSchedule = ScoringSchedule()
    monitoring: MonitoringSchedule = MonitoringSchedule()
    sweep: SweepSchedule = SweepSchedule()
    recovery: RecoverySchedule = RecoverySchedule()
    heartbeat: HeartbeatConfig = HeartbeatConfig()
    notification: NotificationConfig = NotificationConfig()
