from tasks.registration.pages import GAP, MAX_DESCRIPTION, fit_description, lay_out


def test_a_page_that_is_too_long_is_cut_between_lines_and_says_so():
    page = "\n".join(f"line {number}" for number in range(2000))
    fitted = fit_description(page, "`reprise show 4`")
    assert MAX_DESCRIPTION - 20 < len(fitted) <= MAX_DESCRIPTION
    *lines, _, note = fitted.strip().split("\n")
    assert page.startswith("\n".join(lines) + "\n")
    assert note == "Cut here: `reprise show 4` shows it whole."
    assert fit_description("short", "`reprise show 4`") == "short"


def test_a_page_is_laid_out_for_mlflow():
    page = "\n".join(
        ["# films version 4", "", "**Champion.** Yes.", "", "| a | b |", "| --- | --- |", "| 1 | 2 |", "", "Text."]
    )
    laid_out = lay_out(page).split("\n")
    assert laid_out[:3] == ["Champion. Yes.", "", f"| a{GAP} | b |"]
    assert laid_out[3:] == ["| --- | --- |", f"| 1{GAP} | 2 |", "", "<br>", "", "Text."]
    assert lay_out("No heading.\n\nText.") == "No heading.\n\nText."
