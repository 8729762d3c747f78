"""Records as CSV: a column for each value, and cells that no spreadsheet computes."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from serve.governance.audit.reading.csv_rows import COLUMNS, header, row
from serve.governance.audit.reading.joined import Entry


def cells(record: dict[str, Any], begin: dict[str, Any] | None = None) -> dict[str, str]:
    text = header() + row("llm-0", Entry(index=7, raw=b"", record=record, begin=begin))
    (found,) = csv.DictReader(io.StringIO(text, newline=""))
    return found


def test_the_header_is_the_columns():
    assert header() == ",".join(COLUMNS) + "\r\n"


def test_an_end_has_the_caller_and_the_model_of_its_begin():
    begin = {
        "who": {"tenant": "research", "owner": "kim", "key": "k1"},
        "client": "127.0.0.1",
        "model": {"name": "tiny"},
        "call": {"route": "/v1/chat/completions"},
    }
    end = {
        "type": "end",
        "id": "r1",
        "outcome": "done",
        "tokens": {"prompt": 5, "completion": 0},
        "verdicts": ["masked", "cache_hit"],
    }
    found = cells(end, begin)
    expected = {"log": "llm-0", "index": "7", "type": "end", "id": "r1", "outcome": "done"}
    expected |= {"tenant": "research", "owner": "kim", "key": "k1", "client": "127.0.0.1"}
    expected |= {"model": "tiny", "route": "/v1/chat/completions"}
    expected |= {"prompt_tokens": "5", "completion_tokens": "0", "verdicts": "masked cache_hit"}
    assert {name: found[name] for name in expected} == expected
    assert {found[name] for name in ("at", "error", "status", "finish")} == {""}


@pytest.mark.parametrize("record", [{}, {"tokens": 5, "verdicts": "x", "who": []}])
def test_what_is_not_there_or_of_another_kind_is_empty(record):
    found = cells(record)
    assert {name for name in COLUMNS if found[name]} == {"log", "index"}


@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)", "+1", "-1", '=HYPERLINK("http://x")'])
def test_no_cell_is_a_formula(name):
    assert not cells({"who": {"tenant": name}})["tenant"].startswith(("=", "@", "+", "-"))


def test_lines_and_commas_stay_in_their_cell():
    assert cells({"id": 'a,"b"\r\nc'})["id"] == 'a,"b"\r\nc'
