from __future__ import annotations

import pytest

from models.errors import NotIntactError, SignatureError
from models.trust import keys
from models.trust.manifest import Manifest
from models.trust.proof import prove
from models.trust.signing import check_signature, sign
from models.trust.verify import Mode, verify
from tests.models.folders import whole


@pytest.fixture
def folder(tmp_path):
    path = whole(tmp_path / "m")
    Manifest.build(path).write(path)
    return path


@pytest.fixture
def key(tmp_path):
    public, _ = keys.generate(tmp_path / "k.pem")
    return public


def test_without_trust_nobody_asks_for_a_signature(folder):
    proof = prove(folder, Mode.FULL)
    assert proof.signer is None
    assert proof.report.is_ok
    assert proof.digest == Manifest.read(folder).digest


@pytest.mark.parametrize("mode", Mode)
def test_a_signature_is_asked_for_under_every_mode(folder, key, mode):
    with pytest.raises(SignatureError, match="is not signed"):
        prove(folder, mode, trust=key)
    sign(verify(folder), key.with_suffix(".pem"))
    proof = prove(folder, mode, trust=key)
    assert proof.signer is not None
    assert proof.signer.key_file == key


def test_the_files_are_compared_with_the_manifest_that_was_signed(folder, key, monkeypatch):
    """And not with one that took its place between the two checks."""
    sign(verify(folder), key.with_suffix(".pem"))

    def then_exchanged(path, trust):
        signer = check_signature(path, trust)
        (folder / "tokenizer.json").write_text("{ }")
        Manifest.build(folder).write(folder)
        return signer

    monkeypatch.setattr("models.trust.signing.check_signature", then_exchanged)
    proof = prove(folder, Mode.FULL, trust=key)
    assert verify(folder).is_ok
    with pytest.raises(NotIntactError, match=r"'tokenizer\.json' was changed"):
        proof.report.require_ok()


def test_a_pin_is_held_to(folder, key):
    with pytest.raises(NotIntactError, match="another than was pinned"):
        prove(folder, Mode.OFF, expect="sha256:" + "0" * 64)
