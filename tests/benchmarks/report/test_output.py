"""The files of a report, and how a command is refused."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report.document import Document
from benchmarks.report.output import write
from tests.benchmarks.documents import compared


def test_the_files_are_written(tmp_path: Path) -> None:
    written = write(compared(), tmp_path / "out")
    assert [path.name for path in written] == ["compare.json", "compare.html", "compare.png"]
    assert Document.read(written[0]).ratios == compared().ratios
