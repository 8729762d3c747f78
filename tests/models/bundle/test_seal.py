from __future__ import annotations

import pytest

from models.bundle import seal
from models.errors import SignatureError
from models.trust import keys

RAW = b'{"an": "index"}'


@pytest.fixture
def key(tmp_path):
    """A private key, its public half and its id."""
    public, key_id = keys.generate(tmp_path / "k.pem")
    return tmp_path / "k.pem", public, key_id


def signed(private, raw=RAW):
    return keys.sign_bytes(raw, private, None)[0]


def test_a_signature_names_its_key(key):
    private, public, key_id = key
    found = seal.check(RAW, signed(private), public, where="x")
    assert (found.key_id, found.key_file) == (key_id, public)


def test_one_trusted_key_of_several_is_enough(key, tmp_path):
    private, public, _ = key
    folder = tmp_path / "trusted"
    folder.mkdir()
    for name in ("a", "b"):
        other, _ = keys.generate(tmp_path / f"{name}.pem")
        other.rename(folder / f"{name}.pub")
    public.rename(folder / "mine.pub")
    assert seal.check(RAW, signed(private), folder, where="x").key_file.name == "mine.pub"


def test_no_signature_says_how_to_make_one(key):
    with pytest.raises(SignatureError, match=r"the index is not signed.*--sign.*\.bundle\.sig"):
        seal.check(RAW, None, key[1], where="the index")


def test_other_bytes_or_another_key_do_not_hold_and_the_trusted_keys_are_named(key, tmp_path):
    private, public, _ = key
    other, _ = keys.generate(tmp_path / "other.pem")
    for raw, trust in ((RAW + b" ", public), (RAW, other)):
        with pytest.raises(SignatureError, match="does not hold") as refused:
            seal.check(raw, signed(private), trust, where="x")
        assert trust.name in str(refused.value)


@pytest.mark.parametrize("signature", [b"", b"not DER", bytes(72)])
def test_what_is_no_signature_does_not_hold(key, signature):
    with pytest.raises(SignatureError, match="does not hold"):
        seal.check(RAW, signature, key[1], where="x")


def test_without_trusted_keys_that_is_what_is_said(tmp_path):
    with pytest.raises(SignatureError, match="there is no trusted key"):
        seal.check(RAW, None, tmp_path, where="x")
