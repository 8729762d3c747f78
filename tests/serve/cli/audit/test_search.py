"""`audit search`: records by what somebody looks for."""

from __future__ import annotations

import json

import pytest

from serve.cli.audit import run_audit
from serve.errors import StartupError
from serve.governance.audit.records.canonical import encoded
from tests.serve.cli.audit.site import Site, calls


@pytest.fixture
def filled(site) -> Site:
    site.write(calls(40, per_day=10))
    return site


def search(site: Site, capsys, *words: str) -> list[dict]:
    """What is found, as programs get it."""
    capsys.readouterr()
    place = [str(site.audit), "--log-key", str(site.public)]
    assert run_audit(["search", *place, "--json", *words]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("words", "indices"),
    [
        (["--id", "req-7"], [14, 15]),
        (["--outcome", "error"], [19, 39, 59, 79]),
        (["--outcome", "engine_error", "--from", "2026-01-03"], [59, 79]),
        (["--tenant", "legal", "--event", "end"], [2 * n + 1 for n in range(2, 40, 4)]),
        (["--owner", "lee", "--to", "2026-01-01"], [2, 3, 10, 11, 18, 19]),
        (["--key", "k3", "--from", "2026-01-01T00:00:36", "--event", "begin"], [62, 70, 78]),
        (["--model", "none"], []),
        (["--tenant", "legal", "--limit", "3"], [4, 5, 12]),
    ],
)
def test_what_is_looked_for_is_found(filled, capsys, words, indices):
    if "2026-01-01T00:00:36" in words:
        words = [word.replace("2026-01-01T00:00:36", "2026-01-04T00:00:31") for word in words]
    assert [found["index"] for found in search(filled, capsys, *words)] == indices


def test_an_end_comes_with_its_begin(filled, capsys):
    (found,) = search(filled, capsys, "--id", "req-2", "--event", "end")
    assert found["begin"]["who"]["tenant"] == "legal"
    assert found["log"] == "llm-0"


def test_pieces_are_found_by_their_request(filled, capsys):
    filled.write([encoded({"type": "chunks", "of": [["req-a", 1, 5], ["req-b", 1, 5]]})])
    assert [found["index"] for found in search(filled, capsys, "--id", "req-b")] == [80]


CALL = {
    "type": "call", "id": "req-m", "at": "2026-01-09T00:00:00.000000Z",
    "who": {"key": "k9", "tenant": "legal"}, "call": {"method": "POST", "route": "/v1/moderations"},
    "status": 200, "details": {"rules": "1", "texts": 2}, "verdicts": ["filter:word@1"],
}  # fmt: skip


def test_a_call_that_generated_nothing_is_found_and_told_with_its_counts(filled, capsys):
    filled.write([encoded(CALL)])
    (found,) = search(filled, capsys, "--tenant", "legal", "--event", "call")
    assert found["record"] == CALL
    place = [str(filled.audit), "--log-key", str(filled.public)]
    assert run_audit(["search", *place, "--key", "k9"]) == 0
    line = capsys.readouterr().out
    assert line.split()[-6:] == ["legal", "k9", "req-m", "/v1/moderations", "rules=1", "texts=2"]


def test_a_line_for_people_obeys_no_control_character(site, capsys):
    site.write([encoded({"type": "refused", "id": "x", "error": "no\x1b[2J", "at": "\x07"})])
    place = [str(site.audit), "--log-key", str(site.public)]
    assert run_audit(["search", *place]) == 0
    told = capsys.readouterr().out
    assert "no\\x1b[2J" in told
    assert "\x07" not in told


def test_nothing_found_and_a_wrong_time_are_said(filled, capsys):
    place = [str(filled.audit), "--log-key", str(filled.public)]
    for words, told in (
        (["--event", "bgin"], "Did you mean begin"),
        (["--from", "2026-01-02", "--to", "2026-01-01"], "swap them"),
    ):
        with pytest.raises(StartupError, match=told):
            run_audit(["search", *place, *words])
    assert run_audit(["search", *place, "--from", "2026-01-01", "--to", "2026-01-01"]) == 0
    assert run_audit(["search", *place, "--tenant", "nobody"]) == 0
    assert "Nothing is found" in capsys.readouterr().err
    with pytest.raises(StartupError, match="--from 'yesterday' is no day"):
        run_audit(["search", *place, "--from", "yesterday"])


def test_a_line_says_what_an_act_was_about(site, capsys):
    site.write(
        [
            encoded({"type": "admin", "act": "keys.revoke", "details": {"id": "k1"}}),
            encoded({"type": "config", "event": "file_changed", "files": {"masking_file": "x"}}),
        ]
    )
    assert run_audit(["search", str(site.audit), "--log-key", str(site.public)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("keys.revoke  id=k1")
    assert lines[1].endswith("file_changed  masking_file")
