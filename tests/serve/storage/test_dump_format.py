"""A backup's file: whole, or told what is wrong with it, wherever it is damaged."""

from __future__ import annotations

import gzip
import io
import json

import pytest

from serve.storage.dump_format import DamagedDumpError, DumpReader, DumpWriter, Header, TableHead

HEADER = Header(revision="0001", made_at="2026-11-29T12:00:00+00:00", source="sqlite")
ROWS = [["k1", 1, None, True], ["k2", 2**62, "Zürich\n\u2028", False]]


def written() -> bytes:
    file = io.BytesIO()
    writer = DumpWriter(file, HEADER)
    writer.begin_table("one", ["a", "b", "c", "d"])
    for row in ROWS:
        writer.write_row(row)
    writer.begin_table("two", ["x"])
    assert writer.finish() == {"one": 2, "two": 0}
    return file.getvalue()


def read(raw: bytes) -> list[object]:
    reader = DumpReader(io.BytesIO(raw))
    assert reader.header == HEADER
    return list(reader.lines())


def test_what_is_written_is_read():
    assert read(written()) == [
        TableHead("one", ("a", "b", "c", "d")),
        *ROWS,
        TableHead("two", ("x",)),
    ]
    assert written() == written()


def test_it_is_read_by_other_programs():
    lines = gzip.decompress(written()).decode().splitlines()
    assert json.loads(lines[0])["format"] == "intramural-backup"
    assert json.loads(lines[-1])["rows"] == {"one": 2, "two": 0}


def test_every_file_that_ends_early_is_refused():
    raw = written()
    for size in range(len(raw)):
        with pytest.raises(DamagedDumpError):
            read(raw[:size])


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (b'"k1"', b'"k3"', "SHA-256"),
        (b'["k1",1,null,true]\n', b"", "not as many"),
        (b'["k1",1,null,true]\n', b'["k1",1,null,true]\n' * 2, "not as many"),
        (b'{"table":"two"', b'{"table":"one"', "'one' twice"),
        (b'{"table":"one","columns":["a","b","c","d"]}\n', b"", "row before"),
        (b'{"table":"two","columns":["x"]}', b'{"table":"two"}', "no columns"),
        (b'"version":1', b'"version":2', "version 2 of the format"),
        (b"intramural-backup", b"other", "no backup of this"),
        (b'["k1"', b"[k1", "no JSON"),
        (b'"revision":"0001",', b"", "lacks a revision"),
    ],
)
def test_what_was_changed_is_refused(before, after, said):
    text = gzip.decompress(written())
    assert text.count(before) == 1
    with pytest.raises(DamagedDumpError, match=said):
        read(gzip.compress(text.replace(before, after)))


def test_what_follows_the_end_is_refused():
    with pytest.raises(DamagedDumpError, match="more after its last line"):
        read(gzip.compress(gzip.decompress(written()) + b"[]\n"))


def test_a_line_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("serve.storage.dump_format.MAX_LINE_BYTES", 300)
    long = gzip.decompress(written()).replace(b'"k1"', b'"' + b"k" * 400 + b'"')
    with pytest.raises(DamagedDumpError, match="more than 300 bytes"):
        read(gzip.compress(long))
