"""One long-lived process that carries out deployments, each run in a process of its own."""

import asyncio
import signal
from collections.abc import Iterable
from typing import Any

from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner


class _Server(Runner):
    """Prefect's runner, but for its handler of SIGTERM, which exits before it has stopped the runs (3.8.8)."""

    def handle_sigterm(self, *_: Any) -> None:
        if not self.started:
            raise KeyboardInterrupt
        self.execute_in_background(self.astop)


def serve(deployments: Iterable[RunnerDeployment]) -> None:
    """Carry out the deployments' runs until Ctrl-C or SIGTERM, which stop what runs and pause the timetables."""
    runner = _Server(pause_on_shutdown=True)
    for deployment in deployments:
        runner.add_deployment(deployment)
    signal.signal(signal.SIGINT, runner.handle_sigterm)
    asyncio.run(runner.start())
