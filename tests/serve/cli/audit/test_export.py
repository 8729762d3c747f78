"""`audit export`: JSON lines and CSV, and contents for who holds their key."""

from __future__ import annotations

import csv
import json
import stat

import pytest

from serve.cli.audit import run_audit
from serve.errors import StartupError
from serve.governance.audit.reading.joined import SLACK, STEP
from serve.governance.audit.records.canonical import encoded
from tests.serve.cli.audit.site import Site, call, calls, subject_of


def filled(site: Site, num: int = 8) -> Site:
    notes = site.documents([(subject_of(n), f"req-{n}", f"secret {n}") for n in range(num)])
    site.write([entry for n in range(num) for entry in call(n, notes[n])])
    return site


def export(site: Site, *words: str) -> int:
    return run_audit(["export", str(site.audit), "--log-key", str(site.public), *words])


def test_contents_are_opened_with_their_key_alone(site, capsys):
    filled(site)
    assert export(site) == 0
    assert "secret" not in capsys.readouterr().out
    assert export(site, "--content-key-file", str(site.content_key), "--event", "begin") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["content"]["text"] for line in lines] == [f"secret {n}" for n in range(8)]


def test_pieces_of_a_stream_that_was_cut_off_are_opened(site, capsys):
    notes = site.documents([("research/kim", "req-0", f"piece {n}") for n in range(2)])
    pieces = [["req-0", n + 1, 7, note] for n, note in enumerate(notes)]
    site.write([call(0)[0], encoded({"type": "chunks", "of": [*pieces, ["req-1", 1, 5]]})])
    assert export(site, "--content-key-file", str(site.content_key), "--event", "chunks") == 0
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert [piece["text"] for piece in line["content"]] == ["piece 0", "piece 1"]


def with_pieces(site: Site) -> None:
    """Two calls of two people; an entry has pieces of both, and of one that nobody knows."""
    texts = [("research/kim", "req-0"), ("research/lee", "req-1"), ("research/kim", "req-0")]
    notes = site.documents([(*of, f"piece {n}") for n, of in enumerate(texts)])
    pieces = [[name, n + 1, 7, notes[n]] for n, (_, name) in enumerate(texts)]
    at = "2026-01-01T00:10:00Z"
    entry = encoded({"type": "chunks", "at": at, "of": [*pieces, ["req-x", 1, 5]]})
    begins = [call(0)[0], call(1)[0]]
    site.write([*begins, encoded({"type": "heartbeat", "at": at, "open_from": 0}), entry])


@pytest.mark.parametrize(
    ("words", "texts", "num_left_out"),
    [
        (["--owner", "kim"], ["piece 0", "piece 2"], 2),
        (["--tenant", "research"], ["piece 0", "piece 1", "piece 2"], 1),
        (["--key", "k1", "--from", "2026-01-01T00:09:00"], ["piece 1"], 3),
        (["--id", "req-1"], ["piece 1"], 3),
        (["--id", "req-1", "--owner", "kim"], [], None),
        (["--model", "none"], [], None),
        (["--tenant", "research", "--event", "begin"], [], None),
    ],
)
def test_an_export_has_the_pieces_of_its_calls_and_of_no_others(
    site, capsys, words, texts, num_left_out
):
    with_pieces(site)
    assert export(site, "--content-key-file", str(site.content_key), *words) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = [line for line in lines if line["record"]["type"] == "chunks"]
    assert [piece["text"] for line in found for piece in line["content"]] == texts
    assert [line["left_out"] for line in found] == ([] if num_left_out is None else [num_left_out])
    assert sum(len(line["record"]["of"]) for line in found) == len(texts)


def test_a_piece_is_its_callers_also_where_the_call_began_long_before(site, capsys):
    """Before all entries that are read for its time; the heartbeat says how far back to look."""
    beat = encoded({"type": "heartbeat", "at": "2026-01-01T00:00:00Z", "open_from": 0})
    piece = encoded({"type": "chunks", "at": "2026-02-01T00:00:01Z", "of": [["req-0", 1, 5]]})
    quiet = encoded({"type": "config", "at": "2026-01-01T00:00:00Z"})
    site.write([call(0)[0], *[quiet] * (SLACK + STEP), beat, *[quiet] * STEP, piece])
    assert export(site, "--owner", "kim", "--from", "2026-02-01") == 0
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert line["record"]["of"] == [["req-0", 1, 5]]


def test_a_search_has_pieces_where_they_are_asked_for(site, capsys):
    with_pieces(site)
    place = [str(site.audit), "--log-key", str(site.public), "--json", "--owner", "kim"]
    for words, num in (([], 0), (["--event", "chunks"], 1), (["--id", "req-0"], 1)):
        assert run_audit(["search", *place, *words]) == 0
        lines = map(json.loads, capsys.readouterr().out.splitlines())
        assert sum(line["record"]["type"] == "chunks" for line in lines) == num


def test_who_reads_contents_is_recorded_before(site, capsys):
    filled(site, 1)
    words = ("--content-key-file", str(site.content_key), "--tenant", "research")
    assert export(site, *words) == 0
    capsys.readouterr()
    assert run_audit(["search", str(site.audit), "--log", "cli", "--json"]) == 0
    begin, end = (json.loads(line)["record"] for line in capsys.readouterr().out.splitlines())
    assert (begin["act"], end["outcome"]) == ("audit.export", "done")
    assert begin["details"] == {"logs": ["llm-0"], "query": {"tenant": "research"}}
    (site.audit / "cli.key").write_text("no key")
    with pytest.raises(StartupError, match="so it is not done"):
        export(site, *words)
    assert "secret" not in capsys.readouterr().out


def test_another_content_key_opens_nothing(site, capsys):
    filled(site, 1)
    other = site.root / "other.key"
    assert run_audit(["key", "generate", str(other), "--content"]) == 0
    capsys.readouterr()
    assert export(site, "--content-key-file", str(other), "--event", "begin") == 0
    printed = capsys.readouterr()
    (line,) = map(json.loads, printed.out.splitlines())
    assert "not in the key file" in line["content"]["gone"]
    assert "1 contents are not in it" in printed.err
    with pytest.raises(StartupError, match="none/x cannot be written: No such file"):
        export(site, "--out", str(site.root / "none/x"))


def test_a_content_that_was_changed_is_not_shown(site, capsys):
    filled(site, 1)
    (journal,) = (site.log / "content/journal").glob("*.journal")
    text = journal.read_bytes()
    journal.write_bytes(text[:-20] + bytes([text[-20] ^ 1]) + text[-19:])
    export(site, "--content-key-file", str(site.content_key), "--event", "begin")
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert set(line["content"]) == {"gone"}


def test_csv_is_a_row_an_entry_and_safe_in_a_spreadsheet(site):
    entries = calls(3)
    entries[2] = entries[2].replace(b'"owner":"lee"', b'"owner":"=cmd()"')
    entries.append(encoded({"type": "call", "id": "req-m", "details": {"texts": 2, "chars": 9}}))
    site.write(entries)
    out = site.root / "audit.csv"
    assert export(site, "--csv", "--out", str(out)) == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["index"] for row in rows] == [str(n) for n in range(7)]
    assert (rows[5]["details"], rows[6]["details"]) == ("", "chars=9 texts=2")
    assert rows[3]["owner"] == "'=cmd()"
    assert (rows[5]["tenant"], rows[5]["completion_tokens"]) == ("legal", "2")


def test_csv_has_no_contents(site):
    with pytest.raises(StartupError, match="CSV has no contents"):
        export(site, "--csv", "--content-key-file", str(site.content_key))
