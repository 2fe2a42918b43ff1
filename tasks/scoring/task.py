"""A part's scores, as a task for any runner."""

from tasks.registration.scoring import PinnedVersion, loaded_model
from tasks.scoring import parts
from tasks.stage import submitted_stage


@submitted_stage("scoring a part")
def score_part(part: parts.Part, version: PinnedVersion) -> None:
    """Score a part with a version that this process loads once; see `parts.score_part`."""
    parts.score_part(part, loaded_model(version).predict)
