import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from tasks.errors import GateClosed, InputError, RegistryError
from tasks.mlflow_store import connect
from tasks.registration.ledger import (
    Draft,
    append_entry,
    champion_of,
    count_decisions,
    decode_ledger,
    encode_entry,
    ensure_ledger,
    entries_until,
    hash_entry,
    next_entry,
    read_ledger,
    read_state,
)
from tasks.registration.versions import list_models


def draft(version="1", **changes):
    given = {"name": "model", "version": version, "action": "gate", "outcome": "promote", "reason": "It is better."}
    return Draft(**given | changes)


def chain(*drafts):
    """The ledger that these drafts make, without MLflow: its entries and the parameters that would hold them."""
    params = {}
    for number, one in enumerate(drafts, 1):
        params[f"entry.{number:06d}"] = encode_entry(next_entry(one, *decode_ledger("model", params)))
    return decode_ledger("model", params)[0], params


def append(*drafts):
    return [append_entry(one, read_state(one.name)) for one in drafts]


def test_entries_number_themselves_and_hold_what_was_before_and_after():
    entries, _ = chain(draft("1"), draft("2", outcome="keep"), draft("2"), draft("1", action="rollback"))
    moves = [(entry.number, entry.champion_before, entry.champion_after) for entry in entries]
    assert moves == [(1, None, "1"), (2, "1", "1"), (3, "1", "2"), (4, "2", "1")]
    assert champion_of(entries) == "1"
    assert champion_of(()) is None
    assert len({entry.claim for entry in entries}) == 4


def test_every_figure_comes_back_and_nan_too():
    entries, params = chain(
        draft(figures={"gain": 0.1 + 0.2, "p": float("nan")}, digests={"model.keras": "ab"}, actor="nightly")
    )
    assert entries[0].figures["gain"] == 0.1 + 0.2
    assert entries[0].figures["p"] != entries[0].figures["p"]
    assert (entries[0].actor, entries[0].digests) == ("nightly", {"model.keras": "ab"})
    assert decode_ledger("model", {"accuracy": "0.9", **params, "alias.000001": "1"})[0][0].claim == entries[0].claim


def test_an_entry_is_never_earlier_than_the_one_before_it():
    (first,), _ = chain(draft())
    ahead = first.model_copy(update={"time": datetime.now(UTC) + timedelta(hours=1)})
    assert next_entry(draft(), [ahead], "").time == ahead.time


def test_the_champion_at_a_moment():
    start = datetime(2026, 11, 1, 12, tzinfo=UTC)
    entries, _ = chain(draft("1"), draft("2"), draft("1", action="rollback"))
    entries = [entry.model_copy(update={"time": start + timedelta(hours=index)}) for index, entry in enumerate(entries)]
    asked = [start - timedelta(seconds=1), start, start + timedelta(minutes=90), start + timedelta(days=1)]
    assert [champion_of(entries_until(entries, moment)) for moment in asked] == [None, "1", "2", "1"]


def test_decisions_are_counted_by_their_gate_rows():
    entries, _ = chain(
        draft(gate_sha256="a"),
        draft("2", gate_sha256="a", outcome="keep"),
        draft("2", gate_sha256="a", outcome="undecided"),
        draft("2", gate_sha256="a", outcome="refused"),
        draft("2", gate_sha256="b"),
        draft("1", gate_sha256="a", action="override"),
    )
    assert [count_decisions(entries, gate) for gate in ("a", "b", "c")] == [3, 1, 0]


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("change", [("It is better.", "It is worse."), ('"number":', '"number": 1'), ('{"entry"', "entry")])
def test_an_edited_entry_is_named(number, change):
    _, params = chain(draft("1"), draft("2"), draft("3"))
    key = f"entry.{number:06d}"
    with pytest.raises(GateClosed, match=rf"entry {number} of the promotion ledger of 'model'"):
        decode_ledger("model", params | {key: params[key].replace(*change)})


def test_an_entry_that_was_edited_with_its_digest_breaks_the_next():
    entries, params = chain(draft("1"), draft("2"))
    forged = encode_entry(entries[0].model_copy(update={"reason": "It is worse."}))
    with pytest.raises(GateClosed, match="entry 2 of the promotion ledger"):
        decode_ledger("model", params | {"entry.000001": forged})


def test_a_missing_entry_is_named():
    _, params = chain(draft("1"), draft("2"), draft("3"))
    del params["entry.000002"]
    with pytest.raises(GateClosed, match="entry 2 of the promotion ledger of 'model' is missing"):
        decode_ledger("model", params)


def test_the_digest_does_not_depend_on_the_order_of_fields():
    assert hash_entry({"a": 1, "b": 2}) == hash_entry({"b": 2, "a": 1}) != hash_entry({"a": 1, "b": 3})


@pytest.mark.parametrize(("reason", "told"), [("x" * 1001, "1,001 characters"), (" ", "needs a reason")])
@pytest.mark.parametrize("action", ["override", "rollback"])
def test_a_persons_reason_is_given_and_short(action, reason, told):
    with pytest.raises(InputError, match=told):
        next_entry(draft(action=action, reason=reason), (), "")


def test_the_gates_own_reason_is_shortened():
    assert 900 < len(next_entry(draft(reason="better " * 200), (), "").reason) <= 1000


def test_an_entry_that_mlflow_would_cut_off_is_refused(embedded_mlflow):
    ensure_ledger("model")
    with pytest.raises(InputError, match="MLflow keeps: record fewer than 400 figures"):
        append(draft(figures={f"slice {number}": 1 / 3 for number in range(400)}))
    assert read_ledger("model") == ()


def test_the_largest_entry_is_kept_whole(embedded_mlflow):
    size = len(encode_entry(next_entry(draft(digests={"x": ""}), (), "")))
    append(draft(digests={"x": "\N{SNOWMAN}" * (6000 - size)}))
    assert read_ledger("model")[0].digests == {"x": "\N{SNOWMAN}" * (6000 - size)}


def test_a_ledger_is_a_finished_run_whose_entries_mlflow_will_not_change(embedded_mlflow):
    assert read_ledger("model") == ()
    written = append(draft("1"), draft("2", outcome="keep"))
    assert list(read_ledger("model")) == written
    run_id = connect().get_registered_model("model").tags["ledger.run_id"]
    run = connect().get_run(run_id)
    assert (run.info.status, run.info.run_name, run.data.tags["ledger.model"]) == ("FINISHED", "model", "model")
    assert connect().get_experiment(run.info.experiment_id).name == "promotions"
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        connect().log_param(run_id, "entry.000001", "{}")
    connect().log_param(run_id, "entry.000001", run.data.params["entry.000001"])  # a retry of the client is harmless
    assert list(read_ledger("model")) == written


def test_of_two_who_read_the_same_ledger_the_second_writes_nothing(embedded_mlflow):
    ensure_ledger("model")
    state = read_state("model")
    first = append_entry(draft("1"), state)
    assert append_entry(draft("2"), state) is None
    assert read_ledger("model") == (first,)


def test_an_edit_of_the_database_is_noticed(embedded_mlflow):
    append(draft("1", reason="It is better."), draft("2"))
    with sqlite3.connect(embedded_mlflow / "mlflow.db") as database:
        database.execute("UPDATE params SET value = replace(value, 'better', 'BETTER') WHERE key = 'entry.000001'")
    database.close()
    with pytest.raises(GateClosed, match="entry 1 of the promotion ledger of 'model' is not what was written"):
        read_ledger("model")


def test_a_deleted_ledger_says_how_to_bring_it_back(embedded_mlflow):
    written = append(draft("1"))
    run_id = ensure_ledger("model")
    connect().delete_run(run_id)
    for use in (lambda: read_ledger("model"), lambda: append(draft("2"))):
        with pytest.raises(GateClosed, match=rf"sqlite:///.*mlflow.db mlflow runs restore --run-id {run_id}"):
            use()
    connect().restore_run(run_id)
    assert list(read_ledger("model")) == written


@pytest.mark.fault("champion's parts deleted by hand, mlflow gc")
def test_a_ledger_deleted_after_it_was_read_takes_no_entry(embedded_mlflow):
    run_id = ensure_ledger("model")
    state = read_state("model")
    connect().delete_run(run_id)
    with pytest.raises(GateClosed, match="is deleted"):
        append_entry(draft("1"), state)


def test_a_ledger_that_is_gone_is_not_an_empty_one(embedded_mlflow):
    ensure_ledger("model")
    connect().set_registered_model_tag("model", "ledger.run_id", "0" * 32)
    with pytest.raises(GateClosed, match="run 00000000000000000000000000000000, is gone"):
        read_ledger("model")


def test_a_model_made_by_hand_is_given_a_ledger(embedded_mlflow):
    connect().create_registered_model("model")
    assert read_ledger("model") == ()
    run_id = ensure_ledger("model")
    assert connect().get_registered_model("model").tags == {"ledger.run_id": run_id}
    assert ensure_ledger("model") == run_id


@pytest.mark.fault("two at once: trainings, promotions, prune")
@pytest.mark.parametrize("by_hand", [False, True])
def test_all_who_begin_a_ledger_at_once_begin_the_same(embedded_mlflow, by_hand):
    client = connect()
    if by_hand:
        client.create_registered_model("model")
    begun, start = [], threading.Barrier(4)

    def begin():
        start.wait()
        begun.append(ensure_ledger("model"))

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert begun == [read_state("model").run_id] * 4
    assert [run.info.run_id for run in mlflow.search_runs(experiment_names=["promotions"], output_format="list")] == begun[:1]


def test_an_unreachable_server_is_an_error_and_no_empty_ledger(unreachable_mlflow):
    for use in (lambda: read_ledger("model"), lambda: ensure_ledger("model"), lambda: append(draft())):
        with pytest.raises(RegistryError, match="failed"):
            use()


def test_a_server_that_is_not_mlflow_is_an_error_and_no_empty_ledger(tmp_path, monkeypatch):
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)  # answers 404 to every path
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(RegistryError, match="404"):
            read_ledger("model")
        server.shutdown()


@pytest.mark.fault("champion's parts deleted by hand, mlflow gc")
@pytest.mark.parametrize("delete", ["the tag", "the model"])
def test_a_history_that_is_lost_does_not_begin_anew_unnoticed(embedded_mlflow, delete):
    ensure_ledger("model")
    connect().create_model_version("model", source="s3://none/none")
    (entry,) = append(draft("1"))
    run_id = read_state("model").run_id
    told = "'model' has lost its promotion ledger" if delete == "the tag" else "'model' is gone, and its promotion ledger"
    if delete == "the tag":
        connect().delete_registered_model_tag("model", "ledger.run_id")
    else:
        connect().delete_registered_model("model")
    for read in (read_ledger, ensure_ledger):
        with pytest.raises(GateClosed, match=rf"{told}, run {run_id}.*to begin a new history, delete the ledger"):
            read("model")
    assert list_models() == ["model"]

    if delete == "the model":
        connect().delete_run(run_id)
        assert read_ledger("model") == ()
        assert ensure_ledger("model") != run_id
    else:
        connect().set_registered_model_tag("model", "ledger.run_id", run_id)
        assert read_ledger("model") == (entry,)
