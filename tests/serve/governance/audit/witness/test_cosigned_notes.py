"""Cosigned checkpoints beside a log: kept, read back by their keys, and put together."""

from __future__ import annotations

import stat

import pytest

from serve.governance.audit.tlog import notes
from serve.governance.audit.tlog.keys import COSIGNATURE, NoteSigner
from serve.governance.audit.tlog.notes import InvalidNote, Note
from serve.governance.audit.witness.cosigned_notes import Cosigned, CosignedNotes, together
from tests.serve.governance.audit.witness.trees import LOG_KEY, WITNESS_KEY, tree

OTHER = NoteSigner("other.example.org", b"o" * 32, COSIGNATURE)
THIRD = NoteSigner("third.example.org", b"t" * 32, COSIGNATURE)
KEYS = [LOG_KEY.verifier]


def cosigned(size: int, *witnesses: NoteSigner, at: int = 7) -> Note:
    """A log's checkpoint with the signatures of witnesses."""
    plain = notes.parse(tree(size).checkpoint())
    signatures = [notes.sign(plain.text, witness, at=at) for witness in witnesses]
    return Note(plain.text, (*plain.signatures, *signatures))


@pytest.fixture
def kept(tmp_path) -> CosignedNotes:
    return CosignedNotes(tmp_path)


def read(kept: CosignedNotes, witness: NoteSigner) -> Cosigned | None:
    return kept.read(witness.verifier, KEYS)


def test_the_last_checkpoint_of_each_witness_is_kept(kept):
    assert read(kept, WITNESS_KEY) is None
    kept.keep(WITNESS_KEY.verifier, cosigned(2, WITNESS_KEY))
    kept.keep(WITNESS_KEY.verifier, cosigned(3, WITNESS_KEY, at=8))
    kept.keep(OTHER.verifier, cosigned(2, OTHER))
    found, other = read(kept, WITNESS_KEY), read(kept, OTHER)
    assert found is not None
    assert other is not None
    assert (found.checkpoint.size, found.at_s) == (3, 8)
    assert (other.checkpoint.size, other.at_s) == (2, 7)
    assert stat.S_IMODE(kept.path(OTHER.verifier).stat().st_mode) == 0o600


def test_a_note_that_a_witness_has_not_signed_is_not_its_own(kept):
    kept.keep(WITNESS_KEY.verifier, cosigned(2, OTHER))
    with pytest.raises(InvalidNote, match=r"not signed by witness\.example\.org"):
        read(kept, WITNESS_KEY)


def test_a_note_of_another_log_s_key_is_refused(kept):
    kept.keep(WITNESS_KEY.verifier, cosigned(2, WITNESS_KEY))
    stranger = NoteSigner(LOG_KEY.name, b"x" * 32)
    with pytest.raises(InvalidNote):
        kept.read(WITNESS_KEY.verifier, [stranger.verifier])


def of(witness: NoteSigner, size: int) -> Cosigned:
    """What is read back of a witness's checkpoint."""
    note = notes.opened(
        cosigned(size, witness).content.encode(), [LOG_KEY.verifier, witness.verifier]
    )
    return Cosigned(
        witness=witness.verifier,
        checkpoint=type("Sized", (), {"size": size})(),
        at_s=7,
        note=note,
    )


def names(note: Note | None) -> set[str]:
    return set() if note is None else {signature.name for signature in note.verified}


def test_the_checkpoint_of_most_witnesses_goes_before_a_newer_one():
    found = [of(WITNESS_KEY, 2), of(OTHER, 2), of(THIRD, 3)]
    note = together(found, above=0)
    assert names(note) == {LOG_KEY.name, WITNESS_KEY.name, OTHER.name}
    assert note is not None
    assert len(note.verified) == 3  # the log's own once


def test_of_as_many_witnesses_the_newest_checkpoint_is_taken():
    assert names(together([of(OTHER, 2), of(THIRD, 3)], above=0)) == {LOG_KEY.name, THIRD.name}


def test_a_checkpoint_has_to_have_the_entry():
    found = [of(WITNESS_KEY, 2), of(OTHER, 2), of(THIRD, 3)]
    assert names(together(found, above=2)) == {LOG_KEY.name, THIRD.name}
    assert together(found, above=3) is None
    assert together([], above=0) is None
