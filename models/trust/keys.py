"""Key pairs for signatures: elliptic curve keys in PEM, as OpenSSL writes them.

A key's id is the SHA-256 of its public half as PEM text, as model-signing writes it into a
signature. A trusted key is one whose public half lies in the directory of trusted keys.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from models import plain_file
from models.errors import SignatureError

SUFFIXES = (".pem", ".pub")
CURVES = ("secp256r1", "secp384r1", "secp521r1")
MAX_KEY_BYTES = 64 << 10


def trusted(trust: Path) -> dict[str, Path]:
    """The public keys in a directory, or the one in a file, by key id.

    Raises:
        SignatureError: there is none, or a file with a key's suffix is not a public key.
    """
    try:
        if trust.is_dir():
            paths = sorted(path for path in trust.iterdir() if path.suffix in SUFFIXES)
        else:
            paths = [trust]
        keys = {_key_id(_public_key(path)): path for path in paths}
    except OSError as error:
        raise SignatureError(
            f"the trusted key {error.filename or trust} cannot be read: {error.strerror or error}"
        ) from None
    if not keys:
        raise SignatureError(
            f"there is no trusted key in {trust}: put public keys there, as *.pem or *.pub."
        )
    return keys


def generate(path: Path, *, password: bytes | None = None) -> tuple[Path, str]:
    """Make a P-256 key pair: ``path``, for its owner's eyes only, and ``path`` with ``.pub``.

    Returns:
        The public key's file, and its key id.

    Raises:
        SignatureError: a file of that name is there, or none can be written.
    """
    if path.name in ("", ".."):
        raise SignatureError(f"{path} is a folder. Name a file for the private key.")
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )
    public = path.with_name(f"{path.name.removesuffix('.pem')}.pub")
    for target in (path, public):
        if os.path.lexists(target):
            raise SignatureError(f"{target} is there already; a key is never overwritten.")
    made: list[Path] = []
    try:
        for target, data, mode in ((path, secret, 0o600), (public, _pem(key.public_key()), 0o644)):
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            made.append(target)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
    except OSError as error:
        for target in made:  # half a pair, or half a key, would only be in the way
            target.unlink(missing_ok=True)
        raise SignatureError(
            f"{error.filename or path} cannot be written: {error.strerror or error}"
        ) from None
    return public, _key_id(key.public_key())


def private_key_id(path: Path, password: bytes | None = None) -> str:
    """The id of the pair that a private key belongs to.

    Raises:
        SignatureError: it cannot be read, is not of a curve that is known here, or the password is
            wrong.
    """
    return _key_id(_private_key(path, password).public_key())


def sign_bytes(data: bytes, private_key: Path, password: bytes | None = None) -> tuple[bytes, str]:
    """An ECDSA signature (DER) over the SHA-256 of these bytes, and the key id.

    It is what `openssl dgst -sha256 -sign` makes, so that it can be checked with
    `openssl dgst -sha256 -verify` on a machine that has nothing of ours yet.

    Raises:
        SignatureError: as in `private_key_id`.
    """
    key = _private_key(private_key, password)
    return key.sign(data, ec.ECDSA(hashes.SHA256())), _key_id(key.public_key())


def signer_of(data: bytes, signature: bytes, trust: Path) -> tuple[str, Path] | None:
    """Key id and file of the trusted key that made a signature of `sign_bytes`; None for no such.

    Raises:
        SignatureError: there is no trusted key, or one that cannot be read.
    """
    for key_id, path in trusted(trust).items():
        try:
            _public_key(path).verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            continue
        return key_id, path
    return None


def _private_key(path: Path, password: bytes | None) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(_small(path), password)
    except OSError as error:
        raise SignatureError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path} cannot be used as a private key: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise SignatureError(f"{path} is not of an elliptic curve P-256, P-384 or P-521.")
    return key


def _public_key(path: Path) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(_small(path))
    except (ValueError, UnsupportedAlgorithm):
        raise SignatureError(
            f"{path} is not a public key in PEM. `openssl pkey -in PRIVATE -pubout` prints one."
        ) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise SignatureError(f"{path} is not of an elliptic curve P-256, P-384 or P-521.")
    return key


def _small(path: Path) -> bytes:
    return plain_file.read(path, MAX_KEY_BYTES, may_be_link=True)


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _key_id(key: ec.EllipticCurvePublicKey) -> str:
    return hashlib.sha256(_pem(key)).hexdigest()
