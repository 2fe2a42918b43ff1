"""A real MLflow server that can be stopped, and a proxy before it that is slow, answers with errors or loses answers."""

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """An MLflow server on a store of its own, which can be stopped and started again."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None

    def start(self):
        store = f"sqlite:///{self.folder}/mlflow.db"
        options = ["--backend-store-uri", store, "--artifacts-destination", str(self.folder / "artifacts"), "--workers", "1"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), *options],
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.2)
        pytest.fail("the MLflow server did not start")

    def stop(self):
        os.killpg(self.process.pid, 9)
        self.process.wait()


@contextmanager
def faulty_proxy(server, port=0):
    """A proxy before the server, at a free port or that of one that ended.

    `status` answers in its stead, `delay` holds each answer back for so many seconds, `lost` answers never arrive after the
    server has done what it was asked; `requests` counts.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            if faulty.gone:  # a connection that was kept open
                self.close_connection = True
                return None
            faulty.requests += 1
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            time.sleep(faulty.delay)
            if faulty.status:
                return self.answer(faulty.status, {"Content-Type": "text/html"}, b"<html>no</html>")
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            headers = {key: value for key, value in self.headers.items() if key.lower() not in ("host", "connection")}
            try:
                connection.request(self.command, self.path, body, headers)
                reply = connection.getresponse()
                content = reply.read()
                if faulty.lost > 0 and self.command == "POST":
                    faulty.lost -= 1
                    self.close_connection = True
                    return None
                kept = {key: value for key, value in reply.getheaders() if key.lower() == "content-type"}
                return self.answer(reply.status, kept, content)
            except OSError:
                self.close_connection = True
            finally:
                connection.close()

        def answer(self, status, headers, body):
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815

        def log_message(self, *_):
            pass

    faulty = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    faulty.handle_error = lambda *_: None  # a client that was killed
    faulty.status, faulty.delay, faulty.requests, faulty.lost, faulty.gone = 0, 0.0, 0, 0, False
    threading.Thread(target=faulty.serve_forever, daemon=True).start()
    yield faulty
    faulty.gone = True
    faulty.shutdown()
    faulty.server_close()
