"""The one place that runs Great Expectations: an ephemeral context, whose only files are its Data Docs."""

import os
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read by GX as it is imported

import great_expectations as gx
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults, ProgressBarsConfig

from tasks.errors import RepriseError
from tasks.progress import tell
from tasks.validation.rules import Outcome, Rule, Table, set_aside
from tasks.validation.wording import ROWS_NAMED, describe_result

TITLE = "Great Expectations"


class Checked(NamedTuple):
    """Every rule's outcome, sentences on rules that could not be evaluated, and GX's own results by table."""

    outcomes: list[Outcome]
    skipped: list[str]
    results: dict[str, dict[str, Any]]
    version: str


def check_tables(tables: list[Table], docs: Path | None) -> Checked:
    """Evaluate the rules of each table and write Data Docs.

    Args:
        tables: what to check; an expectation that raises an error is an outcome that did not pass.
        docs: the folder to write the HTML to; None writes none.

    Raises:
        RepriseError: Great Expectations gave another number of results than there are rules.
    """
    run = RunIdentifier(run_name="reprise")
    context = gx.get_context(project_config=_project(docs), mode="ephemeral")
    source = context.data_sources.add_pandas("reprise")
    outcomes: list[Outcome] = []
    skipped: dict[str, list[str]] = {}
    results: dict[str, dict[str, Any]] = {}
    for number, table in enumerate(tables):
        tell(TITLE, number, len(tables) + 1, "steps", table.name)
        rules, reasons = set_aside(table)
        for reason, requirements in reasons.items():
            skipped.setdefault(reason, []).extend(requirements)
        if not rules:
            continue
        batch = source.add_dataframe_asset(table.name).add_batch_definition_whole_dataframe("all")
        suite = context.suites.add(gx.ExpectationSuite(name=table.name, expectations=_named(rules)))
        definition = gx.ValidationDefinition(name=table.name, data=batch, suite=suite)
        # Without the rows' own values beyond the first few: a review must not be copied whole into a report.
        form = {"result_format": "SUMMARY", "partial_unexpected_count": ROWS_NAMED}
        result = context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": table.frame}, result_format=form, run_id=run
        )
        results[table.name] = result.to_json_dict()
        outcomes += _match_outcomes(table, rules, result.results)
    if docs is not None:
        tell(TITLE, len(tables), len(tables) + 1, "steps", "data docs")
        context.build_data_docs()
    tell(TITLE, ended=True)
    sentences = [f"not evaluated {reason}: {'; '.join(requirements)}" for reason, requirements in skipped.items()]
    return Checked(outcomes, sentences, results, gx.__version__)


def _named(rules: list[Rule]) -> list[Any]:
    for number, rule in enumerate(rules):
        rule.expectation.description = rule.requires
        rule.expectation.meta = {"rule": number}
    return [rule.expectation for rule in rules]


def _match_outcomes(table: Table, rules: list[Rule], results: list[Any]) -> list[Outcome]:
    by_number = {result.expectation_config.meta["rule"]: result for result in results}
    if len(results) != len(rules) or set(by_number) != set(range(len(rules))):
        raise RepriseError(f"Great Expectations evaluated {len(by_number)} of the {len(rules)} expectations on {table.name}")
    return [_outcome_of(table, rule, by_number[number]) for number, rule in enumerate(rules)]


def _outcome_of(table: Table, rule: Rule, result: Any) -> Outcome:
    kind = rule.expectation.expectation_type
    critical = rule.expectation.severity == "critical"
    error = _error_in(result.exception_info)
    if error is not None:
        return Outcome(rule, kind, False, critical, False, error)
    return Outcome(rule, kind, bool(result.success), critical, True, describe_result(table, rule, result.result))


def _error_in(exception_info: dict[str, Any]) -> str | None:
    # Flat where the expectation raised; keyed by metric where a metric that it needs did.
    infos = [exception_info] if "raised_exception" in exception_info else list(exception_info.values())
    raised = [info["exception_message"] for info in infos if info["raised_exception"]]
    return str(raised[0]).splitlines()[0] if raised else None


def _project(docs: Path | None) -> DataContextConfig:
    site = docs and {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.absolute())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        data_docs_sites={"reprise": site} if site else {},
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
