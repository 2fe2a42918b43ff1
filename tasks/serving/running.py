"""A model server from its socket to its end."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import ceil

import uvicorn
from fastapi import FastAPI

from configs.serving import ServingConfig
from tasks.errors import InputError
from tasks.registration.loaded_version import load_version, pin_followed
from tasks.serving.app import Server, build_app
from tasks.serving.batching import Batcher
from tasks.serving.connection import CONNECTIONS, BoundedConnection
from tasks.serving.following import Follower
from tasks.serving.metrics import Metrics

BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that takes connections; port 0 is any that is free.

    Raises:
        InputError: it cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]  # without what was attempted, which is told here, too
        raise InputError(f"cannot listen on {host}, port {port}: {reason}: choose others by --host and --port") from error


class ModelServer:
    """A server of a registered model. `ended` tells, after `run`, whether all its threads have."""

    def __init__(self, config: ServingConfig, model: str, token: str | None, tell_ready: Callable[[], None]) -> None:
        """Prepare it.

        Args:
            config: how; its host and port are those of the socket.
            model: the registered model.
            token: what clients must show, or None.
            tell_ready: is called once the first version is served.
        """
        metrics = Metrics()
        self._follower = Follower(
            lambda: pin_followed(model, config.version),
            load_version,
            poll_seconds=config.poll_seconds,
            tell_swap=metrics.tell_swap,
            tell_trouble=metrics.tell_trouble,
        )
        self._batcher = Batcher(
            self._follower.score,
            batch_texts=config.batch_texts,
            wait_seconds=config.batch_wait_ms / 1000,
            queue_texts=config.queue_texts,
            tell_batch=metrics.tell_batch,
        )
        self._tell_ready = tell_ready
        self._failures: list[Exception] = []
        self.ended = False
        app = build_app(Server(config, token, self._follower, self._batcher, metrics), self._living)
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=type("Connection", (BoundedConnection,), {"head_seconds": config.request_seconds}),
                limit_concurrency=CONNECTIONS,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=ceil(config.request_seconds),
            )
        )

    def run(self, at: socket.socket) -> None:
        """Answer on a socket until `stop`, SIGTERM or Ctrl-C; what has been asked by then is answered.

        Raises:
            RepriseError: the first version could not be found or loaded.
            KeyboardInterrupt: by a signal, where the process has Python's own handler for it.
        """
        # What is there by now stays: without this, each collection of what a swap leaves behind would look at all of it.
        gc.collect()
        gc.freeze()
        self._uvicorn.run(sockets=[at])
        if self._failures:
            raise self._failures[0]

    def stop(self) -> None:
        """Have `run` end."""
        self._uvicorn.should_exit = True

    def _fail(self, error: Exception) -> None:
        self._failures.append(error)
        self.stop()

    @asynccontextmanager
    async def _living(self, _: FastAPI) -> AsyncIterator[None]:
        self._batcher.start()
        self._follower.start(begin=self._tell_ready, fail=self._fail)
        yield
        await asyncio.to_thread(self._batcher.stop)
        self.ended = await asyncio.to_thread(self._follower.stop)
