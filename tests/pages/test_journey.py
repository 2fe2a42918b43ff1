"""Both UIs in a real browser, on real trainings: what a user looks for is there, and no console tells of an error."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.pages import journey
from tests.pages.browser import new_tab
from tests.pages.workplace import Workplace

pytestmark = pytest.mark.long

TIMETABLE = "schedule.training.timetable={cron: 0 3 * * *, timezone: Europe/Berlin}"


@pytest.fixture(scope="module")
def workplace(chromium, tmp_path_factory, migrated_store):
    """Both UIs, a served schedule and a training; the servers end by Ctrl-C and leave no process behind."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "mlruns").mkdir()
    shutil.copy(migrated_store, folder / "mlruns" / "mlflow.db")
    training = ("--config=sample", "--set=training.epochs=3", "--set=registration.floors={accuracy: 0.2}")
    settings = ("--schedule=on-demand", f"--set={TIMETABLE}", "--set=schedule.recovery.every_seconds=3600")
    place = Workplace(folder)
    with ThreadPoolExecutor() as pool, place.show_pages():
        trained = pool.submit(place.train, *training)
        with place.serve(*training, *settings):
            place.trained = trained.result()
            yield place


@pytest.fixture(scope="module")
def started(workplace, chromium):
    """Another training of the same model, which its deployment's form has started."""
    with new_tab(chromium) as page:
        journey.start_training(page, workplace.links["retraining"], epochs=1)
    return workplace.trained.model


@pytest.fixture
def look(chromium):
    """Take a step of the journey in a new tab; an error in its console fails the test."""

    def look(step, *arguments, **more):
        with new_tab(chromium) as page:
            step(page, *arguments, **more)

    return look


def test_a_deployment_shows_its_timetable_and_what_its_form_has_started(workplace, started, look):
    look(journey.see_schedule, workplace.links["retraining"], "At 03:00 AM every day")
    look(journey.see_started_training, workplace.links["retraining"], started)


def test_a_run_shows_outcome_data_charts_report_and_figures(workplace, look):
    look(journey.see_run, workplace.trained)
    look(journey.see_charts, workplace.trained)
    look(journey.see_report_and_figures, workplace.trained)


def test_a_registered_model_shows_its_card_and_a_version_its_decision(workplace, look):
    look(journey.see_model, workplace.links["MLflow"], [workplace.trained])
    look(journey.see_version, workplace.links["MLflow"], workplace.trained)


def test_a_flow_run_shows_its_stages_log_and_artifacts(workplace, look):
    look(journey.see_flow_run, workplace.links["Prefect"], workplace.trained)


def test_an_experiment_shows_its_runs_and_how_two_differ(workplace, started, look):
    look(journey.see_experiment, workplace.links["MLflow"], [workplace.trained])
    look(journey.see_started_training, workplace.links["retraining"], started)
    look(journey.compare_runs, workplace.links["MLflow"], workplace.trained.experiment)
    look(journey.see_curves_side_by_side, workplace.links["MLflow"], workplace.trained.experiment, 2)
