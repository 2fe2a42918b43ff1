"""The scoring flow: a table of texts -> the same table with scores, by parts on any runner."""

from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture

from configs.scoring import ScoringConfig
from flows.runners import task_runner
from tasks.registration.scoring import pin_version
from tasks.scoring.job import ScoringResult, open_job
from tasks.scoring.parts import Part
from tasks.scoring.task import score_part
from tasks.scoring.window import in_order


@flow(name="scoring", flow_run_name="scoring {config.input}")
def scoring(config: ScoringConfig) -> ScoringResult:
    """Score a table, and write it whole or not at all; after a kill, the same again scores what is missing.

    Args:
        config: What to score, with which version, where to, and on which runner.
    """
    version = pin_version(config.model, config.version)
    with open_job(config, version) as job, task_runner(config.runner) as runner:

        def submit(part: Part) -> PrefectFuture[Any] | None:
            return None if job.is_done(part) else runner.submit(score_part, {"part": part, "version": version})

        for part in in_order(job, submit, at_once=job.parts_at_once):
            job.write(part)
    return job.result()
