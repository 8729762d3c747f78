"""Cosignatures: the message of the specification, its time, and what is none."""

from __future__ import annotations

import pytest

from serve.governance.audit.tlog.cosignatures import cosign, cosigned_at
from serve.governance.audit.tlog.keys import COSIGNATURE, NoteSigner

WITNESS = NoteSigner("witness.example.com/w1", bytes(32), COSIGNATURE)
TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def test_the_signed_message_is_that_of_the_specification():
    raw = cosign(TEXT, WITNESS, 1679315147)
    assert raw[:8] == bytes.fromhex("0000000064185 0cb".replace(" ", ""))
    message = b"cosignature/v1\ntime 1679315147\n" + TEXT.encode()
    assert WITNESS.verifier.verify(message, raw[8:])
    assert cosigned_at(TEXT, raw, WITNESS.verifier) == 1679315147


def test_what_the_key_did_not_make():
    raw = cosign(TEXT, WITNESS, 5)
    other = (6).to_bytes(8) + raw[8:]
    for text, found in ((TEXT, other), (TEXT, raw[:-1]), (TEXT + "x\n", raw), (TEXT, raw[8:])):
        assert cosigned_at(text, found, WITNESS.verifier) is None
    assert cosigned_at(TEXT, b"\xff" * 72, WITNESS.verifier) is None


@pytest.mark.parametrize("at", [-1, 1 << 63])
def test_times_that_cannot_be_written(at):
    with pytest.raises(ValueError, match="is not a time"):
        cosign(TEXT, WITNESS, at)
