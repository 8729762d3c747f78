"""Sealed frames: they open whole, at their place, under their subject's key, and no other way."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from serve.governance.audit.content.sealing import (
    Label,
    commitment,
    digest,
    header_of,
    opened,
    opened_by,
    sealed,
)
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


def test_a_frame_that_two_keys_open_is_of_neither(tmp_path: Path) -> None:
    """A tag that is right for two keys: what AES-GCM allows to whoever seals."""
    header = orjson.dumps({"number": 0, "id": "req-1", "commitment": commitment(ONE)})
    frame = two_keys(header, ONE, OTHER)
    nonce, body = bytes(12), frame[4 + len(header) :]
    assert AESGCM(ONE).decrypt(nonce, body, header) != AESGCM(OTHER).decrypt(nonce, body, header)
    assert opened_by(ONE, frame), "the key to which it commits itself"
    with pytest.raises(ValueError, match="commits"):
        opened_by(OTHER, frame)


ONE, OTHER = bytes(range(32)), bytes(range(1, 33))


def two_keys(header: bytes, one: bytes, other: bytes) -> bytes:
    """A frame of two blocks whose tag is right under both keys, by GHASH's being linear.

    Block 1 is free; block 2 is solved for: T(one) = T(other) is a linear equation in it over
    GF(2^128).
    """
    sides = [_Side(key, header) for key in (one, other)]
    free = b"sixteen bytes of"
    # tag = E(J0) + A·H^k + C1·H^3 + C2·H^2 + L·H: C2·(H1^2 + H2^2) = the sum of all else
    rest = sides[0].tag_without(free) ^ sides[1].tag_without(free)
    factor = _times(sides[0].h, sides[0].h) ^ _times(sides[1].h, sides[1].h)
    solved = _times(rest, _inverse(factor)).to_bytes(16)
    tag = sides[0].tag_without(free) ^ _times(
        int.from_bytes(solved), _times(sides[0].h, sides[0].h)
    )
    return len(header).to_bytes(4) + header + free + solved + tag.to_bytes(16)


class _Side:
    """GCM under one key, for a nonce of zeros: NIST SP 800-38D."""

    def __init__(self, key: bytes, header: bytes) -> None:
        block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        self.h = int.from_bytes(block.update(bytes(16)))
        self.mask = int.from_bytes(block.update(bytes(12) + (1).to_bytes(4)))
        self.header = header

    def tag_without(self, first: bytes) -> int:
        """The tag where the second block is zero."""
        padded = self.header + bytes(-len(self.header) % 16)
        blocks = [padded[at : at + 16] for at in range(0, len(padded), 16)]
        lengths = (len(self.header) * 8).to_bytes(8) + (32 * 8).to_bytes(8)
        total = 0
        for block in [*blocks, first, bytes(16), lengths]:
            total = _times(total ^ int.from_bytes(block), self.h)
        return total ^ self.mask


def _times(a: int, b: int) -> int:
    """The product in GF(2^128), bits as GCM counts them."""
    product = 0
    for at in range(127, -1, -1):
        if b >> at & 1:
            product ^= a
        a = a >> 1 ^ (0xE1 << 120 if a & 1 else 0)
    return product


def _inverse(a: int) -> int:
    """a to the power of 2^128 - 2."""
    result, power = 1 << 127, a
    for _ in range(127):
        power = _times(power, power)
        result = _times(result, power)
    return result
