"""What is done around every request: its number, its log line, its figures, the headers of its answer, and the last resort."""

import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tasks.serving.request_log import describe, log_request

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
OTHER = "other"
ENDING = frozenset({401, 408, 413, 415})
"""Statuses after which the connection is closed: much of what was asked may still be to come, and nobody will read it."""
CLIENT_GONE = 499
"""Told of a request that ended without an answer, as nginx does."""
_headers = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


class Exchange:
    """An ASGI application around another; what an endpoint puts into `scope["told"]` is in the log line, too."""

    def __init__(self, app: ASGIApp, *, paths: frozenset[str], tell_request: Callable[[str, int, float], None]) -> None:
        """Wrap an application.

        Args:
            app: the application.
            paths: its own; all others are told as one, since a client may make up any number.
            tell_request: is told path, status and seconds of each request.
        """
        self._app, self._paths, self._tell_request = app, paths, tell_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        request_id = _request_id(scope)
        told: dict[str, Any] = {}
        scope["told"] = told
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_headers, (b"x-request-id", request_id)]
                if status in ENDING:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            told["error"] = describe(error)
            if not status:
                await JSONResponse({"detail": "the server failed; its log says where"}, 500)(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - start
            path = scope["path"] if scope["path"] in self._paths else OTHER
            self._tell_request(path, status or CLIENT_GONE, seconds)
            log_request(_line(scope, path, status or CLIENT_GONE, seconds, request_id.decode(), told))


def _request_id(scope: Scope) -> bytes:
    """Return the client's own number of the request, if it has a decent one, or a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return bytes(value)
    return uuid.uuid4().hex.encode()


def _line(scope: Scope, path: str, status: int, seconds: float, request_id: str, told: Mapping[str, Any]) -> dict[str, Any]:
    # A path that is none of ours may be anything that a client has written.
    fields = {"method": scope["method"], "path": path, "status": status, "ms": round(seconds * 1000, 2)}
    return {**fields, "request_id": request_id, **told}
