"""The second reader against the examples and definitions of the texts that it was written from."""

from __future__ import annotations

import hashlib

import pytest

from tests.independent_tlog import merkle
from tests.independent_tlog.notes import Checkpoint, Note, PublicKey, Refused

KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SIGNATURE = (
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
)
NOTE = f"This is an example message.\n\n\u2014 example.com/foo {SIGNATURE}\n".encode()


def path_of(index: int, hashes: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1, as it is defined."""
    if len(hashes) == 1:
        return []
    split = 1 << (len(hashes) - 1).bit_length() - 1
    left, right = hashes[:split], hashes[split:]
    if index < split:
        return [*path_of(index, left), merkle.root_of(right)]
    return [*path_of(index - split, right), merkle.root_of(left)]


def proof_of(old: int, hashes: list[bytes], *, is_whole: bool = True) -> list[bytes]:
    """PROOF of RFC 6962, section 2.1.2, as it is defined."""
    if old == len(hashes):
        return [] if is_whole else [merkle.root_of(hashes)]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    left, right = hashes[:split], hashes[split:]
    if old <= split:
        return [*proof_of(old, left, is_whole=is_whole), merkle.root_of(right)]
    return [*proof_of(old - split, right, is_whole=False), merkle.root_of(left)]


def test_the_example_of_a_signed_note_verifies() -> None:
    assert Note.parse(NOTE).trusted(PublicKey.parse(KEY)) == [None]


def test_another_text_under_the_same_signature_is_refused() -> None:
    with pytest.raises(Refused, match="does not hold"):
        Note.parse(NOTE.replace(b"example message", b"exemple message")).trusted(
            PublicKey.parse(KEY)
        )


def test_the_example_of_a_checkpoint_is_read() -> None:
    body = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert Checkpoint.parse(body).size == 20852163
    for broken in (body.replace(b"208", b"0208"), body.replace(b"2I=", b"2J="), body[:-1]):
        with pytest.raises(Refused):
            Checkpoint.parse(broken)


def test_the_empty_tree_and_a_leaf_have_the_hashes_of_the_rfc() -> None:
    assert merkle.root_of([]) == hashlib.sha256(b"").digest()
    assert merkle.leaf_hash(b"").hex().startswith("6e340b9cffb37a98")


def test_every_proof_of_small_trees_leads_to_their_roots() -> None:
    hashes = [merkle.leaf_hash(b"%d" % number) for number in range(18)]
    for size in range(1, 19):
        root = merkle.root_of(hashes[:size])
        for index in range(size):
            path = path_of(index, hashes[:size])
            assert merkle.root_by_inclusion(hashes[index], index, size, path) == root
            old = merkle.root_of(hashes[: index + 1])
            proof = proof_of(index + 1, hashes[:size])
            assert merkle.roots_by_consistency(index + 1, old, size, proof) == (old, root)
