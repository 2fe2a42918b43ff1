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

    cron: Annotated[str, Field(pattern=r"^\S+( \S+){4}$")] | None = None
    """Minute, hour, day, month and weekday, as `0 3 * * *`."""
    every_seconds: Annotated[float, Field(ge=1)] | None = None
    """Time from one start to the next."""
    timezone: TimeZone = "UTC"
    """IANA name; summer time is followed."""

    @model_validator(mode="after")
    def _one_way_of_saying_it(self) -> Self:
        if (self.cron is None) == (self.every_seconds is None):
            raise ValueError("give either cron or every_seconds")
        return self


class TrainingSchedule(Section):
    """When the model is trained."""

    timetable: Timetable | None = None
    """When; without one, by hand and by events alone."""
    collision_strategy: CollisionStrategy = "ENQUEUE"
    """A run that finds another of the same model running waits (ENQUEUE), or is cancelled (CANCEL_NEW)."""


class WatchingSchedule(Section):
    """How often the training's reviews are looked at: any that nothing was trained on start a training."""

    every_seconds: Annotated[float, Field(ge=5)] = 120.0
    """Time from one look to the next."""
    settle_seconds: Annotated[float, Field(ge=0)] = 10.0
    """How long new reviews must have stayed the same before they count."""


class ScoringSchedule(Section):
    """What is scored by the clock."""

    timetable: Timetable | None = None
    """When; needs a `request`."""
    request: ScoringConfig | None = None
    """What is scored; without it, each run is told."""

    @model_validator(mode="after")
    def _timetable_needs_a_request(self) -> Self:
        if self.timetable is not None and self.request is None:
            raise ValueError("a timetable needs a request: which table to score, and where to")
        return self


class MonitoringSchedule(Section):
    """Which reviews are compared with the champion's by the clock."""

    timetable: Timetable | None = None
    """When; needs `reviews`."""
    reviews: DataSource | None = None
    """What is compared; without it, each run is told."""
    monitoring: MonitoringConfig = MonitoringConfig()
    """From where on it counts as drift."""

    @model_validator(mode="after")
    def _timetable_needs_reviews(self) -> Self:
        if self.timetable is not None and self.reviews is None:
            raise ValueError("a timetable needs reviews: which to compare with the champion's")
        return self


class SweepSchedule(Section):
    """The sweep that is offered.

    It has no timetable: a study is continued under its name, and begun for other reviews under another.
    """

    study: Annotated[str, Field(min_length=1)] = "imdb"
    """A preset's name (`imdb`), or a YAML file."""


class RecoverySchedule(Section):
    """How often the MLflow runs whose Prefect run is over are looked for and ended."""

    every_seconds: Annotated[float, Field(ge=5)] = 60.0
    """Time from one look to the next."""


class HeartbeatConfig(Section):
    """After what silence a run is dead."""

    seconds: Annotated[int, Field(ge=30)] = 30
    """Time between two heartbeats of a run; Prefect sends none more often than every 30."""
    missed: Annotated[int, Field(ge=2)] = 3
    """So many missed, and the run counts as dead."""


class ScheduleConfig(Section):
    """All that `reprise schedule` deploys, and who is told of it."""

    training: TrainingSchedule = TrainingSchedule()
    """Trains, evaluates, registers, and asks the gate."""
    watching: WatchingSchedule | None = None
    """Looks for reviews that nothing was trained on; not deployed without this section."""
    scoring: ScoringSchedule = ScoringSchedule()
    """Scores a table."""
    monitoring: MonitoringSchedule = MonitoringSchedule()
    """Compares new reviews with the champion's."""
    sweep: SweepSchedule = SweepSchedule()
    recovery: RecoverySchedule = RecoverySchedule()
    heartbeat: HeartbeatConfig = HeartbeatConfig()
    notification: NotificationConfig = NotificationConfig()
