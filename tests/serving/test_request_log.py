import json
import logging

from tasks.serving.request_log import JsonLines


def line(message, **further):
    record = logging.LogRecord("reprise", logging.WARNING, __file__, 1, message, (), further.pop("exc_info", None))
    vars(record).update(further)
    return json.loads(JsonLines().format(record))


def test_a_line_has_what_was_told():
    found = line("request", fields={"path": "/predict", "status": 200})
    assert (found["level"], found["event"], found["path"], found["status"]) == ("warning", "request", "/predict", 200)
    assert found["time"].endswith("+00:00")


def test_of_an_exception_its_message_is_not_written():
    try:
        raise ValueError("a secret review")
    except ValueError as error:
        found = line("failed", exc_info=(ValueError, error, error.__traceback__))
    assert found["error"].startswith("ValueError at test_request_log.py:")
    assert "secret" not in str(found)
