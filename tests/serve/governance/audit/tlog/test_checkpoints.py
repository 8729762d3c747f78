"""Checkpoints: their text, who may sign them, and texts that are none."""

from __future__ import annotations

import pytest

from serve.governance.audit.tlog import checkpoints, notes
from serve.governance.audit.tlog.checkpoints import Checkpoint
from serve.governance.audit.tlog.hashing import leaf_hash
from serve.governance.audit.tlog.keys import COSIGNATURE, NoteSigner
from serve.governance.audit.tlog.notes import InvalidNote

ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
TEXT = f"example.com/behind-the-sofa\n20852163\n{ROOT}\n"
SIGNER = NoteSigner("example.com/log", bytes(32))


def test_the_text_of_the_specification():
    found = Checkpoint.parse(TEXT)
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20852163)
    assert found.root.hex().startswith("0ac5186a91863e8e")
    assert found.text == TEXT
    assert Checkpoint.parse(TEXT + "more\n").extensions == ("more",)
    assert Checkpoint.parse(TEXT + "more\n").text == TEXT + "more\n"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "a\n1\n",
            f"a\n1\n{ROOT}",
            f"\n1\n{ROOT}\n",
            f"a\n1\n{ROOT}\n\n",
            f"a\n\n1\n{ROOT}\n",
        ),
        *(f"a\n01\n{ROOT}\n", f"a\n-1\n{ROOT}\n", f"a\n1 \n{ROOT}\n", f"a\n{1 << 64}\n{ROOT}\n"),
        *(f"a\n\u0663\n{ROOT}\n", "a\n1\nCsUY\n", f"a\n1\n{ROOT[:-1]}\n", f"a\n1\n{ROOT[:-2]}J=\n"),
    ],
)
def test_texts_that_are_no_checkpoint(text):
    with pytest.raises(InvalidNote):
        Checkpoint.parse(text)


def test_only_the_logs_own_key_makes_a_checkpoint():
    checkpoint = Checkpoint("example.com/log", 3, leaf_hash(b""))
    content = checkpoint.signed(SIGNER).encode()
    found, note = checkpoints.opened(content, [SIGNER.verifier], origin="example.com/log")
    assert found == checkpoint
    assert note.text == checkpoint.text
    with pytest.raises(InvalidNote, match=r"of the log 'example\.com/log', not of 'b'"):
        checkpoints.opened(content, [SIGNER.verifier], origin="b")
    # A key that is known for another log, and a witness alone.
    other = NoteSigner.generate("example.com/other")
    witness = NoteSigner.generate("example.com/log", COSIGNATURE)
    for stranger in (other, witness):
        forged = notes.written(checkpoint.text, [notes.sign(checkpoint.text, stranger)]).encode()
        with pytest.raises(InvalidNote, match=r"no known key of the log 'example\.com/log'"):
            checkpoints.opened(forged, [SIGNER.verifier, stranger.verifier])
