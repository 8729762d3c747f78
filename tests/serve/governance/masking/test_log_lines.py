"""Log lines are a second net: what should not have been in one is not in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from serve.governance.masking.log_lines import MAX_CHARS, masked_line
from serve.observe import logs


@pytest.fixture
def record() -> Iterator[logging.LogRecord]:
    yield logging.makeLogRecord(
        {
            "msg": "user %s",
            "args": ("a@example.com",),
            "levelname": "INFO",
            "name": "x",
            "who": "13800138000",
            "count": 3,
        }
    )
    logs.set_masking(None)


def test_messages_and_fields_are_masked(record: logging.LogRecord) -> None:
    logs.set_masking(masked_line)
    line = json.loads(logs.formatter("json", is_terminal=False).format(record))
    assert (line["msg"], line["who"], line["count"]) == ("user [EMAIL]", "[PHONE]", 3)
    assert "[EMAIL]" in logs.formatter("text", is_terminal=False).format(record)


def test_a_text_that_cannot_be_masked_is_not_written(record: logging.LogRecord) -> None:
    def fails(_text: str) -> str:
        raise ValueError

    logs.set_masking(fails)
    line = logs.formatter("json", is_terminal=False).format(record)
    assert "example.com" not in line
    assert "could not be masked" in line


def test_requests_lines_hold_no_text_and_pass(record: logging.LogRecord) -> None:
    logs.set_masking(masked_line)
    record.name, record.msg, record.args = "intramural.access", "request", ()
    line = json.loads(logs.formatter("json", is_terminal=False).format(record))
    assert line["who"] == "13800138000"


def test_a_long_line_is_cut() -> None:
    assert len(masked_line("x " * MAX_CHARS)) == MAX_CHARS + 3
    assert masked_line("server 10.0.0.1") == "server 10.0.0.1"
