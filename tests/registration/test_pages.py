from tasks.registration.pages import MAX_DESCRIPTION, fit_description


def test_a_page_that_is_too_long_is_cut_between_lines_and_says_so():
    page = "\n".join(f"line {number}" for number in range(2000))
    fitted = fit_description(page, "`reprise show 4`")
    assert MAX_DESCRIPTION - 20 < len(fitted) <= MAX_DESCRIPTION
    *lines, _, note = fitted.strip().split("\n")
    assert page.startswith("\n".join(lines) + "\n")
    assert note == "Cut here: `reprise show 4` shows it whole."
    assert fit_description("short", "`reprise show 4`") == "short"
