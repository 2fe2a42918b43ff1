"""One training of a model at a time in a workspace, without a server."""

import logging
import subprocess
import sys
import threading

import pytest

from flows.exclusive import limit_name, only_training

HOLD = (
    "import sys, time\nfrom flows.exclusive import only_training\n"
    "with only_training(sys.argv[1]): print('held', flush=True); time.sleep(600)\n"
)


@pytest.mark.fault("two at once: trainings, promotions, prune")
def test_another_training_of_the_model_waits_and_says_so(caplog):
    caplog.set_level(logging.INFO, "reprise.exclusive")
    entered, order = threading.Event(), []

    def second():
        entered.set()
        with only_training("m"):
            order.append("second")

    with only_training("m"):
        other = threading.Thread(target=second)
        other.start()
        entered.wait()
        with only_training("another model"):
            order.append("another model")
        other.join(timeout=1.5)
        assert other.is_alive()
        order.append("first")
    other.join(timeout=30)
    assert order == ["another model", "first", "second"]
    assert caplog.messages == ["this training waits for another training of m in this workspace"]


@pytest.mark.fault("two at once: trainings, promotions, prune")
def test_a_killed_training_holds_nothing():
    holder = subprocess.Popen([sys.executable, "-c", HOLD, "m"], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    with only_training("m"), only_training("m"):  # who has it, has it
        pass


def test_a_limit_is_named_as_the_server_allows():
    assert limit_name("imdb-lstm") == "one training of imdb-lstm"
    assert limit_name("a&b%c") == "one training of a-b-c"
