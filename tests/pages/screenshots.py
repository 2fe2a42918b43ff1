"""Make the pictures of docs/images from real trainings on the IMDB reviews, by the journey that the tests make.

.venv/bin/python -m tests.pages.screenshots --data imdb.npz
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.pages import journey
from tests.pages.browser import launch_chromium, new_tab
from tests.pages.workplace import Workplace

IMAGES = Path(__file__).parents[2] / "docs" / "images"
COLOURS = 256
# Charts and Prefect's timeline are drawn bit by bit, and tell nothing of when they are ready.
SETTLING_MILLISECONDS = 2_000
# A first champion, a second that is better for three epochs more, and one of another size and seed beside them.
TRAININGS = (["training.epochs=2"], [], ["training.seed=1", "training.epochs=4", "model.lstm_units=16"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="imdb.npz, with imdb_word_index.json beside it")
    data = parser.parse_args().data.resolve()
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "films"
        folder.mkdir()
        for name in (data.name, "imdb_word_index.json"):  # so that the pages name no folder of this machine's
            shutil.copy(data.with_name(name), folder / name)
        take_pictures(folder, f"--data={data.name}")


def take_pictures(folder: Path, data: str) -> None:
    """Train in a folder and go through all pages, with a picture of each."""
    place = Workplace(folder)
    with place.show_pages(), sync_playwright() as playwright:
        trained = [
            place.train("--config=imdb", data, *(f"--set={assignment}" for assignment in assignments))
            for assignments in TRAININGS
        ]
        browser = launch_chromium(playwright)
        mlflow, champion = place.links["MLflow"], max((one for one in trained if one.alias == "champion"), key=_number)

        def look(step: Callable[..., None], *arguments: object) -> None:
            with new_tab(browser) as page:
                step(page, *arguments, picture=take)

        with place.serve("--config=imdb", data):
            look(journey.see_experiment, mlflow, trained)
            look(journey.see_curves_side_by_side, mlflow, champion.experiment, len(trained))
            look(journey.compare_runs, mlflow, champion.experiment)
            look(journey.see_run, champion)
            look(journey.see_charts, champion)
            look(journey.see_report_and_figures, champion)
            look(journey.see_model, mlflow, trained)
            look(journey.see_version, mlflow, champion)
            look(journey.see_flow_run, place.links["Prefect"], champion)
            look(journey.see_schedule, place.links["retraining"], "At 03:00 AM every day")
            look(journey.start_training, place.links["retraining"], 3)
            look(journey.see_started_training, place.links["retraining"], champion.model)


def take(page: Page, name: str) -> None:
    """Write a picture of a page, in as few colours as it needs."""
    path = IMAGES / f"{name}.png"
    page.wait_for_timeout(SETTLING_MILLISECONDS)
    page.screenshot(path=path, animations="disabled")
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def _number(trained: "journey.Trained") -> int:
    return int(trained.version)


if __name__ == "__main__":
    main()
