"""The browser of these tests: what it leaves behind, which is nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.browser import chromium, wait_for
from tests import programs

pytestmark = programs.needs("chromium", "chromedriver")


def processes(folder: Path) -> list[str]:
    """The command lines that name the folder."""
    lines = [_read(file) for file in Path("/proc").glob("[0-9]*/cmdline")]
    return [line for line in lines if str(folder) in line]


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:  # it has ended
        return ""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for temporary files, with a short name: Chromium puts a socket into it."""
    with tempfile.TemporaryDirectory(prefix="t") as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)


def test_no_process_and_no_file_is_left(folder: Path) -> None:
    driver, browser = programs.find("chromedriver"), programs.find("chromium")
    with chromium(str(driver), str(browser)):
        assert processes(folder)
    wait_for(lambda: not processes(folder), "its processes end")
    assert list(folder.iterdir()) == []
