import pytest
import yaml

from configs.loading import check_section, override, preset_names, read_config
from configs.schedule import ScheduleConfig, WatchingSchedule
from tasks.errors import ConfigError


def check(*assignments, preset="nightly"):
    return check_section(override(read_config(preset, "schedules"), assignments), preset, ScheduleConfig)


def test_every_preset_is_valid():
    assert preset_names("schedules") == ["nightly", "on-demand"]
    assert check().training.timetable.cron == "0 3 * * *"
    assert check(preset="on-demand") == ScheduleConfig()


def test_the_nightly_preset_names_every_key_with_its_default():
    nightly = check()
    changed = {"training": ScheduleConfig().training, "watching": None}
    assert nightly.model_copy(update=changed) == ScheduleConfig()
    assert nightly.watching == WatchingSchedule()
    assert nightly.training.collision_strategy == ScheduleConfig().training.collision_strategy == "ENQUEUE"


def test_an_unknown_preset_is_told_with_those_that_are_there():
    with pytest.raises(ConfigError, match="give a YAML file or one of nightly, on-demand"):
        read_config("weekly", "schedules")


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        (
            "training.timetable={cron: 0 3 * * *, timezone: Europe/Atlantis}",
            "training.timetable.timezone: 'Europe/Atlantis' is no",
        ),
        ("training.timetable={cron: daily}", "training.timetable.cron: String should match"),
        ("training.timetable={}", "training.timetable: give either cron or every_seconds"),
        ("training.timetable.every_seconds=60", "training.timetable: give either cron or every_seconds"),
        ("training.collision_strategy=WAIT", "training.collision_strategy: Input should be 'ENQUEUE' or 'CANCEL_NEW'"),
        ("training.when=now", "training.when: unknown key"),
        ("scoring.timetable={cron: 0 3 * * *}", "scoring: a timetable needs a request"),
        ("monitoring.timetable={cron: 0 3 * * *}", "monitoring: a timetable needs reviews"),
        ("watching.settle_seconds=-1", "watching.settle_seconds: Input should be"),
        ("notification.notify=[ops]", "notification.notify.0: String should match"),
        ("recovery.every_seconds=.nan", "recovery.every_seconds: Input should be"),
        ("heartbeat.seconds=10", "heartbeat.seconds: Input should be greater than or equal to 30"),
        ("heartbeat.missed=1", "heartbeat.missed: Input should be greater than or equal to 2"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(assignment, line):
    with pytest.raises(ConfigError) as refusal:
        check(assignment)
    assert str(refusal.value).startswith(f"nightly: {line}")
    assert "\n" not in str(refusal.value)


def test_a_schedule_reads_back_as_itself():
    schedule = check("training.timetable={every_seconds: 90.5, timezone: Europe/Berlin}")
    again = yaml.safe_load(yaml.safe_dump(schedule.model_dump(mode="json")))
    assert check_section(again, "again", ScheduleConfig) == schedule
