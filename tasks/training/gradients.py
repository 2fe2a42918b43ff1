"""Custom gradients in a process that loads one network after another."""

from collections.abc import Iterator
from contextlib import contextmanager

from tensorflow.python.framework import ops


@contextmanager
def forgetting_gradients() -> Iterator[None]:
    """Forget the gradients of the networks that are traced in the block; not where anything is trained meanwhile.

    TensorFlow enters each in a list, under a name of its own, and with it keeps the network for good: by no other way is
    one taken out.
    """
    registered = ops.gradient_registry._registry
    before = set(registered)
    try:
        yield
    finally:
        for name in set(registered) - before:
            del registered[name]
