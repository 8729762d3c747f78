"""Sealed values open with their key at their place, and keys come from private files."""

from __future__ import annotations

import base64

import pytest

from serve.errors import StartupError
from serve.governance.sealing import SealingKey, UnsealableError, read_sealing_key

KEY = SealingKey(bytes(range(32)))


def test_a_value_opens_at_its_place_and_nowhere_else() -> None:
    sealed = KEY.seal(b"row 1", b"text")
    assert KEY.unseal(b"row 1", sealed) == b"text"
    assert KEY.seal(b"row 1", b"text") != sealed
    for place, raw in (
        (b"row 2", sealed),
        (b"row 1", sealed[:-1]),
        (b"row 1", b""),
        (b"row 1", bytes([sealed[0] ^ 1]) + sealed[1:]),
    ):
        with pytest.raises(UnsealableError):
            KEY.unseal(place, raw)
    assert "0102" not in repr(KEY)
    assert KEY.derived(b"a") != KEY.derived(b"b")


@pytest.mark.parametrize("form", [bytes.hex, lambda raw: base64.b64encode(raw).decode()])
def test_a_key_is_read_from_a_private_file(tmp_path, form) -> None:
    path = tmp_path / "key"
    path.write_text(form(bytes(range(32))) + "\n")
    path.chmod(0o600)
    assert read_sealing_key(path, "--some-key-file") == KEY
    path.chmod(0o644)
    with pytest.raises(StartupError, match=r"--some-key-file .*open to group or others") as told:
        read_sealing_key(path, "--some-key-file")
    assert "Make one" not in str(told.value)  # with another one, what is sealed is lost


@pytest.mark.parametrize("text", ["", "ab" * 31, "zz" * 32, "c2hvcnQ="])
def test_what_is_no_key_is_refused_with_what_to_do(tmp_path, text) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(StartupError, match=r"no 32 bytes .* openssl rand -hex 32"):
        read_sealing_key(path, "--some-key-file")
    with pytest.raises(StartupError, match="openssl rand"):
        read_sealing_key(tmp_path / "none", "--some-key-file")
