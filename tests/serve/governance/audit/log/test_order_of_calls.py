"""The order of calls that makes a power cut harmless, which no kill of a process can show.

A file is on the disk before it gets its name, names are before the checkpoint that needs them, and
a journal file goes only after the checkpoint is there.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.serve.governance.audit.log.logs import opened, some


class Calls:
    """What was done to which file, in order."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.made = folder, list[tuple[str, str]]()
        for name in ("write", "fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._of_descriptor(name, getattr(os, name)))
        for name in ("replace", "unlink"):
            monkeypatch.setattr(os, name, self._of_path(name, getattr(os, name)))

    def _of_descriptor(self, name, real):
        def call(descriptor, *rest):
            self._note(name, Path(f"/proc/self/fd/{descriptor}").readlink())
            return real(descriptor, *rest)

        return call

    def _of_path(self, name, real):
        def call(path, *rest, **named):
            self._note(name, Path(rest[0] if rest else path))
            return real(path, *rest, **named)

        return call

    def _note(self, name: str, path: Path) -> None:
        if path.is_relative_to(self.folder):
            self.made.append((name, path.relative_to(self.folder).as_posix()))

    def after(self, *call: str) -> int:
        """The place of a call's last time."""
        return len(self.made) - 1 - self.made[::-1].index(call)

    def first(self, *call: str) -> int:
        return self.made.index(call)


async def test_what_is_needed_is_on_the_disk_first(tmp_path, monkeypatch):
    calls = Calls(tmp_path, monkeypatch)
    async with opened(tmp_path, segment_bytes=3000) as log:
        begun = calls.first("fsync", ".")
        assert calls.first("replace", "checkpoint") < begun
        first = "journal/00000000000000000000.journal"
        assert calls.first("fsync", "journal/.00000000000000000000.journal.new") < calls.first(
            "replace", first
        )
        assert calls.first("replace", first) < calls.first("fsync", "journal")
        calls.made.clear()
        for at in range(0, 300, 100):
            await log.append(some(100, at))
        last = "journal/00000000000000000200.journal"
        for path in (first, last):
            assert calls.first("write", path) < calls.first("fdatasync", path)
        assert calls.after("fdatasync", first) < calls.first("replace", last)
        assert calls.first("replace", last) < calls.first("write", last)
        assert calls.made.count(("fdatasync", first)) + calls.made.count(("fdatasync", last)) < 4
        calls.made.clear()
    replaced = calls.first("replace", "checkpoint")
    for path in ("tile/0/000", "tile/entries/000", "tile/0/001.p/44", "tile/1/000.p/1"):
        new = Path(path).with_name(f".{Path(path).name}.new").as_posix()
        assert calls.first("fsync", new) < calls.first("replace", path)
        assert calls.first("replace", path) < calls.first("fsync", Path(path).parent.as_posix())
        assert calls.first("fsync", Path(path).parent.as_posix()) < replaced
    assert replaced < calls.after("fsync", ".") < calls.first("unlink", first)


async def test_an_opened_journal_is_another_file(tmp_path):
    """What an earlier process could not sync may be marked clean in the memory of the system."""
    path = tmp_path / "journal/00000000000000000000.journal"
    async with opened(tmp_path) as log:
        await log.append(some(1))
        before = path.stat().st_ino
    async with opened(tmp_path):
        assert path.stat().st_ino != before
