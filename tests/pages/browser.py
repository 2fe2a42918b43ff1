"""A browser's tab as of a user who has looked at these pages before, in whose console nothing may go wrong."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, expect

WAIT_MILLISECONDS = 120_000

# What MLflow's own UI, 3.17.2, and Prefect's, 3.8.8, get wrong by themselves, by the end of the address it concerns.
KNOWN_NOISE = {
    # Only a server that knows its users answers; the UI asks each, to find out.
    "/ajax-api/2.0/mlflow/users/current": "Failed to load resource: the server responded with a status of 404 (Not Found)",
    # A chart that is laid out anew while it is being measured; the browser tells, and draws it in its next frame.
    ".js": "null ResizeObserver loop completed with undelivered notifications.",
    # Prefect's server has neither of its UI's icons where the UI asks for it.
    "/favicon.ico": "Failed to load resource: the server responded with a status of 404 (Not Found)",
    "/ico/undefined.svg": "Failed to load resource: the server responded with a status of 404 (Not Found)",
}
# Prefect's timeline, whose drawing goes on for a moment after a user has left its page for another.
KNOWN_FAULT = "Cannot read properties of null (reading 'position')"

# Without these, the first page of MLflow opens its assistant beside itself, that of models announces aliases, and where a link
# names no kind of work, that with language models is shown.
SEEN_BEFORE = """
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
localStorage.setItem("_mlflow_model_registry_promo_modal_dismissed_v1", "true");
localStorage.setItem("mlflow.workflowType_v1", '"machine_learning"');
"""


def launch_chromium(playwright: Playwright) -> Browser:
    """Start Debian's Chromium without a window.

    Raises:
        FileNotFoundError: It is not installed.
    """
    program = shutil.which("chromium")
    if program is None:
        raise FileNotFoundError("no Chromium: apt-get install chromium")
    # Chromium's own sandbox does not start for root, nor in most containers; what is opened is ours.
    return playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])


@contextmanager
def new_tab(browser: Browser) -> Iterator[Page]:
    """Yield a new tab, 1400 x 900; an error in its console is an AssertionError at the end."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, locale="en-GB", timezone_id="UTC")
    context.set_default_timeout(WAIT_MILLISECONDS)
    context.add_init_script(SEEN_BEFORE)
    expect.set_options(timeout=WAIT_MILLISECONDS)
    page = context.new_page()
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        address = str(message.location.get("url", ""))
        if message.type == "error" and not any(
            address.endswith(end) and message.text == text for end, text in KNOWN_NOISE.items()
        ):
            errors.append(f"{message.text} ({address})")

    page.on("console", note)
    page.on("pageerror", lambda error: None if str(error) == KNOWN_FAULT else errors.append(str(error)))
    yield page
    context.close()
    assert not errors, "\n".join(errors)
