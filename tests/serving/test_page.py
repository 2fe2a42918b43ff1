"""The page as a user has it: in Chromium, with reviews typed in."""

import re

import pytest

from tests.serving.conftest import TOKEN, running

REVIEW = "A film that I will not forget: dull, <b>bold</b> & 😀 zzyzx!"


@pytest.fixture(scope="module")
def server():
    with running(explained_words=20) as server:
        yield server


@pytest.fixture
def refused_page(chromium):
    """A tab in which an answer may be a refusal, which Chromium writes to its console as an error."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    yield context.new_page()
    context.close()


def ask(page, review):
    page.get_by_label("A review").fill(review)
    page.get_by_role("button", name="Score").click()


def test_a_review_is_scored_and_each_word_coloured(server, page):
    page.goto(server.url)
    ask(page, REVIEW)
    page.locator("#result").wait_for()
    told = server.client.post("/explain", json={"text": REVIEW}).json()
    assert page.locator("#label").inner_text().lower() == ("positive" if told["label"] else "negative")
    assert f"{told['probability']:.4f}" in page.locator("#probability").inner_text()
    assert page.locator("#version").inner_text() == f"{told['model']}, version {told['version']}"
    assert page.locator("#text").inner_text() == REVIEW  # markup is a text's like any other
    marks = page.locator("#text span")
    words = [REVIEW[word["start"] : word["end"]] for word in told["words"]]
    assert marks.all_inner_texts() == words
    for mark, word in zip(marks.all(), told["words"], strict=True):
        classes = mark.get_attribute("class") or ""
        assert ("unknown" in classes) == (not word["known"])
        assert f"{abs(word['change']):.3f}: " in mark.get_attribute("title")
        if "raises" in classes or "lowers" in classes:
            assert ("raises" in classes) == (word["change"] > 0)
            assert re.search(r"rgba\(.*, 0\.\d+\)", mark.evaluate("one => getComputedStyle(one).backgroundColor"))
    assert page.locator("#text .raises, #text .lowers").count() > 0
    unknown = [text.lower() for text, word in zip(words, told["words"], strict=True) if not word["known"]]
    assert page.locator("#unknown").inner_text() == ", ".join(dict.fromkeys(unknown))


def test_the_table_tells_the_same_in_words(server, page):
    page.goto(server.url)
    ask(page, "a dull film")
    page.get_by_text("The words that count most").click()
    rows = page.locator("#table tr").all_inner_texts()
    changes = [abs(float(row.split("\t")[1].replace("\N{MINUS SIGN}", "-"))) for row in rows]
    assert len(rows) == 3
    assert changes == sorted(changes, reverse=True)


def test_the_keyboard_is_enough(server, page):
    page.goto(server.url)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("a dull film")
    page.keyboard.press("Control+Enter")
    page.locator("#result").wait_for()
    assert page.locator("#unknown").inner_text().startswith("None")


@pytest.mark.parametrize("width", [320, 1400])
def test_it_fits_its_screen(server, page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(server.url)
    ask(page, f"a film {'w' * 200} dull")
    page.locator("#result").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_refused_is_told(server, refused_page):
    page = refused_page
    page.goto(server.url)
    ask(page, "   ")
    assert page.locator("#problem").inner_text() == "the text is blank"
    assert page.locator("#result").is_hidden()


def test_what_is_too_long_to_be_explained_is_scored(server, refused_page):
    page = refused_page
    page.goto(server.url)
    ask(page, "a film " * 11)
    page.locator("#result").wait_for()
    assert page.locator("#problem").inner_text() == "Scored, and not explained: 22 words: at most 20 are explained"
    assert page.locator("#explanation").is_hidden()


def test_a_server_with_a_token_asks_for_it(page, refused_page):
    with running(TOKEN) as server:
        page.goto(server.url)
        page.get_by_label("token").fill(TOKEN)
        ask(page, "a film")
        page.locator("#result").wait_for()
        refused_page.goto(server.url)
        refused_page.get_by_label("token").fill("wrong")
        ask(refused_page, "a film")
        refused_page.locator("#problem").wait_for()
        assert "needs the server's token" in refused_page.locator("#problem").inner_text()


def test_the_documentation_is_there_without_a_network(server, page):
    page.goto(f"{server.url}/docs")
    page.get_by_role("heading", name="POST /predict").wait_for()
    assert page.locator("#title").inner_text().startswith("Reprise model server 0.")
    page.get_by_text("ScoredText", exact=True).click()
    assert "probability" in page.locator("#schemas pre:visible").inner_text()
