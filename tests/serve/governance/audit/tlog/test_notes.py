"""Notes: the published example, every flipped bit, and texts that are none."""

from __future__ import annotations

import pytest

from serve.governance.audit.tlog import notes
from serve.governance.audit.tlog.keys import COSIGNATURE, NoteSigner, NoteVerifier
from serve.governance.audit.tlog.notes import InvalidNote
from tests.serve.governance.audit.tlog.test_keys import PUBLISHED

EXAMPLE = """\
This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""  # noqa: E501
SIGNER = NoteSigner("example.com/log", bytes(range(32)))
WITNESS = NoteSigner("example.com/witness", bytes(range(32, 64)), COSIGNATURE)
TEXT = "line\n\nanother\n"


def signed(*signers: NoteSigner, text: str = TEXT) -> bytes:
    return notes.written(text, [notes.sign(text, one, at=9) for one in signers]).encode()


def test_the_published_example_holds():
    note = notes.opened(EXAMPLE.encode(), [NoteVerifier.parse(PUBLISHED)])
    assert note.text == "This is an example message.\n"
    assert note.verified == note.signatures
    assert note.content == EXAMPLE


def test_signatures_of_others_are_kept_and_not_believed():
    content = signed(SIGNER, WITNESS)
    note = notes.opened(content, [SIGNER.verifier])
    assert note.text == TEXT
    assert [one.name for one in note.verified] == [SIGNER.name]
    assert [one.name for one in note.signatures] == [SIGNER.name, WITNESS.name]
    assert note.content.encode() == content
    with pytest.raises(InvalidNote, match=r"not signed by example\.com/witness"):
        notes.opened(signed(SIGNER), [WITNESS.verifier])
    with pytest.raises(InvalidNote, match="not signed by any known key"):
        notes.opened(content, [])


def test_a_known_keys_wrong_signature_spoils_the_note():
    good, other = (notes.sign(text, SIGNER) for text in (TEXT, "other\n"))
    witness = notes.sign(TEXT, WITNESS, at=1)
    content = notes.written(TEXT, [witness, other, good]).encode()
    with pytest.raises(InvalidNote, match=r"the signature of example\.com/log .* is wrong"):
        notes.opened(content, [SIGNER.verifier, WITNESS.verifier])


def test_a_cosignature_tells_its_time():
    note = notes.opened(signed(SIGNER, WITNESS), [WITNESS.verifier])
    assert [one.signed_at for one in note.verified] == [9]


def test_no_flipped_bit_is_overlooked():
    content = bytearray(signed(SIGNER))
    for at in range(len(content) * 8):
        content[at // 8] ^= 1 << at % 8
        with pytest.raises(InvalidNote):
            notes.opened(bytes(content), [SIGNER.verifier])
        content[at // 8] ^= 1 << at % 8


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no signature behind an empty line"),
        (b"text\n", "no signature behind an empty line"),
        (b"text\n\n", "no signature behind an empty line"),
        (signed(SIGNER)[:-1], "no signature behind an empty line"),
        (b"text\n\nmore\n", "is not a signature"),
        (signed(SIGNER) + b"more\n", "is not a signature"),
        (signed(SIGNER).replace(b"line", b"li\te"), "control character"),
        (signed(SIGNER).replace(b"line", b"li\xffe"), "not UTF-8"),
        ("text\n\n— a+b AAAAAAA=\n".encode(), "a signature line is wrong"),
        ("text\n\n— a AAAAAB==\n".encode(), "a signature line is wrong"),
        ("text\n\n— a AAAAAA==\n".encode(), "too short"),
        (b"x" * (1 << 20) + b"\n", "1,048,577 bytes"),
        (signed(*[SIGNER] * 101), "it has 101 signatures; at most 100"),
    ],
)
def test_texts_that_are_no_note(content, reason):
    with pytest.raises(InvalidNote, match=reason):
        notes.opened(content, [SIGNER.verifier])


@pytest.mark.parametrize("text", ["no end", "a\tb\n", ""])
def test_texts_that_cannot_be_signed(text):
    with pytest.raises(ValueError, match="a note's text ends in a newline"):
        notes.written(text, [])
