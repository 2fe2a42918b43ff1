import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest


class Post(NamedTuple):
    """What a receiver got: where, with which token, and what."""

    place: str
    token: str | None
    payload: object


@pytest.fixture(scope="module")
def receiver():
    """An HTTP server that keeps what is posted; it answers 500 at /broken, and not at all at /hanging."""
    posts, end = [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            posts.append(Post(self.path, self.headers.get("authorization"), json.loads(body)))
            if self.path == "/hanging":
                end.wait(60)
            self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", posts
    end.set()
    server.shutdown()
    server.server_close()
