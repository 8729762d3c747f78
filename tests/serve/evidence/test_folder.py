"""The folder is there whole or not at all, closed to others, and never over another."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.evidence.folder import write
from serve.evidence.part import Part
from tests.serve.evidence.notes import TestSigner

PART = Part(name="settings", state="whole", summary="", files={"a/b/c": b"1"})


def test_it_is_closed_to_others(tmp_path: Path) -> None:
    out = tmp_path / "evidence"
    digest = write(out, [PART], TestSigner())
    assert len(digest) == 64
    modes = {path.stat().st_mode & 0o777 for path in out.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert out.stat().st_mode & 0o777 == 0o700
    assert (out / "a/b/c").read_bytes() == b"1"


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(StartupError, match="there is something already"):
        write(tmp_path, [PART], TestSigner())
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    out = tmp_path / "empty"
    out.mkdir()
    write(out, [PART], TestSigner())
    assert (out / "evidence.json").is_file()


class Fails:
    def sign(self, text: str) -> bytes:
        raise OSError(28, "No space left on device")


def test_what_fails_leaves_no_folder_of_that_name(tmp_path: Path) -> None:
    out = tmp_path / "evidence"
    with pytest.raises(StartupError, match="No space left"):
        write(out, [PART], Fails())
    assert not out.exists()
    with pytest.raises(StartupError, match="cut short"):
        write(out, [PART], TestSigner())
