"""What is deployed, as it is before any server sees it."""

import re
import subprocess
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from configs.loading import check_config, read_config
from configs.monitoring import DataSource
from configs.schedule import (
    HeartbeatConfig,
    MonitoringSchedule,
    RecoverySchedule,
    ScheduleConfig,
    ScoringSchedule,
    SweepSchedule,
    Timetable,
    TrainingSchedule,
    WatchingSchedule,
)
from configs.scoring import ScoringConfig
from flows.automations import RUN_TAG, heartbeat_automation
from flows.deployments import build_deployment, code_version, hand_to_pool, next_start, plan_deployments
from tasks.errors import ConfigError


@pytest.fixture(scope="module")
def config():
    return check_config(read_config("imdb"), "imdb")


def build(config, **sections):
    """All deployments by their flow's name."""
    planned = plan_deployments(config, ScheduleConfig(**sections))
    return {one.flow.name: build_deployment(one, "1") for one in planned}


def test_all_flows_are_deployed_and_the_training_first(config):
    found = build(config, watching=WatchingSchedule())
    assert list(found) == ["retraining", "scoring", "monitoring", "sweep", "recovery", "watching"]
    for flow, deployment in found.items():
        assert deployment.entrypoint == f"flows.{flow}.{flow}"
        assert (deployment.full_name, deployment.tags) == (f"{flow}/imdb-lstm", [RUN_TAG, "imdb-lstm"])
    assert "watching" not in build(config)


def test_timetables_are_those_of_the_schedule(config):
    at = Timetable(cron="30 4 * * 1", timezone="Europe/Berlin")
    request = ScoringConfig(input="in.csv", output="out.csv")
    reviews = DataSource(path="new.csv")
    found = build(
        config,
        training=TrainingSchedule(timetable=at),
        watching=WatchingSchedule(every_seconds=30),
        scoring=ScoringSchedule(timetable=at, request=request),
        monitoring=MonitoringSchedule(timetable=at, reviews=reviews),
        recovery=RecoverySchedule(every_seconds=90),
    )
    assert found.pop("sweep").schedules == []
    schedules = {flow: next(one.schedule for one in deployment.schedules) for flow, deployment in found.items()}
    for flow in ("retraining", "scoring", "monitoring"):
        assert (schedules[flow].cron, schedules[flow].timezone) == ("30 4 * * 1", "Europe/Berlin")
    assert schedules["watching"].interval == timedelta(seconds=30)
    assert schedules["recovery"].interval == timedelta(seconds=90)
    assert found["scoring"].parameters == {"config": {**request.model_dump(mode="json"), "model": "imdb-lstm"}}
    assert found["monitoring"].parameters["model"] == "imdb-lstm"
    assert found["monitoring"].parameters["reviews"]["path"] == "new.csv"
    assert found["watching"].parameters["settle_seconds"] == 10.0


def test_without_a_timetable_they_run_by_hand(config):
    found = build(config)
    assert (found["sweep"].parameters["sweep"]["name"], found["sweep"].parameters["sweep"]["trials"]) == ("imdb-lstm-imdb", 20)
    assert [flow for flow, deployment in found.items() if deployment.schedules] == ["recovery"]
    assert found["scoring"].parameters == {}
    assert "reviews" not in found["monitoring"].parameters


def test_a_sweep_that_is_not_there_is_named(config):
    with pytest.raises(ConfigError, match="no configuration 'nowhere': give a YAML file or one of imdb"):
        build(config, sweep=SweepSchedule(study="nowhere"))


@pytest.mark.parametrize("strategy", ["ENQUEUE", "CANCEL_NEW"])
def test_one_training_of_a_model_at_a_time(config, strategy):
    training = build(config, training=TrainingSchedule(collision_strategy=strategy))["retraining"]
    assert training.concurrency_limit == 1
    assert training.concurrency_options.collision_strategy == strategy


def test_the_form_has_every_section_with_its_defaults_and_what_it_means(config):
    training = build(config)["retraining"]
    schema = training._parameter_openapi_schema.model_dump()
    assert set(schema["properties"]) == {"config", "only_new", "content"}
    assert schema["properties"]["only_new"]["default"] is False
    sections = schema["definitions"]["Config"]["properties"]
    assert list(sections) == list(type(config).model_fields)
    section = schema["definitions"]["TrainingConfig"]
    epochs = {"default": 5, "exclusiveMinimum": 0, "title": "Epochs", "type": "integer"}
    assert section["properties"]["epochs"] == {**epochs, "description": "Passes over the train split, at most."}
    assert section["description"].startswith("Adam on binary cross-entropy.")
    assert all("description" in schema["definitions"][name] for name in ("Config", "DataConfig", "GateConfig"))
    assert training.parameters["config"] == config.model_dump(mode="json")


def test_a_cron_line_that_is_none_is_refused(config):
    with pytest.raises(ConfigError, match=r"timetable\.cron: '0 99 \* \* \*' is no cron line"):
        build(config, training=TrainingSchedule(timetable=Timetable(cron="0 99 * * *")))


def test_a_pool_gets_the_environment_and_a_process_pool_the_folder(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heartbeat = HeartbeatConfig(seconds=45)
    for kind, steps in (("process", [{"directory": str(tmp_path)}]), ("kubernetes", [])):
        training = build(config)["retraining"]
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
