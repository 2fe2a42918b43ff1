"""What is deployed, as it is before any server sees it."""

import re
import subprocess
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from configs.loading import check_config, read_config
from configs.schedule import HeartbeatConfig, ScheduleConfig, Timetable, TrainingSchedule
from flows.automations import RUN_TAG, heartbeat_automation
from flows.deployments import build_deployment, code_version, hand_to_pool, next_start, plan_deployments
from tasks.errors import ConfigError


@pytest.fixture(scope="module")
def config():
    return check_config(read_config("imdb"), "imdb")


def build(config, **training):
    schedule = ScheduleConfig(training=TrainingSchedule(**training))
    return [build_deployment(one, "1") for one in plan_deployments(config, schedule)]


def test_a_training_and_the_recovery_are_deployed(config):
    training, recovery = build(config, timetable=Timetable(cron="30 4 * * 1", timezone="Europe/Berlin"))
    assert (training.full_name, training.entrypoint) == ("training/imdb-lstm", "flows.training.training")
    assert (recovery.full_name, recovery.entrypoint) == ("recovery/recovery", "flows.recovery.recovery")
    assert (training.tags, recovery.tags) == ([RUN_TAG, "imdb-lstm"], [RUN_TAG])
    (cron,), (interval,) = ([one.schedule for one in each.schedules] for each in (training, recovery))
    assert (cron.cron, cron.timezone, interval.interval) == ("30 4 * * 1", "Europe/Berlin", timedelta(seconds=60))


@pytest.mark.parametrize("strategy", ["ENQUEUE", "CANCEL_NEW"])
def test_one_training_of_a_model_at_a_time(config, strategy):
    training, _ = build(config, collision_strategy=strategy)
    assert training.concurrency_limit == 1
    assert training.concurrency_options.collision_strategy == strategy
    assert training.schedules == []


def test_the_form_has_every_section_with_its_defaults_and_what_it_means(config):
    training, _ = build(config)
    schema = training._parameter_openapi_schema.model_dump()
    assert set(schema["properties"]) == {"config", "tags", "force"}
    assert schema["properties"]["force"]["default"] is False
    sections = schema["definitions"]["Config"]["properties"]
    assert list(sections) == list(type(config).model_fields)
    section = schema["definitions"]["TrainingConfig"]
    assert section["properties"]["epochs"] == {"default": 5, "exclusiveMinimum": 0, "title": "Epochs", "type": "integer"}
    assert section["description"].startswith("Adam on binary cross-entropy.")
    assert all("description" in schema["definitions"][name] for name in ("Config", "DataConfig", "GateConfig"))
    assert training.parameters["config"] == config.model_dump(mode="json")


def test_a_cron_line_that_is_none_is_refused(config):
    with pytest.raises(ConfigError, match=r"timetable\.cron: '0 99 \* \* \*' is no cron line"):
        build(config, timetable=Timetable(cron="0 99 * * *"))


def test_a_pool_gets_the_environment_and_a_process_pool_the_folder(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heartbeat = HeartbeatConfig(seconds=45)
    for kind, steps in (("process", [{"directory": str(tmp_path)}]), ("kubernetes", [])):
        training, _ = build(config)
        hand_to_pool(training, SimpleNamespace(name="team", type=kind), heartbeat)
        assert training.work_pool_name == "team"
        environment = training.job_variables["env"]
        assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "45"
        assert environment["PREFECT_LOGGING_EXTRA_LOGGERS"] == "reprise"
        assert [*(training.storage.to_pull_step() if training.storage else {}).values()] == steps


def test_the_version_is_the_packages_and_the_commit():
    root = Path(__file__).parents[2]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(rf"\d+\.\d+\.\d+\+g{head[:12]}", code_version())


def test_the_next_start_is_in_the_timetables_own_time_zone():
    start = next_start(Timetable(cron="30 4 * * *", timezone="Asia/Tokyo"))
    assert (start.hour, start.minute, start.tzinfo) == (4, 30, ZoneInfo("Asia/Tokyo"))
    assert next_start(Timetable(every_seconds=60)).second == 0


def test_silence_is_so_many_missed_heartbeats_of_a_run_of_ours():
    trigger = heartbeat_automation(HeartbeatConfig(seconds=40, missed=3)).trigger
    assert trigger.within == timedelta(seconds=120)
    assert trigger.match_related["prefect.resource.id"] == ["prefect.tag.reprise"]
