"""A report as one HTML file that needs nothing from the network."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

from tasks.handles import ValidationReport
from tasks.validation.checking import Checked
from tasks.validation.rules import Outcome

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; }
h1 small { font-weight: normal; color: #57606a; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #d0d7de; }
td:last-child { overflow-wrap: anywhere; }
code { font-size: .85em; color: #57606a; }
.passed { color: #116329; } .failed { color: #b3261e; } .warning { color: #8a5a00; }
"""


def write_summary(path: Path, title: str, report: ValidationReport, checked: Checked) -> None:
    """Write the verdict, what is at fault, every expectation with what it observed, and what was measured."""
    verdict = "passed" if report.passed else "failed"
    name = escape(title)
    html = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}: {verdict}</title>',
        f"<style>{_STYLE}</style></head><body>",
        f'<h1>{name} <span class="{verdict}">{verdict}</span> <small>{report.checks} expectations</small></h1>',
        *_list_of("Failures", "failed", report.failures),
        *_list_of("Warnings", "warning", report.warnings),
        "<h2>Expectations</h2><table><tr><th></th><th>Requirement</th><th>Expectation</th><th>Observed</th></tr>",
        *(_row_of(outcome) for outcome in checked.outcomes),
        "</table><h2>Measured</h2><table>",
        *(f"<tr><td>{escape(key)}</td><td>{value:.6g}</td></tr>" for key, value in report.measured.items()),
        f"<tr><td>rows excluded from test</td><td>{report.excluded_rows}</td></tr></table>",
        f"<p><small>Great Expectations {escape(checked.version)}</small></p></body></html>",
    ]
    path.write_text("\n".join(html), encoding="utf-8")


def _list_of(title: str, kind: str, sentences: Iterable[str]) -> list[str]:
    items = [f'<li class="{kind}">{escape(sentence)}</li>' for sentence in sentences]
    return [f"<h2>{title}</h2><ul>", *items, "</ul>"] if items else []


def _row_of(outcome: Outcome) -> str:
    kind = "passed" if outcome.passed else "failed" if outcome.critical or not outcome.evaluated else "warning"
    requirement, observed = escape(outcome.rule.requires), escape(outcome.found)
    return (
        f'<tr><td class="{kind}">{kind}</td><td>{requirement}</td><td><code>{outcome.kind}</code></td><td>{observed}</td></tr>'
    )
