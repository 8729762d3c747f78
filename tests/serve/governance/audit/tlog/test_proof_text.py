"""Proofs as texts: what they say, and that no changed one proves anything."""

from __future__ import annotations

import pytest

from serve.governance.audit.tlog import notes, proof_text, proofs
from serve.governance.audit.tlog.checkpoints import Checkpoint
from serve.governance.audit.tlog.hashing import leaf_hash
from serve.governance.audit.tlog.keys import COSIGNATURE, NoteSigner
from serve.governance.audit.tlog.proof_text import InvalidProof, Proof
from tests.serve.governance.audit.tlog import naive

SIGNER = NoteSigner("example.com/log", bytes(32))
WITNESS = NoteSigner("example.com/witness", bytes(31) + b"1", COSIGNATURE)
ENTRIES = naive.some_entries(11)
CHECKPOINT = Checkpoint(SIGNER.name, len(ENTRIES), naive.tree_hash(ENTRIES))
KEYS = [SIGNER.verifier, WITNESS.verifier]


def read(level, index):
    return naive.tree_hash(ENTRIES[index << level : (index + 1) << level])


def proof(index: int, extra: bytes | None = None) -> Proof:
    text = CHECKPOINT.text
    content = notes.written(text, [notes.sign(text, one, at=77) for one in (SIGNER, WITNESS)])
    hashes = proofs.inclusion_proof(index, len(ENTRIES), read)
    return Proof(index, tuple(hashes), content.encode(), extra)


@pytest.mark.parametrize("extra", [None, b"", b"\x00binary"])
def test_a_proof_goes_through_its_text(extra):
    for index, entry in enumerate(ENTRIES):
        made = proof(index, extra)
        lines = made.content.decode().split("\n")
        assert lines[0] == "c2sp.org/tlog-proof@v1"
        assert f"index {index}" in lines[1:3]
        found = Proof.parse(made.content)
        assert found == made
        checkpoint, note = proof_text.verified(found, leaf_hash(entry), KEYS)
        assert checkpoint == CHECKPOINT
        assert [one.signed_at for one in note.verified] == [None, 77]


def test_no_flipped_bit_proves_the_entry():
    content, leaf = bytearray(proof(6).content), leaf_hash(ENTRIES[6])
    witnessed_at = content.index(WITNESS.name.encode())
    for at in range(0, len(content) * 8, 11):
        content[at // 8] ^= 1 << at % 8
        try:
            _, note = proof_text.verified(Proof.parse(bytes(content)), leaf, KEYS)
        except InvalidProof:
            pass
        else:  # the witness's key is no longer named: then it has not signed
            assert at // 8 >= witnessed_at
            assert [one.name for one in note.verified] == [SIGNER.name]
        content[at // 8] ^= 1 << at % 8


def test_another_entry_or_log_is_not_proven():
    with pytest.raises(InvalidProof, match="is not entry 4 of the log at 11 entries"):
        proof_text.verified(proof(4), leaf_hash(ENTRIES[5]), KEYS)
    with pytest.raises(InvalidProof, match="the checkpoint does not hold"):
        proof_text.verified(proof(4), leaf_hash(ENTRIES[4]), KEYS, origin="example.com/other")
    with pytest.raises(InvalidProof, match="the checkpoint does not hold"):
        proof_text.verified(proof(4), leaf_hash(ENTRIES[4]), [WITNESS.verifier])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not begin with"),
        (b"c2sp.org/tlog-proof@v2\nindex 0\n\n", "does not begin with"),
        (b"c2sp.org/tlog-proof@v1\nindex 0\n", "has no checkpoint"),
        (b"c2sp.org/tlog-proof@v1\n\n", "does not say the entry's index"),
        (b"c2sp.org/tlog-proof@v1\nindex 01\n\n", "does not say the entry's index"),
        (b"c2sp.org/tlog-proof@v1\nindex -1\n\n", "does not say the entry's index"),
        (b"c2sp.org/tlog-proof@v1\nextra ?\nindex 1\n\n", "the extra data is not base64"),
        (b"c2sp.org/tlog-proof@v1\nindex 1\nextra AAAA\n\n", "a hash is not base64"),
        (b"c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\n", "has not 32 bytes"),
        (b"c2sp.org/tlog-proof@v1\xff\n\n", "not UTF-8"),
        (b"x" * (2 << 20) + b"x", "2,097,153 bytes"),
    ],
)
def test_texts_that_are_no_proof(content, reason):
    with pytest.raises(InvalidProof, match=reason):
        Proof.parse(content)
