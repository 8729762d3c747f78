"""Log lines for people: what stands in them, their colours, and that nothing forges one."""

from __future__ import annotations

import io
import json
import logging
import re

import pytest

from serve.observe import logs
from serve.observe.terminal_lines import printable, seconds
from serve.timeline import Timeline, Usage
from tests.serve.observe.records import finished, refused
from tests.terminal import Terminal

CLOCK = re.compile(r"[0-2][0-9]:[0-5][0-9]:[0-5][0-9]  ")
CANARY = "canary-5c1e"


@pytest.fixture
def terminal(monkeypatch):
    root = logging.getLogger()
    before = root.handlers[:], root.level
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    logs.configure("debug", stream, "auto")
    yield stream
    logging.captureWarnings(capture=False)
    root.handlers[:], level = before
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False


def lines(stream: io.StringIO) -> list[str]:
    """The lines so far, without their time of day, which each must have."""
    written = stream.getvalue().splitlines()
    assert all(CLOCK.match(line) for line in written), written
    return [CLOCK.sub("", line) for line in written]


def test_a_request_is_one_line_with_what_people_look_for(terminal):
    logs.AccessLog().request_finished(finished())
    (line,) = lines(terminal)
    assert line == (
        "200 POST /v1/chat/completions · demo · 12 (4 cached)→5 tokens · TTFT 50 ms · 100 tok/s"
        " · 100 ms · key-1"
    )


def test_what_was_not_as_usual_is_said(terminal):
    access = logs.AccessLog()
    access.request_finished(refused(key_id=None, model=None))
    access.request_finished(finished(is_disconnected=True))
    access.request_finished(finished(status=500, error_code="internal_error"))
    access.request_finished(finished(timeline=Timeline(arrived_at=0, finish_reason="length")))
    refusal, left, failed, short = lines(terminal)
    assert refusal == "401 POST /v1/chat/completions · 1 ms · invalid_api_key"
    assert " · the caller left" in left
    assert " · internal_error · req-1" in failed, "by its id an exception's line is found"
    assert " · ended by max_tokens" in short


def test_a_burst_of_one_stamp_has_no_rate(terminal):
    timeline = Timeline(
        arrived_at=1.0,
        first_token_at=2.0,
        last_token_at=2.0,
        finished_at=2.0,
        usage=Usage(prompt_tokens=1, completion_tokens=9),
    )
    logs.AccessLog().request_finished(finished(timeline=timeline))
    (line,) = lines(terminal)
    assert "1→9 tokens · TTFT 1.00 s · 1.00 s" in line


def test_other_records_have_level_message_and_fields(terminal):
    try:
        logs.set_arm("blue")
        logs.set_model_digest("sha256:0")
        logging.getLogger("serve.x").warning("slow", extra={"scheme": "int8", "odd": object()})
    finally:
        logs.set_arm(None)
        logs.set_model_digest(None)
    facts = {"bytes": 3, "huge": 10**5000}
    logging.getLogger("serve.x").info("plan", extra={"facts": facts})
    logging.getLogger("elsewhere").error("a %d", 4)
    assert lines(terminal) == [
        "warning slow · scheme=int8 · odd=<object> · arm=blue",
        "info plan · bytes=3 · huge=<int>",
        "error elsewhere: a 4",
    ]


def test_an_exception_is_type_and_place_below_its_line(terminal):
    def fail(prompt: str) -> None:
        raise ValueError(f"cannot read {prompt}")

    try:
        fail(CANARY)
    except ValueError:
        logging.getLogger("serve.x").exception("failed")
    head, kind, *places = terminal.getvalue().splitlines()
    assert head.endswith("error failed")
    assert kind == "          ValueError"
    assert places[-1].endswith(" fail")
    assert all(place.startswith(" " * 12) for place in places)
    assert CANARY not in terminal.getvalue()


FORGERIES = [
    "two\n09:30:00  200 GET /v1/models",
    "a\r09:30:00  200 GET /v1/models",
    "\x1b[2J\x1b[H\x9b2Jgone",
    "\x1b]52;c;aGk=\x07",
    "\u202etxt.exe",
    "a\u2028b\x0bc\x0cd\x85e",
    "\x00\x7f",
]


@pytest.mark.parametrize("text", FORGERIES)
def test_nothing_in_a_record_forges_a_line_or_moves_the_cursor(terminal, text):
    logging.getLogger("serve.x").info("reason: %s", text, extra={"why": text, text: 1})
    logging.getLogger(text).info("whose")
    logs.AccessLog().request_finished(finished(model=text, key_id=text, method=text, route=text))
    assert len(lines(terminal)) == 3
    assert terminal.getvalue().replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain 中文", "plain 中文"), ("a\n  b\n", "a b"), ("\x1b[1m", "\\x1b[1m"), ("\t", "")],
)
def test_what_is_not_printable_is_an_escape(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("variables", "has_colour"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_want_them(terminal, monkeypatch, variables, has_colour):
    monkeypatch.delenv("NO_COLOR")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    logs.configure("info", stream, "auto")
    logs.AccessLog().request_finished(finished())
    assert ("\x1b[32m200\x1b[0m" in stream.getvalue()) is has_colour
    assert ("\x1b" in stream.getvalue()) is has_colour


@pytest.mark.parametrize(
    ("form", "stream", "is_json"),
    [
        ("auto", io.StringIO, True),
        ("auto", Terminal, False),
        ("json", Terminal, True),
        ("text", io.StringIO, False),
    ],
)
def test_the_form_is_the_place_s_unless_one_is_asked_for(terminal, form, stream, is_json):
    written = stream()
    logs.configure("info", written, form)
    logs.AccessLog().request_finished(finished())
    if is_json:
        assert json.loads(written.getvalue())["status"] == 200
    else:
        assert "\x1b" not in written.getvalue()
        assert "200 POST" in written.getvalue()


@pytest.mark.parametrize(
    ("duration_s", "shown"),
    [(0.0004, "0 ms"), (0.048, "48 ms"), (1.25, "1.25 s"), (75.2, "75 s")],
)
def test_durations(duration_s, shown):
    assert seconds(duration_s) == shown


def test_half_of_a_surrogate_pair_is_an_escape():
    """Not through a log: what pytest captures of it could not be sent between its processes."""
    assert printable("a\ud83d\x00") == "a\\ud83d\\x00"
