"""The file of a backup: the same from SQLite and from PostgreSQL, and readable without us.

Gzip of JSON lines, so that ``zcat`` and ``jq`` show it::

    {"format": "intramural-backup", "version": 1, "revision": "0001", "made_at": ..., "source": ...}
    {"table": "api_keys", "columns": ["key_id", ...]}
    ["k1", ...]                                             a row
    ...
    {"rows": {"api_keys": 1, ...}, "sha256": "..."}         of all lines above, with their ends
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

FORMAT = "intramural-backup"
VERSION = 1
MAX_LINE_BYTES = 16 << 20
"""Of a row: more than any of ours can have."""
COMPRESSION = 6


class DamagedDumpError(Exception):
    """The file is no backup, or not as it was written; the message says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line: when, from what, and of which revision of the tables."""

    revision: str
    made_at: str
    source: str


@dataclass(frozen=True, slots=True)
class TableHead:
    """The beginning of a table: its name, and the order of the values in its rows."""

    table: str
    columns: tuple[str, ...]


class DumpWriter:
    """Writes a backup's lines. ``finish`` writes the last one."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        # Neither a name nor a time: of the same rows the same bytes.
        self._gzip = gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0)
        self._hash = hashlib.sha256()
        self._rows: dict[str, int] = {}
        self._table = ""
        facts = {"revision": header.revision, "made_at": header.made_at, "source": header.source}
        self._write({"format": FORMAT, "version": VERSION, **facts})

    def begin_table(self, name: str, columns: Sequence[str]) -> None:
        self._table = name
        self._rows[name] = 0
        self._write({"table": name, "columns": list(columns)})

    def write_row(self, values: Sequence[Any]) -> None:
        self._rows[self._table] += 1
        self._write(list(values))

    def finish(self) -> Mapping[str, int]:
        """Write the counts and the digest, and return the counts."""
        self._write({"rows": self._rows, "sha256": self._hash.hexdigest()})
        self._gzip.close()
        return self._rows

    def _write(self, value: Any) -> None:
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        self._hash.update(line)
        self._gzip.write(line)


class DumpReader:
    """Reads a backup: its header at once, then its tables and rows one by one.

    Raises:
        DamagedDumpError: it is no backup of ours, or is damaged.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._gzip = gzip.GzipFile("", "rb", fileobj=file)
        self._hash = hashlib.sha256()
        first = self._read()
        if not isinstance(first, dict) or first.get("format") != FORMAT:
            raise DamagedDumpError("it is no backup of this program")
        if first.get("version") != VERSION:
            raise DamagedDumpError(
                f"it has version {first.get('version')!r} of the format; this program reads "
                f"{VERSION}"
            )
        names = ("revision", "made_at", "source")
        if not all(isinstance(first.get(name), str) for name in names):
            raise DamagedDumpError("its first line lacks a revision, a time or a source")
        self.header = Header(**{name: first[name] for name in names})

    def lines(self) -> Iterator[TableHead | list[Any]]:
        """Tables, each followed by its rows; all counted and checked once the last was taken.

        Raises:
            DamagedDumpError: a line is none, the counts or the digest are others, or it ends early.
        """
        rows: dict[str, int] = {}
        table = ""
        while True:
            digest = self._hash.hexdigest()
            value = self._read()
            if isinstance(value, list):
                if not table:
                    raise DamagedDumpError("it has a row before the first table")
                rows[table] += 1
                yield value
            elif isinstance(value, dict) and "table" in value:
                head = _table(value)
                if head.table in rows:
                    raise DamagedDumpError(f"it has the table {head.table!r} twice")
                table = head.table
                rows[table] = 0
                yield head
            else:
                self._check_end(value, rows, digest)
                return

    def _check_end(self, value: Any, rows: dict[str, int], digest: str) -> None:
        if not isinstance(value, dict) or value.get("rows") != rows:
            raise DamagedDumpError("its rows are not as many as it says")
        if value.get("sha256") != digest:
            raise DamagedDumpError("its SHA-256 is another than it says")
        try:
            rest = self._gzip.read(1)
        except (EOFError, OSError, zlib.error):
            raise DamagedDumpError("it is not whole, or is no gzip file") from None
        if rest:
            raise DamagedDumpError("there is more after its last line")

    def _read(self) -> Any:
        try:
            line = self._gzip.readline(MAX_LINE_BYTES + 1)
        except (EOFError, OSError, zlib.error):
            raise DamagedDumpError("it is not whole, or is no gzip file") from None
        if len(line) > MAX_LINE_BYTES:
            raise DamagedDumpError(f"a line has more than {MAX_LINE_BYTES:,} bytes")
        if not line.endswith(b"\n"):
            raise DamagedDumpError("it ends early")
        self._hash.update(line)
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise DamagedDumpError("a line is no JSON") from None


def _table(value: dict[str, Any]) -> TableHead:
    name, columns = value["table"], value.get("columns")
    if not isinstance(name, str) or not isinstance(columns, list):
        raise DamagedDumpError("a table has no name or no columns")
    return TableHead(name, tuple(map(str, columns)))
