"""Signatures over models, by OpenSSF's model-signing in key mode. The one home of that library.

A signature covers every file and manifest.json, so any OpenSSF verifier can check it, and nobody
can exchange the manifest. Signing and checking need no network: the key is a file, and there is no
certificate, no log and no time stamp (docs/adr/0008-signatures.md has the reasons).

The library hashes all files each time it signs or verifies. Here it is handed the hashes instead:

    sign              those that verify.py has just made, so that nothing is signed that
                      is not what the manifest says
    check_signature   those that the signature itself claims, so that the library proves who made
                      the claim; then the claim is compared with the manifest

What remains is whether the files are those of the manifest. That is `verify`, in its one pass, with
the very manifest that `check_signature` returns. Together they prove what the library's own
`verify` does, and they refuse more: a file that the signer chose to ignore is a difference.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import model_signing.hashing
import model_signing.manifest
import model_signing.signing
import model_signing.verifying
from cryptography.exceptions import InvalidSignature
from model_signing._hashing.hashing import Digest  # there is no public name for it
from model_signing.hashing import PathLike

from models import durable
from models.durable import new_name, put_in_place
from models.errors import SignatureError
from models.rules import bookkeeping
from models.trust import keys, signature_file
from models.trust.manifest import MANIFEST, SIGNATURE, Manifest, read_bytes
from models.trust.verify import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerInfo:
    """A signature's key, and what it signed.

    Attributes:
        key_id: SHA-256 of the public key's PEM text, as 64 hexadecimal digits.
        key_file: the trusted key.
        manifest: as it was signed. Verify the files against this one, and not against one that is
            read again later.
    """

    key_id: str
    key_file: Path
    manifest: Manifest


def sign(report: Report, private_key: Path, *, password: bytes | None = None) -> str:
    """Write model.sig into an artifact, on the disk and in one step.

    Args:
        report: of a full verification: what is signed is what was read then.
        private_key: PEM; elliptic curve P-256, P-384 or P-521.
        password: of the key, if it has one.

    Returns:
        The key id.

    Raises:
        NotIntactError: the files are not those of the manifest.
        ManifestError: the manifest changed since.
        SignatureError: the key cannot be used, not every file was read, or nothing can be written.
    """
    report.require_ok()
    if report.hashes.keys() != {file.path for file in report.manifest.files}:
        raise SignatureError("only what was verified in full can be signed.")
    key_id = keys.private_key_id(private_key, password)
    target = report.folder / SIGNATURE
    raw = read_bytes(report.folder)
    if Manifest.parse(raw) != report.manifest:
        raise SignatureError(f"{report.folder / MANIFEST} changed since it was verified.")
    config = model_signing.signing.Config()  # type: ignore[no-untyped-call]
    # Annotated as text, and handed on to where bytes are needed.
    config.use_elliptic_key_signer(private_key=private_key, password=password)  # type: ignore[arg-type]
    config.set_hashing_config(_Given(_claim(report.manifest, raw)))
    try:
        config.sign(report.folder, new_name(target))
        with new_name(target).open("rb") as file:
            durable.sync(file.fileno())
        put_in_place(new_name(target), target)
    except OSError as error:
        raise SignatureError(f"{target} cannot be written: {error.strerror or error}") from None
    finally:
        new_name(target).unlink(missing_ok=True)
    return key_id


def check_signature(folder: Path, trust: Path) -> SignerInfo:
    """The signer of the artifact's manifest. Reads three small files, and none that it lists.

    Args:
        folder: the artifact.
        trust: a directory of public keys (``*.pem``, ``*.pub``), or one of them.

    Raises:
        SignatureError: unsigned; signed by a key that is not trusted; damaged; or made over another
            manifest than is here. Also: there is no trusted key, or one that cannot be read.
        ManifestError: the manifest is missing or broken.
    """
    known = keys.trusted(trust)
    statement = signature_file.read(folder)
    if statement.key_id not in known:
        names = ", ".join(f"{path.name} ({key_id[:16]}…)" for key_id, path in known.items())
        raise SignatureError(
            f"the model folder {folder} is signed by a key that is not trusted: "
            f"{statement.key_id}. Trusted in {trust}: {names}. If this signer is to be trusted, "
            "put its public key there."
        )
    key_file = known[statement.key_id]
    config = model_signing.verifying.Config()  # type: ignore[no-untyped-call]
    try:
        config.use_elliptic_key_verifier(public_key=key_file)
        config.set_hashing_config(_Given(statement.files))
        config.verify(folder, folder / SIGNATURE)
    except (InvalidSignature, ValueError, OSError) as error:
        raise SignatureError(
            f"{folder / SIGNATURE} does not hold: the key {key_file.name} did not sign what stands "
            f"in it, or it was damaged since. {error}".rstrip()
        ) from None
    raw = read_bytes(folder)
    manifest = Manifest.parse(raw, where=str(folder / MANIFEST))
    differing = _differing(statement.files, _claim(manifest, raw))
    if differing:
        raise SignatureError(
            f"{folder / SIGNATURE} is not over what is here: {'; '.join(differing)}."
        )
    return SignerInfo(key_id=statement.key_id, key_file=key_file, manifest=manifest)


class _Given(model_signing.hashing.Config):
    """A stand-in for the library's hashing, which gives hashes that are known already."""

    def __init__(self, files: Mapping[str, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._files = files

    def hash(
        self,
        model_path: PathLike,
        *,
        files_to_hash: Iterable[PathLike] | None = None,  # noqa: ARG002 - the library's signature
    ) -> model_signing.manifest.Manifest:
        items = [
            model_signing.manifest.FileManifestItem(
                path=PurePosixPath(path), digest=Digest("sha256", bytes.fromhex(sha256))
            )
            for path, sha256 in self._files.items()
        ]
        arguments = {
            "method": "files",
            "hash_type": "sha256",
            "allow_symlinks": False,
            "ignore_paths": sorted({SIGNATURE, *bookkeeping.TOOLS}),
        }
        how = model_signing.manifest.SerializationType.from_args(arguments)
        return model_signing.manifest.Manifest(Path(os.fsdecode(model_path)).name, items, how)


def _claim(manifest: Manifest, raw: bytes) -> dict[str, str]:
    """The files that a signature must cover, with their hashes: those listed, and the manifest."""
    files = {file.path: file.sha256 for file in manifest.files}
    return files | {MANIFEST: hashlib.sha256(raw).hexdigest()}


def _differing(signed: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    faults = [f"{path!r} is not covered" for path in here if path not in signed]
    faults += [f"{path!r} was signed and is not listed" for path in signed if path not in here]
    faults += [
        f"{path!r} was signed as {signed[path]} and is now {here[path]}"
        for path in here
        if path in signed and signed[path] != here[path]
    ]
    return faults
