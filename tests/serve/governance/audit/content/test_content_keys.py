"""The operator's keys: what a file of them may hold, and what they wrap."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.governance.audit.content.content_keys import read_content_keys
from tests.serve.governance.audit.content.secrets_of import key_file


def test_the_first_key_wraps_and_all_unwrap(tmp_path: Path) -> None:
    keys = read_content_keys(key_file(tmp_path, "a", "b"))
    assert len(keys.keys) == 2
    secret = bytes(range(32))
    wrapped = keys.current.wrapped(secret)
    assert keys.current.unwrapped(wrapped) == secret
    assert keys.find(keys.current.key_id) == keys.current
    assert keys.find("0" * 16) is None
    with pytest.raises(ValueError, match="another key"):
        keys.keys[1].unwrapped(wrapped)
    assert "aaaa" not in repr(keys)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no key"),
        ("aa", "line 1: it holds no 32 bytes"),
        ("a" * 64 + "\nxyz\n", "line 2"),
        ("\n".join(["a" * 64] * 17), "17 keys: at most 16"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(StartupError, match=told):
        read_content_keys(path)


def test_a_file_that_others_can_read_or_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    path.chmod(0o644)
    with pytest.raises(StartupError, match="chmod 600"):
        read_content_keys(path)
    with pytest.raises(StartupError, match="openssl rand"):
        read_content_keys(tmp_path / "none")
