"""The witness's rules: what it cosigns, what it refuses, and with which status."""

from __future__ import annotations

import pytest

from serve.governance.audit.tlog import notes
from serve.governance.audit.tlog.checkpoints import Checkpoint
from serve.governance.audit.tlog.keys import COSIGNATURE, NoteSigner
from serve.governance.audit.witness.cosigning import (
    InconsistentError,
    OtherSizeError,
    RefusedError,
    Witness,
)
from serve.governance.audit.witness.request_body import Submission
from serve.governance.audit.witness.state import WitnessState
from tests.independent_tlog.notes import PublicKey, opened
from tests.serve.governance.audit.witness.trees import (
    LOG_KEY,
    ORIGIN,
    WITNESS_KEY,
    Tree,
    tree,
)

NOW = 1_764_500_000


@pytest.fixture
def witness(tmp_path):
    with WitnessState(tmp_path / "state") as state:
        yield Witness(WITNESS_KEY, [LOG_KEY.verifier], state, clock=lambda: NOW + 0.5)


def submit(witness: Witness, log: Tree, old: int, size: int | None = None) -> notes.Signature:
    return witness.cosign(
        Submission(
            old_size=old,
            proof=log.proof(old, size) if old else (),
            checkpoint=log.checkpoint(size),
        )
    )


def test_growth_is_cosigned_and_others_verify_it(witness):
    log = tree(9)
    submit(witness, log, 0, 3)
    signature = submit(witness, log, 3)
    content = log.checkpoint() + signature.line.encode()
    _, note = opened(content, PublicKey.parse(LOG_KEY.verifier.text))
    assert note.trusted(PublicKey.parse(WITNESS_KEY.verifier.text)) == [NOW]
    assert witness.state.checkpoint(ORIGIN) == content
    held = witness.held(ORIGIN)
    assert held is not None
    assert (held.size, held.time_s) == (9, NOW)


def test_the_same_tree_is_cosigned_again(witness):
    log = tree(5)
    submit(witness, log, 0)
    assert submit(witness, log, 5).signed_at == NOW


def test_another_size_is_told(witness):
    submit(witness, tree(5), 0)
    with pytest.raises(OtherSizeError) as refused:
        submit(witness, tree(9), 4)
    assert (refused.value.status, refused.value.size) == (409, 5)


@pytest.mark.parametrize("size", [5, 6, 9, 300])
@pytest.mark.parametrize("changed", [0, 3, 4])
def test_another_past_is_refused_and_kept_as_evidence(witness, size, changed):
    submit(witness, tree(5), 0)
    forged = tree(size, changed=changed)
    with pytest.raises(InconsistentError, match="5 entries that were cosigned") as refused:
        submit(witness, forged, 5)
    assert refused.value.status == 422
    held = witness.held(ORIGIN)
    assert held is not None
    assert held.size == 5
    (kept,) = (witness.state.folder_of(ORIGIN) / "refused").iterdir()
    assert kept.read_bytes() == forged.checkpoint()


def test_it_never_goes_back(witness):
    log = tree(9)
    submit(witness, log, 0)
    with pytest.raises(RefusedError) as refused:
        witness.cosign(Submission(old_size=9, proof=(), checkpoint=log.checkpoint(5)))
    assert refused.value.status == 400


def test_other_logs_and_other_keys_are_refused(witness):
    stranger = NoteSigner("example.org/other", b"l" * 32)
    other = Checkpoint("example.org/other", 0, (tree(0).leaves and b"") or b"\0" * 32)
    with pytest.raises(RefusedError) as refused:
        witness.cosign(Submission(old_size=0, proof=(), checkpoint=other.signed(stranger).encode()))
    assert refused.value.status == 404
    forged = Tree(tree(3).entries, NoteSigner(ORIGIN, b"x" * 32))
    with pytest.raises(RefusedError) as refused:
        submit(witness, forged, 0)
    assert refused.value.status == 403
    broken = tree(3).checkpoint().replace(b"\n3\n", b"\n4\n")
    with pytest.raises(RefusedError) as refused:
        witness.cosign(Submission(old_size=0, proof=(), checkpoint=broken))
    assert refused.value.status == 403


def test_an_empty_log_has_one_root_and_the_first_checkpoint_no_proof(witness):
    wrong = Checkpoint(ORIGIN, 0, b"\0" * 32).signed(LOG_KEY).encode()
    with pytest.raises(RefusedError) as refused:
        witness.cosign(Submission(old_size=0, proof=(), checkpoint=wrong))
    assert refused.value.status == 422
    assert submit(witness, tree(0), 0)
    with pytest.raises(RefusedError) as refused:
        witness.cosign(Submission(old_size=0, proof=(b"\0" * 32,), checkpoint=tree(3).checkpoint()))
    assert refused.value.status == 422
    assert submit(witness, tree(3), 0)


def test_a_key_for_notes_is_no_witness_key(tmp_path):
    with WitnessState(tmp_path / "s") as state, pytest.raises(ValueError, match="cosignatures"):
        Witness(LOG_KEY, [LOG_KEY.verifier], state)
    assert WITNESS_KEY.verifier.kind == COSIGNATURE


def test_a_kept_checkpoint_that_is_damaged_stops_the_witness(witness):
    submit(witness, tree(5), 0)
    (witness.state.folder_of(ORIGIN) / "checkpoint").write_bytes(b"damaged")
    with pytest.raises(notes.InvalidNote):
        submit(witness, tree(9), 5)
