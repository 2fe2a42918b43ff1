"""A champion that a person registered by hand, without a run."""

from tasks.mlflow_store import connect
from tasks.registration.ledger import Draft, ensure_ledger
from tasks.registration.promotion import promote, read_base
from tasks.registration.verification import find_champion_trouble


def test_a_champion_without_a_run_is_told_of(embedded_mlflow):
    ensure_ledger("by-hand")
    connect().create_model_version("by-hand", source="s3://none/none")
    promote(read_base("by-hand"), Draft(name="by-hand", version="1", action="override", outcome="promote", reason="mine"))
    assert find_champion_trouble("by-hand") == "version 1 of by-hand: no run made it, so nothing tells what it was trained on"
