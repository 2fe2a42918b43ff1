"""A connection with what a request's head may take of bytes and time, before any of it is looked at."""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_BYTES = 64 << 10
"""Of a request's line and headers; of what comes with a body and is none of it, likewise."""
CONNECTIONS = 512
"""With more, uvicorn answers a request with 503."""
SPARE_CONNECTIONS = 128
"""So many are told so; with still more, a connection is closed at once."""
TOO_LARGE = STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n"


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's, with the bounds that it lacks."""

    head_seconds: ClassVar[float]
    """From a connection, or the first byte after an answer, to a whole head; from an early answer to the rest of its body."""

    def __init__(self, *args: Any, **named: Any) -> None:
        """Take what uvicorn gives."""
        super().__init__(*args, **named)
        self._in_head = True
        self._bytes = 0  # since a head began, or a piece of a body came
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for a head."""
        super().connection_made(transport)
        if len(self.connections) > (self.limit_concurrency or CONNECTIONS) + SPARE_CONNECTIONS:
            transport.close()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._unset_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read so much at a time that no head is larger than it may be."""
        while data and not self.transport.is_closing():
            piece, data = data[: HEAD_BYTES - self._bytes], data[HEAD_BYTES - self._bytes :]
            self._bytes += len(piece)
            super().data_received(piece)
            if self._bytes >= HEAD_BYTES:
                if self.cycle is None or self.cycle.response_complete:
                    self.transport.write(TOO_LARGE)
                self.transport.close()
        if self._in_head and self._bytes and self._timer is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """Count anew."""
        self._in_head, self._bytes = False, 0
        self._unset_wait()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count anew."""
        self._bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Be ready for another head."""
        self._in_head, self._bytes = True, 0
        self._unset_wait()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait no longer for the rest of what was asked than for a head."""
        super().on_response_complete()
        if not self._in_head and self.cycle.response_complete and self._timer is None:
            self._wait()

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _unset_wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._timer = None
            self.transport.close()
        else:  # what came before is still to be answered
            self._wait()
