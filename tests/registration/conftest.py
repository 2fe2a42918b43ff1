import pytest

from tests.registration.small_model import register_small_version, save_small_model


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """An untrained but real network and its encoder, as the training and padding stages hand them on."""
    return save_small_model(tmp_path_factory.mktemp("small-model"))


@pytest.fixture
def small_version(small_model, embedded_mlflow):
    """That network as version 1 of `small-lstm` in an embedded store of the test's own."""
    return register_small_version(*small_model)
