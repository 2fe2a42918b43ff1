"""Log lines as JSON, one a line: of requests, and of what else happens; never of what a client has written."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

logger = logging.getLogger("reprise.requests")
_write_json = json.JSONEncoder(ensure_ascii=False).encode


class JsonLines(logging.Formatter):
    """Makes a record one line of JSON; of an exception, its type and place, since its message may quote a text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record's line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = describe(record.exc_info[1])
        return _write_json(line)


def describe(error: BaseException) -> str:
    """Return an exception's type and where it came from, without its message."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return f"{type(error).__name__}{place}"


def write_log(stream: TextIO) -> None:
    """From now on, write the log lines of this project, and uvicorn's warnings, to a stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    for name, level in (("reprise", logging.INFO), ("uvicorn", logging.WARNING)):
        one = logging.getLogger(name)
        one.handlers, one.propagate = [handler], False
        one.setLevel(level)


def log_request(fields: Mapping[str, Any]) -> None:
    """Log a request that was answered."""
    if logger.isEnabledFor(logging.INFO):
        # Not by `info`, which would look for the calling line each time.
        record = logging.LogRecord(logger.name, logging.INFO, "", 0, "request", None, None)
        record.fields = fields
        logger.handle(record)
