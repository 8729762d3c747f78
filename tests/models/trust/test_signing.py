from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import random
import shutil
import subprocess
import sys

import pytest

from models.errors import ManifestError, NotIntactError, SignatureError
from models.trust import keys
from models.trust.manifest import MANIFEST, SIGNATURE, Manifest
from models.trust.signing import check_signature, sign
from models.trust.verify import Mode, verify
from tests.models.folders import listed


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Two key pairs, `ours` and `theirs`, and a directory in which only ours is trusted."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "trust").mkdir()
    for name in ("ours", "theirs"):
        keys.generate(folder / f"{name}.pem")
    shutil.copy(folder / "ours.pub", folder / "trust" / "ours.pub")
    return folder


@pytest.fixture
def folder(tmp_path):
    return listed(tmp_path / "m")


@pytest.fixture
def signed(folder, pairs):
    sign(verify(folder), pairs / "ours.pem")
    return folder


def model_signing(*words) -> subprocess.CompletedProcess[str]:
    """The library's own command line, as another team would run it."""
    return subprocess.run(
        [sys.executable, "-m", "model_signing", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_signed_model_is_known_by_its_signer(signed, pairs):
    signer = check_signature(signed, pairs / "trust")
    assert signer.key_file == pairs / "trust" / "ours.pub"
    assert signer.key_id == keys.private_key_id(pairs / "ours.pem")
    assert signer.manifest == Manifest.read(signed)
    assert verify(signed, manifest=signer.manifest).is_ok
    assert check_signature(signed, pairs / "ours.pub").key_id == signer.key_id


def test_the_library_verifies_what_we_sign(signed, pairs):
    words = ("verify", "key", signed, "--signature", signed / SIGNATURE)
    result = model_signing(*words, "--public_key", pairs / "ours.pub")
    assert result.returncode == 0, result.stderr
    (signed / "tokenizer.json").write_text("[]")
    assert model_signing(*words, "--public_key", pairs / "ours.pub").returncode == 1


def test_we_verify_what_the_library_signs(folder, pairs):
    words = ("sign", "key", folder, "--private_key", pairs / "ours.pem")
    result = model_signing(*words, "--signature", folder / SIGNATURE)
    assert result.returncode == 0, result.stderr
    signer = check_signature(folder, pairs / "trust")
    assert verify(folder, manifest=signer.manifest).is_ok


def test_a_file_that_the_signer_left_out_is_refused(folder, pairs):
    """The library's own check passes here: it leaves out what the signature says to leave out."""
    words = ("sign", "key", folder, "--private_key", pairs / "ours.pem")
    ignore = ("--ignore-paths", folder / "tokenizer.json")
    assert model_signing(*words, *ignore, "--signature", folder / SIGNATURE).returncode == 0
    check = ("verify", "key", folder, "--signature", folder / SIGNATURE)
    assert model_signing(*check, "--public_key", pairs / "ours.pub").returncode == 0
    with pytest.raises(SignatureError, match=r"'tokenizer\.json' is not covered"):
        check_signature(folder, pairs / "trust")


def test_unsigned_is_refused(folder, pairs):
    with pytest.raises(SignatureError, match=r"is not signed: it has no model\.sig"):
        check_signature(folder, pairs / "trust")


def test_a_key_that_is_not_trusted_is_refused(folder, pairs):
    theirs = sign(verify(folder), pairs / "theirs.pem")
    with pytest.raises(SignatureError, match=f"not trusted: {theirs}") as caught:
        check_signature(folder, pairs / "trust")
    assert "ours.pub" in str(caught.value)


def test_the_name_of_a_trusted_key_on_another_s_signature_is_refused(folder, pairs):
    sign(verify(folder), pairs / "theirs.pem")
    document = json.loads((folder / SIGNATURE).read_bytes())
    ours = keys.private_key_id(pairs / "ours.pem")
    document["verificationMaterial"]["publicKey"]["hint"] = ours
    (folder / SIGNATURE).write_text(json.dumps(document))
    with pytest.raises(SignatureError, match=r"the key ours\.pub did not sign"):
        check_signature(folder, pairs / "trust")


def test_a_claim_that_was_changed_is_refused(signed, pairs):
    document = json.loads((signed / SIGNATURE).read_bytes())
    payload = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    payload["predicate"]["resources"][0]["digest"] = "00" * 32
    document["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    (signed / SIGNATURE).write_text(json.dumps(document))
    with pytest.raises(SignatureError, match="did not sign what stands in it"):
        check_signature(signed, pairs / "trust")


def test_a_manifest_that_was_made_anew_is_refused_and_the_file_named(signed, pairs):
    """The attack that a manifest alone cannot see."""
    (signed / "tokenizer.json").write_text("[]")
    Manifest.build(signed).write(signed)
    assert verify(signed).is_ok
    with pytest.raises(SignatureError, match=r"'tokenizer\.json' was signed as"):
        check_signature(signed, pairs / "trust")


def test_another_licence_in_the_manifest_is_refused(signed, pairs):
    Manifest.build(signed, licence="mit").write(signed)
    with pytest.raises(SignatureError, match=r"'manifest\.json' was signed as"):
        check_signature(signed, pairs / "trust")


def test_a_listed_file_that_was_not_signed_is_refused(signed, pairs):
    (signed / "more.txt").write_text("x")
    Manifest.build(signed).write(signed)
    with pytest.raises(SignatureError, match=r"'more\.txt' is not covered"):
        check_signature(signed, pairs / "trust")
    (signed / "more.txt").unlink()
    (signed / "sub" / "template.jinja").unlink()
    Manifest.build(signed).write(signed)
    with pytest.raises(SignatureError, match=r"'sub/template\.jinja' was signed and is not listed"):
        check_signature(signed, pairs / "trust")


def proven(folder, trust) -> None:
    """What a server with --require-signature and --verify full does."""
    signer = check_signature(folder, trust)
    verify(folder, Mode.FULL, manifest=signer.manifest).require_ok()


def test_a_bit_flipped_anywhere_is_refused(signed, pairs):
    """In any file, the manifest and the signature among them; each error is one of ours."""
    rng = random.Random(20261122)
    paths = [path for path in signed.rglob("*") if path.is_file()]
    proven(signed, pairs / "trust")
    for _ in range(150):
        path = rng.choice(paths)
        before = path.read_bytes()
        flipped = bytearray(before)
        bit = rng.randrange(len(before) * 8)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises((SignatureError, ManifestError, NotIntactError)) as caught:
            proven(signed, pairs / "trust")
        assert path.name in str(caught.value) or path.name == SIGNATURE
        path.write_bytes(before)
    proven(signed, pairs / "trust")


def places(document, path=()):
    """The way to every value in a document, at every depth."""
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


@pytest.mark.parametrize("value", [None, True, 0, "x", "AAAA", [], [[]], {}, {"a": {}}])
def test_any_part_of_a_signature_may_be_nonsense(signed, pairs, value):
    """The library's parsers see it before its signature is checked: no error of theirs gets out."""
    document = json.loads((signed / SIGNATURE).read_bytes())
    for path in [*places(document), ("more",), ("dsseEnvelope", "more")]:
        changed = copy.deepcopy(document)
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        (signed / SIGNATURE).write_text(json.dumps(changed))
        with contextlib.suppress(SignatureError):  # a part may be one that nobody looks at
            proven(signed, pairs / "trust")


def test_nothing_is_signed_that_is_not_intact(folder, pairs):
    (folder / "tokenizer.json").write_text("[]")
    with pytest.raises(NotIntactError, match=r"'tokenizer\.json' was changed"):
        sign(verify(folder), pairs / "ours.pem")
    assert not (folder / SIGNATURE).exists()


def test_nothing_is_signed_that_was_not_read(folder, pairs):
    with pytest.raises(SignatureError, match="verified in full"):
        sign(verify(folder, Mode.OFF), pairs / "ours.pem")


def test_a_manifest_that_changed_since_is_not_signed(folder, pairs):
    report = verify(folder)
    Manifest.build(folder, licence="mit").write(folder)
    with pytest.raises(SignatureError, match="changed since it was verified"):
        sign(report, pairs / "ours.pem")


def test_signing_again_replaces_the_signature(signed, pairs):
    sign(verify(signed), pairs / "theirs.pem")
    assert check_signature(signed, pairs / "theirs.pub").key_file == pairs / "theirs.pub"
    assert not list(signed.glob(".*"))


def test_a_key_with_a_password(folder, tmp_path):
    keys.generate(tmp_path / "k", password=b"secret")
    for password in (None, b"wrong"):
        with pytest.raises(SignatureError, match="cannot be used as a private key"):
            sign(verify(folder), tmp_path / "k", password=password)
    sign(verify(folder), tmp_path / "k", password=b"secret")
    check_signature(folder, tmp_path / "k.pub")


WITHOUT_SOCKETS = """
import sys
def refuse(event, args):
    is_probe = event == "socket.__new__" and args[1] == 10 or event == "socket.bind"
    if event.startswith("socket.") and not is_probe:
        raise SystemExit(f"a socket was used: {event}")
sys.addaudithook(refuse)
from pathlib import Path
from models.trust import signing, verify
folder, private, trust = map(Path, sys.argv[1:])
signing.sign(verify.verify(folder), private)
signer = signing.check_signature(folder, trust)
assert verify.verify(folder, manifest=signer.manifest).is_ok
print(signer.key_file.name)
"""


def isolated() -> list[str]:
    """`unshare -n`, an empty network namespace, where this machine allows one."""
    for words in (["unshare", "-n"], ["unshare", "-rn"]):
        try:
            if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
                return words
        except FileNotFoundError:
            return []
    return []


def test_neither_signing_nor_checking_uses_the_network(folder, pairs):
    """No connection, name or AF_INET socket; and it works where there is no network at all.

    urllib3, which the library brings, binds one AF_INET6 socket to ::1 when it is imported, to see
    whether there is IPv6. Nothing is sent.
    """
    words = [sys.executable, "-c", WITHOUT_SOCKETS, folder, pairs / "ours.pem", pairs / "trust"]
    result = subprocess.run(
        [*isolated(), *map(str, words)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "ours.pub\n"


def test_a_signature_that_cannot_be_written_is_an_error(folder, pairs, monkeypatch):
    report = verify(folder)

    def full(_new, _path):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("models.trust.signing.put_in_place", full)
    with pytest.raises(SignatureError, match=r"model\.sig cannot be written: No space left"):
        sign(report, pairs / "ours.pem")
    assert not list(folder.glob(".*"))


def test_the_manifest_must_be_there(signed, pairs):
    (signed / MANIFEST).unlink()
    with pytest.raises(ManifestError, match=r"has no manifest\.json"):
        check_signature(signed, pairs / "trust")
