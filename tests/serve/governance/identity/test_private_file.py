"""Files that others may not read. The key file's own tests hold the rest."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.governance.identity.private_file import (
    check_not_writable,
    explained,
    read_private,
)


def test_the_label_and_the_advice_are_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(StartupError, match=r"Secret file .* is not there. Make one."):
        read_private(path, "Secret file", 10, if_missing="Make one.")
    path.write_text("text")
    path.chmod(0o600)
    assert read_private(path, "Secret file", 10, if_missing="") == "text"
    path.chmod(0o640)
    with pytest.raises(StartupError, match=r"Secret file .* has mode 0640.* chmod 600"):
        read_private(path, "Secret file", 10, if_missing="")


@pytest.mark.parametrize(("mode", "is_taken"), [(0o644, True), (0o664, False), (0o602, False)])
def test_what_others_may_write_is_refused(tmp_path: Path, mode: int, is_taken: bool) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    with nullcontext() if is_taken else pytest.raises(ValueError, match=f"{mode:04o}.*go-w"):
        check_not_writable(path)


def test_the_systems_words_become_a_sentence(tmp_path: Path) -> None:
    says = pytest.raises(StartupError, match=r"X .* cannot be used: No space left")
    with says, explained(tmp_path, "X", ""):
        raise OSError(28, "No space left on device")
