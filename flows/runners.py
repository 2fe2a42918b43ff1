"""The Prefect task runner that a configuration names."""

import multiprocessing
import os
import threading
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from configs.runners import RunnerConfig
from tasks.errors import ConfigError


def task_runner(runner: RunnerConfig) -> TaskRunner[Any]:
    """Return a task runner that runs so many tasks at once; a cluster that it starts listens on loopback alone.

    Raises:
        ConfigError: the package for it is not installed.
    """
    match runner.kind:
        case "threads":
            return ThreadPoolTaskRunner(max_workers=runner.workers)
        case "processes":
            return ProcessPoolTaskRunner(max_workers=runner.workers, initializer=end_with_parent)
        case "dask":
            from prefect_dask.task_runners import DaskTaskRunner

            if runner.address is not None:
                return DaskTaskRunner(address=runner.address)
            local = {"n_workers": runner.workers, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
            return DaskTaskRunner(cluster_kwargs=local)
        case "ray":
            try:
                from prefect_ray.task_runners import RayTaskRunner
            except ImportError as error:
                raise ConfigError("runner.kind is 'ray', and Ray is not installed: pip install 'reprise[ray]'") from error
            options = {"num_cpus": runner.workers, "include_dashboard": False, "logging_level": "ERROR"}
            options["_node_ip_address"] = "127.0.0.1"
            ray: TaskRunner[Any] = RayTaskRunner(runner.address, init_kwargs=None if runner.address else options)
            return ray


def end_with_parent() -> None:
    """Have this process, one of a pool, end when its parent is killed: else it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 (the pool has started it)

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="parent").start()
