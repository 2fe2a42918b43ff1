"""What a user looks at in both UIs, page by page: each step goes there as a user does, and sees that all is there.

A step is given a new tab, since from one of MLflow's pages to another a browser would load nothing, and, where pictures are
wanted, what takes one of the page as it is then.
"""

import re
from collections.abc import Callable, Sequence

from playwright.sync_api import Locator, Page, expect

from tests.pages.workplace import Trained

Picture = Callable[[Page, str], None]

CHART_GROUPS = ["epoch", "model", "test", "test_baseline", "test_interval", "test_slices", "texts", "time", "words"]
TRAINING_MILLISECONDS = 600_000
FIGURES = ["calibration", "confusion_matrix", "learning_curves", "precision_recall", "roc", "score_histogram"]


def no_picture(page: Page, name: str) -> None:
    """Take none."""


def see_experiment(page: Page, link: str, trained: Sequence[Trained], picture: Picture = no_picture) -> None:
    """Open the link that `reprise ui` prints, and find the trainings by the experiment's name, with their data and models."""
    page.goto(link)
    page.get_by_role("link", name=trained[0].experiment, exact=True).click()
    for one in trained:
        row = _row(page, one)
        expect(row.filter(has_text=re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d"))).to_be_visible()
        expect(row.filter(has_text=f"{one.experiment}-train (")).to_be_visible()
    picture(page, "mlflow-experiment")


def see_run(page: Page, trained: Trained, picture: Picture = no_picture) -> None:
    """Open the link that a training prints: outcome, metrics, data and tags on one page."""
    page.goto(trained.url)
    expect(page.get_by_text(f"{trained.model} version {trained.version}: test accuracy")).to_be_visible()
    expect(page.get_by_text("epoch/validation_loss")).to_be_visible()
    expect(page.get_by_text(f"{trained.model} seed")).to_be_visible()
    picture(page, "mlflow-run")
    page.get_by_text(f"{trained.experiment}-train (").first.click()
    data = page.get_by_role("dialog")
    expect(data.get_by_text("3 datasets used")).to_be_visible()
    for split in ("train", "validation", "test"):
        expect(data.get_by_text(re.compile(rf"^{trained.experiment}-{split} \([0-9a-f]{{36}}\)$"))).to_be_visible()
    expect(data.get_by_text(re.compile(r"rows: \d+"))).to_be_visible()
    for column in ("text", "label"):
        expect(data.get_by_text(column, exact=True)).to_be_visible()
    picture(page, "mlflow-dataset")


def see_charts(page: Page, trained: Trained, picture: Picture = no_picture) -> None:
    """See the metrics in groups, those of each epoch first, as curves."""
    page.goto(trained.url)
    page.get_by_role("tab", name="Model metrics").click()
    groups = page.get_by_text(re.compile(rf"^({'|'.join(CHART_GROUPS)})$"))
    expect(groups).to_have_text(CHART_GROUPS)
    for name in ("train_accuracy", "train_loss", "validation_accuracy", "validation_loss"):
        expect(page.get_by_text(name, exact=True)).to_be_visible()
    expect(page.locator(".js-plotly-plot .scatterlayer .trace").first).to_be_visible()
    picture(page, "mlflow-charts")


def see_report_and_figures(page: Page, trained: Trained, picture: Picture = no_picture) -> None:
    """Read the report among a run's artifacts, and look at each of its figures."""
    page.goto(trained.url)
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("report.md", exact=True).click()
    expect(page.get_by_role("heading", name=f"{trained.model} version {trained.version}")).to_be_visible()
    expect(page.get_by_role("heading", name="Test metrics")).to_be_visible()
    expect(page.get_by_role("row", name="Average precision").first).to_be_visible()
    picture(page, "mlflow-report")
    page.get_by_text("figures", exact=True).click()
    for name in FIGURES:
        page.get_by_text(f"{name}.png", exact=True).click()
        expect(page.get_by_text(f"figures/{name}.png").first).to_be_visible()
        image = page.locator("img[src^='blob:'], img[src*='get-artifact']").first
        expect(image).to_be_visible()
        page.wait_for_function("image => image.complete && image.naturalWidth === 800", arg=image.element_handle())
        if name == "calibration":
            picture(page, "mlflow-figure")


def compare_runs(page: Page, link: str, experiment: str, picture: Picture = no_picture) -> None:
    """Tick the two newest trainings of an experiment, and see in what they differ."""
    page.goto(link)
    page.get_by_role("link", name=experiment, exact=True).click()
    ticks = page.get_by_role("checkbox", name="toggle row selection")
    for row in (0, 1):
        ticks.nth(row).check()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("Comparing 2 Runs from 1 Experiment")).to_be_visible()
    expect(page.get_by_text("padding.maxlen", exact=True)).to_be_visible()
    for switch in page.get_by_text("Show diff only").all():
        switch.click()
    expect(page.get_by_text("padding.maxlen", exact=True)).to_have_count(0)
    expect(page.get_by_text("training.epochs", exact=True).last).to_be_visible()
    page.get_by_text("Parameters", exact=True).last.evaluate("heading => heading.scrollIntoView()")
    picture(page, "mlflow-differences")


def see_curves_side_by_side(page: Page, link: str, experiment: str, count: int, picture: Picture = no_picture) -> None:
    """See the curves of several trainings in each chart of their experiment."""
    page.goto(link)
    page.get_by_role("link", name=experiment, exact=True).click()
    page.locator("label", has=page.locator('input[name="runs-view-mode"][value="CHART"]')).click()
    expect(page.get_by_text("epoch/train_loss", exact=True)).to_be_visible()
    chart = page.locator(".js-plotly-plot", has=page.locator(".scatterlayer")).first
    expect(chart.locator(".scatterlayer .trace").nth(count - 1)).to_be_attached()
    picture(page, "mlflow-compare")


def see_model(page: Page, link: str, trained: Sequence[Trained], picture: Picture = no_picture) -> None:
    """Find the registered model: its card first, then its versions with their aliases."""
    model = trained[0].model
    page.goto(link)
    page.get_by_role("link", name="Model registry").click()
    page.get_by_role("link", name=model, exact=True).click()
    expect(page.get_by_text("Tells whether a review is positive, from its raw text: rightly for ")).to_be_visible()
    expect(page.get_by_role("row", name="ROC AUC").first).to_be_visible()
    expect(page.get_by_text("champion", exact=False).first).to_be_visible()
    for one in trained:
        expect(page.get_by_role("link", name=f"Version {one.version}")).to_be_visible()
    picture(page, "model-card")


def see_version(page: Page, link: str, trained: Trained, picture: Picture = no_picture) -> None:
    """Read on a version's page why it is, or is not, the champion: the decision, its figures and conditions."""
    page.goto(link)
    page.get_by_role("link", name="Model registry").click()
    page.get_by_role("link", name=trained.model, exact=True).click()
    page.get_by_role("link", name=f"Version {trained.version}", exact=True).click()
    champion = trained.alias == "champion"
    expect(page.get_by_text(re.compile("^Champion since" if champion else "^Not the champion"))).to_be_visible()
    expect(page.get_by_role("heading", name="Decisions")).to_be_visible()
    expect(page.get_by_role("cell", name="calibration", exact=True)).to_be_visible()
    expect(page.get_by_role("cell", name=re.compile("^Calibration error .* is within"))).to_be_visible()
    picture(page, "version")


def see_flow_run(page: Page, link: str, trained: Trained, picture: Picture = no_picture) -> None:
    """Open the link that `reprise ui` prints: a training's stages in time, its log, and what it left in Prefect and MLflow."""
    page.goto(link)
    page.get_by_role("link", name=re.compile(rf"\d\d:\d\d:\d\d {trained.model} seed")).first.click()
    expect(page.get_by_text("Completed").first).to_be_visible()
    expect(page.get_by_text(re.compile(r"^registration done in [\d.]+ s$"))).to_be_visible()
    expect(page.locator("canvas").first).to_be_visible()
    picture(page, "prefect-run")
    _prefect_tab(page, "Artifacts").click()
    for key in ("training-report", "stage-seconds", "mlflow-run"):
        expect(page.get_by_role("link", name=re.compile(key))).to_be_visible()
    picture(page, "prefect-artifacts")
    page.get_by_role("link", name=re.compile("training-report")).click()
    expect(page.get_by_role("heading", name=re.compile(rf"{trained.model} version \d+"))).to_be_visible()
    page.go_back()
    _prefect_tab(page, "Artifacts").click()
    page.get_by_role("link", name=re.compile("stage-seconds")).click()
    expect(page.get_by_text("padding validation")).to_be_visible()


def see_schedule(page: Page, link: str, told: str, picture: Picture = no_picture) -> None:
    """Open the link that `reprise schedule` prints: the timetable in words, the next run, and what is run."""
    page.goto(link)
    expect(page.get_by_text(told)).to_be_visible()
    expect(page.get_by_text("Next Run")).to_be_visible()
    expect(page.get_by_text(re.compile(r"Scheduled for\s+\d{4}/\d\d/\d\d")).first).to_be_visible()
    expect(page.get_by_text("Ready")).to_be_visible()
    picture(page, "schedule")


def start_training(page: Page, link: str, epochs: int, picture: Picture = no_picture) -> None:
    """Fill in the deployment's form, start a training by it, and see it end with its outcome."""
    page.goto(link)
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("link", name="Custom run").click()
    expect(page.get_by_text("All that the training depends on.")).to_be_visible()
    page.get_by_role("textbox").first.fill("started by hand")
    field = _field(page, "Epochs (Optional)").locator("input")
    field.fill(str(epochs))
    _field(page, "Training (Optional)").evaluate("section => section.scrollIntoView()")
    picture(page, "form")
    page.get_by_role("button", name="Submit").click()
    # It is named anew when it begins to run.
    expect(page.get_by_role("link", name=re.compile("^started by hand$| retraining$")).first).to_be_visible()


def see_started_training(page: Page, link: str, model: str, picture: Picture = no_picture) -> None:
    """See among the deployment's runs that the one from the form has ended well, and with what outcome."""
    page.goto(link)
    expect(page.get_by_text("Completed").first).to_be_visible(timeout=TRAINING_MILLISECONDS)
    page.get_by_role("link", name=re.compile(f"{model} retraining$")).first.click()
    _prefect_tab(page, "Details").click()
    outcome = page.get_by_text(re.compile(rf"{model} version \d+: test accuracy"))
    expect(outcome).to_be_visible()
    outcome.scroll_into_view_if_needed()
    picture(page, "prefect-outcome")


def _row(page: Page, trained: Trained) -> Locator:
    """A training's row in its experiment, whose two halves are elements of their own."""
    return page.locator(f'.ag-row[row-id="{trained.run_id}"]')


def _field(page: Page, label: str) -> Locator:
    return page.locator(".schema-form-property", has=page.get_by_text(label, exact=True)).last


def _prefect_tab(page: Page, name: str) -> Locator:
    return page.locator(".p-tab", has_text=name)
