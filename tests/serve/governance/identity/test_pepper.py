"""The pepper: its file, its id, and that it is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.governance.identity.pepper import Pepper, opened_pepper, read_pepper


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_pepper_is_the_text_of_its_file(tmp_path: Path) -> None:
    path = written(tmp_path / "pepper", "p" * 64 + "\n")
    assert read_pepper(path) == Pepper(b"p" * 64)
    assert opened_pepper(path) == Pepper(b"p" * 64)
    assert opened_pepper(None) is None


def test_its_id_tells_peppers_apart_and_nothing_else() -> None:
    one, other = Pepper(b"p" * 32), Pepper(b"q" * 32)
    assert one.pepper_id == Pepper(b"p" * 32).pepper_id != other.pepper_id
    assert len(one.pepper_id) == 16
    assert len({one.derived(b"id"), one.derived(b"token"), one.mixed(b"id")}) == 3
    assert "ppp" not in repr(one)


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ("short", 0o600, "holds 5 bytes: at least 32"),
        ("", 0o600, "holds 0 bytes"),
        ("p" * 64, 0o644, "mode 0644.*chmod 600"),
        ("p" * 2000, 0o600, "at most 1,024"),
    ],
)
def test_a_file_that_does_not_do_is_refused(
    tmp_path: Path, text: str, mode: int, says: str
) -> None:
    with pytest.raises(StartupError, match=says):
        read_pepper(written(tmp_path / "pepper", text, mode))


def test_a_file_that_is_missing_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="openssl rand"):
        read_pepper(tmp_path / "none")
