"""Sealed frames: they open whole, at their place, under their subject's key, and no other way."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.governance.audit.content.sealing import Label, digest, header_of, opened, sealed
from tests.serve.governance.audit.content.secrets_of import subject_keys

LABEL = Label(log="a", request_id="req-1", kind="prompt", number=0)


def test_a_frame_opens_under_its_key(tmp_path: Path) -> None:
    key = subject_keys(tmp_path).of("clinic/dr-x")
    frame = sealed(key, LABEL, b"hello")
    assert opened(key, frame) == b"hello"
    assert header_of(frame)["id"] == "req-1"
    assert b"hello" not in frame
    assert b"dr-x" not in frame
    assert digest(frame) == digest(sealed(key, LABEL, b"hello"))
    other = Label(log="a", request_id="req-2", kind="prompt", number=0)
    assert sealed(key, other, b"hello")[-20:] != frame[-20:]


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    keys = subject_keys(tmp_path)
    key = keys.of("clinic/dr-x")
    frame = sealed(key, LABEL, b"hello")
    for at in range(len(frame)):
        changed = bytearray(frame)
        changed[at] ^= 1
        with pytest.raises(ValueError):
            opened(key, bytes(changed))
    for length in range(len(frame)):
        with pytest.raises(ValueError):
            opened(key, frame[:length])
    with pytest.raises(ValueError, match="another key"):
        opened(keys.of("clinic/dr-y"), frame)
