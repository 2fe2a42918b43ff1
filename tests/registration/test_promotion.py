import logging

import pytest

from tasks.errors import GateClosed, InputError, RegistryError, StaleBase
from tasks.mlflow_store import connect
from tasks.registration.ledger import Draft, append_entry, ensure_ledger, read_ledger, read_state
from tasks.registration.promotion import Base, find_disagreement, promote, read_base, record, settle
from tasks.registration.versions import read_aliases
from tests.benchmarks.race import race


def draft(version, **changes):
    given = {"name": "model", "version": version, "action": "gate", "outcome": "promote", "reason": "It is better."}
    return Draft(**given | changes)


@pytest.fixture
def versions(embedded_mlflow):
    """A registered model with three versions and no champion."""
    ensure_ledger("model")
    for _ in range(3):
        connect().create_model_version("model", source="s3://none/none")


@pytest.fixture
def champion(versions):
    """The same, with version 2 promoted over version 1."""
    promote(read_base("model"), draft("1"))
    promote(read_base("model"), draft("2"))


def test_a_champion_follows_a_champion(versions):
    assert read_base("model") == Base(champion=None, number=0, alias=None)
    promote(read_base("model"), draft("1"))
    assert read_base("model") == Base(champion="1", number=1, alias="1")
    record(draft("2", outcome="keep"))
    entry = promote(read_base("model"), draft("2", figures={"gain": 0.01}))
    assert (entry.number, entry.champion_before, entry.champion_after, entry.figures) == (3, "1", "2", {"gain": 0.01})
    assert read_base("model") == Base(champion="2", number=3, alias="2")
    assert read_aliases("model") == {"champion": "2"}
    assert read_ledger("model")[-1] == entry


def test_a_model_that_does_not_exist_has_no_champion(embedded_mlflow):
    assert read_base("model") == Base(champion=None, number=0, alias=None)


def test_a_promotion_takes_challenger_from_its_version_alone(versions):
    connect().set_registered_model_alias("model", "challenger", "1")
    promote(read_base("model"), draft("1"))
    assert read_aliases("model") == {"champion": "1"}
    connect().set_registered_model_alias("model", "challenger", "3")
    promote(read_base("model"), draft("2"))
    assert read_aliases("model") == {"champion": "2", "challenger": "3"}


def test_the_second_of_two_promotions_from_one_base_is_stale(champion):
    base = read_base("model")
    promote(base, draft("3"))
    with pytest.raises(StaleBase, match=r"version 3 of 'model' became champion .* after version 1 was compared with version 2"):
        promote(base, draft("1"))
    assert (read_aliases("model")["champion"], len(read_ledger("model"))) == ("3", 3)


def test_a_champion_that_came_back_meanwhile_is_another_base(champion):
    base = read_base("model")
    promote(base, draft("3"))
    promote(read_base("model"), draft("2", action="rollback"))
    with pytest.raises(StaleBase):
        promote(base, draft("1"))


def test_decisions_that_move_nothing_make_no_base_stale(champion):
    base = read_base("model")
    for outcome in ("keep", "undecided", "refused"):
        entry = record(draft("3", outcome=outcome))
        assert (entry.champion_before, entry.champion_after) == ("2", "2")
    assert promote(base, draft("3")).number == 6


def test_a_promotion_cut_off_before_its_alias_is_finished_by_the_next(champion, caplog):
    append_entry(draft("3"), read_state("model"))
    assert read_aliases("model") == {"champion": "2"}
    with caplog.at_level(logging.WARNING):
        assert read_base("model") == Base(champion="3", number=3, alias="3")
    assert "made version 3 champion, but the alias was not set" in caplog.text
    assert read_aliases("model") == {"champion": "3"}


def test_a_first_promotion_cut_off_before_its_alias_is_finished_too(versions):
    append_entry(draft("1"), read_state("model"))
    record(draft("2", outcome="keep"))
    assert read_base("model") == Base(champion="1", number=1, alias="1")
    assert read_aliases("model") == {"champion": "1"}


def test_a_promotion_cut_off_after_its_alias_is_told_from_a_move_by_hand(champion):
    append_entry(draft("3"), read_state("model"))
    connect().set_registered_model_alias("model", "champion", "3")
    assert read_base("model") == Base(champion="3", number=3, alias="3")
    connect().set_registered_model_alias("model", "champion", "2")
    with pytest.raises(GateClosed, match="moved by hand"):
        read_base("model")


def test_a_slow_promoter_sets_the_alias_to_the_newest_champion(champion):
    append_entry(draft("3"), read_state("model"))
    append_entry(draft("1"), read_state("model"))
    connect().set_registered_model_alias("model", "champion", "3")
    settle("model")
    assert read_aliases("model") == {"champion": "1"}


def assert_closed_until_a_person_acts(told):
    mend = "`reprise rollback --to VERSION --reason ...` or `reprise promote VERSION --override --reason ...`"
    with pytest.raises(GateClosed, match=told) as refusal:
        read_base("model")
    assert mend in str(refusal.value)
    forced = read_base("model", forced=True)
    entry = promote(forced, draft("1", action="rollback", reason="Version 2 is bad."))
    assert read_base("model") == Base(champion="1", number=entry.number, alias="1")


@pytest.mark.fault("champion's parts deleted by hand, mlflow gc")
def test_a_deleted_champion_is_noticed(champion):
    connect().delete_model_version("model", "2")
    assert read_aliases("model") == {}
    assert_closed_until_a_person_acts("version 2 of 'model', the champion, is gone")


@pytest.mark.fault("champion's parts deleted by hand, mlflow gc")
@pytest.mark.parametrize("moved_to", ["1", "3"])  # 1 was champion before 2, as if 2's promotion had been cut off
def test_an_alias_moved_by_hand_is_noticed(champion, moved_to):
    connect().set_registered_model_alias("model", "champion", moved_to)
    assert_closed_until_a_person_acts(f"was moved by hand to version {moved_to}; its ledger says 2")


@pytest.mark.fault("champion's parts deleted by hand, mlflow gc")
def test_an_alias_removed_by_hand_is_noticed(champion):
    connect().delete_registered_model_alias("model", "champion")
    assert_closed_until_a_person_acts("was removed by hand; its ledger says version 2")


def test_a_first_champion_made_by_hand_is_noticed(versions):
    connect().set_registered_model_alias("model", "champion", "3")
    assert_closed_until_a_person_acts("is at version 3, which no entry of its ledger made champion")


@pytest.mark.fault("champion's parts deleted by hand, mlflow gc")
def test_a_version_deleted_before_its_alias_was_set_is_noticed(champion):
    append_entry(draft("3"), read_state("model"))
    connect().delete_model_version("model", "3")
    assert_closed_until_a_person_acts("version 3 of 'model', the champion, is gone")


def test_a_version_that_does_not_exist_enters_no_ledger(champion):
    for enter in (lambda: promote(read_base("model"), draft("9")), lambda: record(draft("9", outcome="keep"))):
        with pytest.raises(InputError, match="'9'"):
            enter()
    assert len(read_ledger("model")) == 2


def test_an_outcome_goes_the_way_that_is_its_own(champion):
    with pytest.raises(ValueError, match="promote"):
        record(draft("3"))
    with pytest.raises(ValueError, match="keep"):
        promote(read_base("model"), draft("3", outcome="keep"))
    assert len(read_ledger("model")) == 2


def test_an_unreachable_server_promotes_nothing(unreachable_mlflow):
    base = Base(champion=None, number=0, alias=None)
    for use in (lambda: read_base("model"), lambda: read_base("model", forced=True), lambda: promote(base, draft("1"))):
        with pytest.raises(RegistryError, match="failed"):
            use()


@pytest.mark.fault("two at once: trainings, promotions, prune")
def test_of_concurrent_promotions_from_one_base_one_wins(embedded_mlflow):
    result = race(3, 3, f"sqlite:///{embedded_mlflow / 'mlflow.db'}", shared_lock=False)
    assert (result["rounds"], result["faults"]) == (3, [])


def test_an_alias_that_was_moved_after_the_base_was_read_is_not_overwritten(champion):
    base = read_base("model")
    connect().set_registered_model_alias("model", "champion", "1")
    with pytest.raises(GateClosed, match="moved by hand to version 1; its ledger says 2"):
        promote(base, draft("3"))
    assert (read_aliases("model")["champion"], len(read_ledger("model"))) == ("1", 2)
    forced = read_base("model", forced=True)
    assert forced == Base(champion="2", number=2, alias="1")
    assert promote(forced, draft("3", action="override")).champion_before == "2"
    assert read_aliases("model")["champion"] == "3"


def test_how_ledger_and_alias_disagree_is_told_and_nothing_mended(champion):
    assert find_disagreement("model") is None
    connect().set_registered_model_alias("model", "champion", "1")
    assert "moved by hand to version 1" in find_disagreement("model")
    assert read_aliases("model")["champion"] == "1"
