"""Keys in notes' own format: the published example, round trips, and texts that are none."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from serve.governance.audit.tlog.keys import (
    COSIGNATURE,
    NoteSigner,
    NoteVerifier,
    key_id_of,
    strict_base64,
)

PUBLISHED = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
"""The example of c2sp.org/signed-note."""
GO_CHECKSUMS = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
"""The key of Go's checksum database."""


@pytest.mark.parametrize("text", [PUBLISHED, GO_CHECKSUMS])
def test_published_keys_have_the_id_that_they_say(text):
    key = NoteVerifier.parse(text)
    assert key.text == text
    assert f"{key.key_id:08x}" == text.split("+")[1]


def test_a_key_goes_through_its_texts():
    for kind in (1, COSIGNATURE):
        signer = NoteSigner.generate("example.com/log", kind)
        again = NoteSigner.parse(signer.private_text)
        assert again.verifier == signer.verifier == NoteVerifier.parse(signer.verifier.text)
        assert signer.private_text.startswith(
            f"PRIVATE+KEY+example.com/log+{again.verifier.key_id:08x}+"
        )
        signature = again.sign(b"text")
        assert signer.verifier.verify(b"text", signature)
        assert not signer.verifier.verify(b"other", signature)
        assert not signer.verifier.verify(b"text", signature[:-1])
        Ed25519PublicKey.from_public_bytes(signer.verifier.public).verify(signature, b"text")


def test_one_key_of_two_kinds_has_two_ids():
    seed = bytes(range(32))
    assert NoteSigner("w", seed).verifier.key_id != NoteSigner("w", seed, 4).verifier.key_id
    assert NoteSigner("w", seed).verifier.key_id != NoteSigner("v", seed).verifier.key_id


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\u2003b", "a\nb", "a\x00b"])
def test_names_that_no_key_has(name):
    with pytest.raises(ValueError, match="cannot be a key's name"):
        NoteSigner.generate(name)


def changed(**parts: str) -> str:
    name, key_id, encoded = PUBLISHED.split("+", 2)
    found = {"name": name, "key_id": key_id, "encoded": encoded} | parts
    return "+".join(found.values())


def other_type() -> str:
    raw = b"\x06" + strict_base64(PUBLISHED.split("+", 2)[2])[1:]
    key_id = f"{key_id_of('example.com/foo', 6, raw[1:]):08x}"
    return changed(key_id=key_id, encoded=base64.b64encode(raw).decode())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a verifier key"),
        (changed(name="example.com/bar"), "does not belong to the key"),
        (changed(key_id="530d903b"), "does not belong to the key"),
        (changed(key_id="530D903A"), "is not a verifier key"),
        (changed(encoded="AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2"), "padding"),
        (changed(encoded="Aeky"), "not one of Ed25519"),
        (other_type(), "not one of Ed25519"),
    ],
)
def test_texts_that_are_no_key(text, reason):
    with pytest.raises(ValueError, match=reason):
        NoteVerifier.parse(text)


def test_a_private_key_that_is_none_is_not_told():
    secret = NoteSigner.generate("example.com/log").private_text
    for text in (
        secret.removeprefix("PRIVATE+"),
        secret[:-4],
        secret[:-4] + "!!!!",
        secret.replace("/log+", "/cat+"),
        PUBLISHED,
    ):
        with pytest.raises(ValueError) as found:
            NoteSigner.parse(text)
        assert secret.split("+", 4)[4][4:20] not in str(found.value)


@pytest.mark.parametrize("text", ["AB==", "AA=", "AA==\n", "A A=", "-_8="])
def test_base64_is_written_in_one_way(text):
    with pytest.raises(ValueError):
        strict_base64(text)
