import pytest

from tasks.errors import InputError
from tasks.registration.sealing import keep_sealed


def test_what_was_sealed_for_a_model_stays_sealed(embedded_mlflow):
    keep_sealed("model", 0.0)
    keep_sealed("model", 0.2)
    keep_sealed("model", 0.2)
    with pytest.raises(InputError, match=r"audit_fraction 0\.1 would open test rows that are sealed for model: give 0\.2 or"):
        keep_sealed("model", 0.1)
    keep_sealed("another", 0.1)
    keep_sealed("model", 0.3)
    with pytest.raises(InputError, match=r"give 0\.3"):
        keep_sealed("model", 0.2)
