"""Texts that commands look at."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from serve.cli import text_input
from serve.cli.text_input import read_text
from serve.errors import StartupError


def test_a_file_and_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("ä", "utf-8")
    assert read_text(str(tmp_path / "a.txt")) == "ä"
    monkeypatch.setattr(text_input, "MAX_BYTES", 3)
    for raw, why in ((b"\xef\xbb\xbfa", "more than 3"), (b"\xff", "from byte 0"), (b"abc", None)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        if why is None:
            assert read_text("-") == "abc"
            continue
        with pytest.raises(StartupError, match=why):
            read_text("-")
    with pytest.raises(StartupError, match="cannot be read"):
        read_text(str(tmp_path / "none"))
