import numpy as np
import pytest

Rows = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="session")
def scored_rows() -> Rows:
    """2,000 labels and the probabilities of a model that is right about five times in six."""
    generator = np.random.default_rng(7)
    labels = generator.integers(0, 2, 2000).astype(np.int8)
    logits = generator.normal(0, 2, labels.size) + (2 * labels - 1) * 2
    return labels, (1 / (1 + np.exp(-logits))).astype(np.float32)
