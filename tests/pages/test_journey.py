"""Both UIs in a real browser, on real trainings: what a user looks for is there, and no console tells of an error."""

import shutil

import pytest

from tests.pages import journey
from tests.pages.browser import new_tab
from tests.pages.workplace import Workplace

TIMETABLE = "schedule.training.timetable={cron: 0 3 * * *, timezone: Europe/Berlin}"


@pytest.fixture(scope="module")
def workplace(chromium, tmp_path_factory, migrated_store):
    """Both UIs and a served schedule, which end by Ctrl-C and leave no process behind; two versions are trained."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "mlruns").mkdir()
    shutil.copy(migrated_store, folder / "mlruns" / "mlflow.db")
    training = ("--config=sample", "--set=training.epochs=3", "--set=registration.floors={accuracy: 0.2}")
    place = Workplace(folder)
    with place.show_pages():
        place.trained = [place.train(*training), place.train(*training, "--set=training.seed=1")]
        settings = ("--schedule=on-demand", f"--set={TIMETABLE}", "--set=schedule.recovery.every_seconds=3600")
        with place.serve(*training, *settings):
            yield place


@pytest.fixture
def tab(chromium):
    """A new tab; an error in its console fails the test."""
    with new_tab(chromium) as page:
        yield page


def test_an_experiment_shows_its_runs_and_how_two_differ(workplace, tab):
    journey.see_experiment(tab, workplace.links["MLflow"], workplace.trained)
    journey.compare_runs(tab, workplace.links["MLflow"], workplace.trained)
    journey.see_curves_side_by_side(tab, workplace.trained)


def test_a_run_shows_outcome_data_charts_report_and_figures(workplace, tab):
    first, _ = workplace.trained
    journey.see_run(tab, first)
    journey.see_charts(tab, first)
    journey.see_report_and_figures(tab, first)


def test_a_registered_model_shows_its_card_and_a_version_its_decision(workplace, tab):
    journey.see_model(tab, workplace.links["MLflow"], workplace.trained)
    for one in workplace.trained:
        journey.see_version(tab, workplace.links["MLflow"], one)


def test_a_flow_run_shows_its_stages_log_and_artifacts(workplace, tab):
    journey.see_flow_run(tab, workplace.links["Prefect"], workplace.trained[0])


def test_a_deployment_shows_its_timetable_and_starts_a_training_by_its_form(workplace, tab):
    journey.see_schedule(tab, workplace.links["retraining"], "At 03:00 AM every day")
    journey.start_training(tab, workplace.links["retraining"], epochs=1)
    journey.see_started_training(tab, workplace.links["retraining"], workplace.trained[0].model)
