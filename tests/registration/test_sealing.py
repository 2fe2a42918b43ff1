import pytest

from tasks.errors import InputError
from tasks.registration.ledger import ensure_ledger
from tasks.registration.sealing import keep_sealed, refuse_opening


def test_what_was_sealed_for_a_model_stays_sealed(embedded_mlflow):
    refuse_opening("model", 0.0)  # there is no such model yet
    ensure_ledger("model")
    for fraction in (0.2, 0.1, 0.2):
        keep_sealed("model", fraction)
    refuse_opening("model", 0.2)
    with pytest.raises(InputError, match=r"audit_fraction 0\.1 would open test rows that are sealed for model: give 0\.2 or"):
        refuse_opening("model", 0.1)
    refuse_opening("another", 0.1)
    keep_sealed("model", 0.3)
    with pytest.raises(InputError, match=r"give 0\.3"):
        refuse_opening("model", 0.2)
