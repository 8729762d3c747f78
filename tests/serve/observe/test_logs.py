from __future__ import annotations

import io
import json
import logging
import threading
import warnings
from datetime import datetime

import pytest

from serve.observe import logs
from serve.timeline import Timeline
from tests.serve.observe.records import finished, refused

CANARY = "canary-5c1e"


class Lines:
    """A stream for log lines; call it for those written since the last call."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def __call__(self) -> list[dict[str, object]]:
        text = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def lines():
    root = logging.getLogger()
    before = root.handlers[:], root.level, threading.excepthook, warnings.showwarning
    written = Lines()
    logs.configure("debug", written.stream)
    yield written
    logging.captureWarnings(capture=False)
    root.handlers[:], level, threading.excepthook, warnings.showwarning = before
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False


def test_a_line_has_time_level_logger_message_and_extras(lines):
    logging.getLogger("x.y").info("hello %s", "you", extra={"size_bytes": 3, "name_": None})
    (line,) = lines()
    stamp = datetime.fromisoformat(str(line.pop("ts")))
    assert stamp.tzinfo is not None
    assert line == {
        "level": "info",
        "logger": "x.y",
        "msg": "hello you",
        "size_bytes": 3,
        "name_": None,
    }


def test_arm_and_digest_are_in_every_line_until_they_are_unset(lines):
    try:
        logs.set_arm("blue")
        logs.set_model_digest("sha256:0")
        logging.getLogger("x").info("m")
        logs.set_arm(None)
        logging.getLogger("x").info("m")
    finally:
        logs.set_arm(None)
        logs.set_model_digest(None)
    logging.getLogger("x").info("m")
    told = [{name: line.get(name) for name in ("arm", "model_digest")} for line in lines()]
    assert told == [
        {"arm": "blue", "model_digest": "sha256:0"},
        {"arm": None, "model_digest": "sha256:0"},
        {"arm": None, "model_digest": None},
    ]


def test_time_is_utc_with_a_z(lines):
    logging.getLogger("x").info("m")
    assert str(lines()[0]["ts"]).endswith("Z")


def test_levels_and_reconfiguring_leave_one_handler(lines):
    logs.configure("warning", lines.stream)
    logging.getLogger("x").info("not shown")
    logging.getLogger("x").warning("shown")
    assert [line["msg"] for line in lines()] == ["shown"]


def test_an_exception_is_type_and_place_never_values(lines):
    def fail(prompt: str) -> None:
        try:
            raise KeyError(prompt)
        except KeyError as error:
            raise ValueError(f"cannot read {prompt}") from error

    try:
        fail(CANARY)
    except ValueError:
        logging.getLogger("x").exception("failed")
    (line,) = lines()
    assert CANARY not in json.dumps(line)
    outer, cause = line["exception"]
    assert (outer["type"], cause["type"]) == ("ValueError", "KeyError")
    assert outer["at"][-1].startswith("serve/observe/test_logs.py:")
    assert outer["at"][-1].endswith(" fail")


def test_a_chain_that_loops_ends():
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert len(logs.describe(first)) <= logs.MAX_FRAMES


@pytest.mark.parametrize(
    "value", [object(), 2**70, {1: 2, None: 3}, "\ud800", b"x", {"a": {"b": {object()}}}]
)
def test_odd_extras_never_raise_and_never_print_themselves(lines, value):
    logging.getLogger("x").info("m", extra={"odd": value})
    (line,) = lines()
    assert line["msg"] == "m"


def test_an_extra_that_holds_itself(lines):
    loop: list[object] = []
    loop.append(loop)
    logging.getLogger("x").info("m", extra={"odd": loop})
    assert lines()[0]["unwritable"] == ["odd"]


def test_objects_in_extras_show_their_type_only(lines):
    logging.getLogger("x").info("m", extra={"odd": ValueError(CANARY)})
    assert lines()[0]["odd"] == "<ValueError>"


def test_arguments_that_do_not_fit_the_format():
    record = logging.makeLogRecord({"msg": "a %d", "args": (CANARY,)})
    assert json.loads(logs.JsonFormatter().format(record))["msg"] == "a %d"


def test_a_message_of_two_lines_is_one_line(lines):
    logging.getLogger("x").info("two\nlines")
    assert [line["msg"] for line in lines()] == ["two\nlines"]


def test_asyncio_s_reprs_are_cut(lines):
    log = logging.getLogger("asyncio")
    log.error(f"Task exception was never retrieved\nfuture: <Task exception=X('{CANARY}')>")
    log.error(f"Exception in callback call('{CANARY}')\nhandle: <Handle>")
    found = lines()
    assert CANARY not in json.dumps(found)
    assert found[0]["msg"] == "Task exception was never retrieved"


def test_uvicorn_is_routed_and_its_access_log_is_off(lines):
    logging.getLogger("uvicorn.error").error("stopped", extra={"color_message": "stopped"})
    logging.getLogger("uvicorn.access").info("GET /secret?x=1")
    (line,) = lines()
    assert (line["logger"], line["msg"]) == ("uvicorn.error", "stopped")
    assert "color_message" not in line


def test_clients_tell_no_url(lines):
    for name in ("httpx", "httpcore.http11"):
        logging.getLogger(name).info("HTTP Request: POST https://hooks.example.org/s3cr3t")
        logging.getLogger(name).debug("send_request_headers s3cr3t")
    assert lines() == []


def test_warnings_and_dead_threads_are_lines_too(lines):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", UserWarning, stacklevel=1)

    def die() -> None:
        raise ValueError(CANARY)

    thread = threading.Thread(target=die, name="loader")
    thread.start()
    thread.join()
    warning, death = lines()
    assert warning["logger"] == "py.warnings"
    assert (death["msg"], death["thread_name"]) == ("a thread died", "loader")
    assert CANARY not in json.dumps(death)


def test_a_stream_that_is_gone_is_no_error(lines):
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    logs.configure("info", Gone())
    logging.getLogger("x").info("m")
    assert lines() == []


def test_access_line_of_a_finished_request(lines):
    logs.AccessLog().request_finished(finished())
    (line,) = lines()
    del line["ts"]
    assert line == {
        "level": "info",
        "logger": "intramural.access",
        "msg": "request",
        "request_id": "req-1",
        "key_id": "key-1",
        "model": "demo",
        "method": "POST",
        "route": "/v1/chat/completions",
        "status": 200,
        "stream": True,
        "prompt_tokens": 12,
        "completion_tokens": 5,
        "cached_tokens": 4,
        "queue_s": 0.002,
        "ttft_s": 0.05,
        "tokens_per_s": 100.0,
        "duration_s": 0.1,
        "finish_reason": "stop",
        "error_code": None,
        "disconnected": False,
    }


def test_access_line_of_a_refusal(lines):
    logs.AccessLog().request_finished(refused())
    (line,) = lines()
    assert (line["status"], line["error_code"], line["ttft_s"]) == (401, "invalid_api_key", None)


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"route": "/livez"}, "debug"),
        ({"route": "/readyz", "status": 503}, "debug"),
        ({"route": "/metrics", "status": 500}, "warning"),
        ({"route": "/pages/app.js"}, "debug"),
        ({"route": "/"}, "info"),
        ({"status": 503}, "warning"),
        ({"status": 500}, "warning"),
        ({"status": 429}, "info"),
    ],
)
def test_levels_of_access_lines(lines, changes, level):
    logs.AccessLog().request_finished(finished(**changes))
    assert lines()[0]["level"] == level


@pytest.mark.parametrize(
    "changes", [{"timeline": None}, {"status": None}, {"timeline": Timeline(arrived_at="x")}]
)
def test_a_broken_record_is_logged_not_raised(lines, changes):
    record = finished(**changes)
    if record.timeline is not None:
        record.timeline.finished_at = 1.0
    logs.AccessLog().request_finished(record)
    assert lines()[0]["msg"] == "a request was not logged"
