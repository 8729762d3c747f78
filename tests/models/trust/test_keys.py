from __future__ import annotations

import hashlib
import stat
import subprocess
from pathlib import Path

import pytest

from models.errors import SignatureError
from models.trust import keys
from tests.programs import needs


def openssl(*words) -> str:
    result = subprocess.run(
        ["openssl", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


needs_openssl = needs("openssl")


def test_a_pair_is_made_for_its_owner_alone(tmp_path):
    public, key_id = keys.generate(tmp_path / "ours.pem")
    assert public == tmp_path / "ours.pub"
    assert stat.S_IMODE((tmp_path / "ours.pem").stat().st_mode) == 0o600
    assert keys.private_key_id(tmp_path / "ours.pem") == key_id
    assert keys.trusted(tmp_path / "ours.pub") == {key_id: public}
    assert key_id == hashlib.sha256(public.read_bytes()).hexdigest()


@pytest.mark.parametrize("there", ["ours.pem", "ours.pub"])
def test_no_key_is_overwritten(tmp_path, there):
    (tmp_path / there).write_text("precious")
    with pytest.raises(SignatureError, match="is there already"):
        keys.generate(tmp_path / "ours.pem")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


@needs_openssl
@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_keys_that_openssl_makes_are_taken(tmp_path, curve):
    private, public = tmp_path / "k.pem", tmp_path / "k.pub"
    openssl(
        "genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-out", private
    )
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    assert keys.trusted(public) == {keys.private_key_id(private): public}


@needs_openssl
@pytest.mark.parametrize(
    "words",
    [
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"),
        ("-algorithm", "ED25519"),
        ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    ],
)
def test_other_keys_are_refused(tmp_path, words):
    private, public = tmp_path / "k.pem", tmp_path / "k.pub"
    openssl("genpkey", *words, "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    with pytest.raises(SignatureError, match=r"k\.pem is not of an elliptic curve P-256"):
        keys.private_key_id(private)
    with pytest.raises(SignatureError, match=r"k\.pub is not of an elliptic curve P-256"):
        keys.trusted(public)


def test_only_files_with_a_key_s_suffix_are_looked_at(tmp_path):
    keys.generate(tmp_path / "a.pem")
    trust = tmp_path / "trust"
    trust.mkdir()
    (tmp_path / "a.pub").rename(trust / "a.pub")
    (trust / "README.md").write_text("whose keys these are")
    assert len(keys.trusted(trust)) == 1


@pytest.mark.parametrize("text", ["", "ssh-ed25519 AAAA", "-----BEGIN PUBLIC KEY-----\n", "\xff"])
def test_a_trusted_file_that_is_no_key_is_an_error(tmp_path, text):
    """Not passed over: somebody believes that this key is trusted."""
    (tmp_path / "x.pub").write_text(text, encoding="latin-1")
    with pytest.raises(SignatureError, match=r"x\.pub is not a public key in PEM"):
        keys.trusted(tmp_path)


def test_a_private_key_among_the_trusted_is_an_error(tmp_path):
    keys.generate(tmp_path / "a.pem")
    with pytest.raises(SignatureError, match=r"a\.pem is not a public key"):
        keys.trusted(tmp_path)


def test_no_trusted_key_at_all(tmp_path):
    with pytest.raises(SignatureError, match="there is no trusted key in"):
        keys.trusted(tmp_path)
    with pytest.raises(SignatureError, match=r"gone cannot be read: No such file"):
        keys.trusted(tmp_path / "gone")


def test_a_private_key_that_is_not_there(tmp_path):
    with pytest.raises(SignatureError, match="cannot be read"):
        keys.private_key_id(tmp_path / "gone")
    (tmp_path / "x").write_text("x")
    with pytest.raises(SignatureError, match="cannot be used as a private key"):
        keys.private_key_id(tmp_path / "x")


def test_half_a_pair_is_not_left_behind(tmp_path):
    name = "k" * 252  # with .pub it is longer than a name can be
    with pytest.raises(SignatureError, match="cannot be written: File name too long"):
        keys.generate(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_leads_nowhere_is_there_already(tmp_path):
    (tmp_path / "ours.pub").symlink_to("elsewhere")
    with pytest.raises(SignatureError, match="is there already"):
        keys.generate(tmp_path / "ours.pem")
    assert [path.name for path in tmp_path.iterdir()] == ["ours.pub"]


@pytest.mark.parametrize("name", [".", "/", ".."])
def test_a_folder_is_no_file_for_a_key(name):
    with pytest.raises(SignatureError, match=r"is a folder\. Name a file for the private key"):
        keys.generate(Path(name))
