"""Proof of which bytes are served, and of who signed them, at every start.

    claim   signature, manifest and pin: three small files, read before the engine starts
    prove   the files, hashed and held against the claim, while the engine loads them: start-up
            pays for reading them once
    settle  once the engine has loaded them: they are still the files that were checked

No request is answered before all are done. The pin comes first: a manifest that is gone excuses
nothing that models.lock says.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from models.errors import ManifestMissingError, ModelError, ModelNotFoundError
from models.progress import Counter
from models.refs import Artifact
from models.trust import pinned, unchanged
from models.trust.manifest import Manifest
from models.trust.manifest_files import plain_files
from models.trust.verified_cache import Stamps
from models.trust.verify import FULL_UP_TO_BYTES, Mode, default_mode, verify
from serve.config_sections.integrity import Verify
from serve.engine.protocol import Progress
from serve.errors import StartupError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The result of checking the files.

    Attributes:
        digest: of all files together; None where they were not hashed.
        mode: how the files were held against their manifest; None where there is none.
        signer: file name of the trusted key that signed; None where no signature was asked for.
    """

    digest: str | None
    mode: Mode | None
    signer: str | None = None

    def __str__(self) -> str:
        if self.digest is None:
            return "unknown (no manifest)"
        how = "no manifest, so unproven" if self.mode is None else f"verified: {self.mode}"
        return f"{self.digest} ({how}{f'; signed by {self.signer}' if self.signer else ''})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The files as signature, manifest and pin describe them.

    Attributes:
        artifact: whose they are.
        mode: how to hold them against the claim.
        manifest: that was signed, where a signature was asked for; None where there is none.
        pinned: the digest in models.lock; None for a model that was not pulled.
        signer: file name of the trusted key.
    """

    artifact: Artifact
    mode: Mode
    manifest: Manifest | None
    pinned: str | None = None
    signer: str | None = None


def claim(artifact: Artifact, data_dir: Path, *, how: Verify, trusted_keys: Path | None) -> Claim:
    """Check the signature, if one is asked for, and read the manifest and the pin.

    Args:
        how: ``auto`` is full up to a size, and quick above it (models/trust/verify.py).
        trusted_keys: a directory of public keys; None asks for no signature.

    Raises:
        StartupError: the signature does not hold, a pinned model has another manifest or none,
            or a file of these is damaged.
    """
    manifest, signer = None, None
    try:
        expect = pinned.expected(artifact.path, data_dir)
        if trusted_keys is not None:
            from models.trust.signing import check_signature  # noqa: PLC0415 - only where it is asked for

            signed = check_signature(artifact.path, trusted_keys)
            manifest, signer = signed.manifest, signed.key_file.name
            pinned.hold(artifact.path, manifest.digest, expect)
        else:
            manifest = _manifest(artifact, expect)
        size = _size(artifact) if manifest is None else manifest.size_bytes
    except ModelError as error:
        raise StartupError(str(error)) from None
    return Claim(
        artifact=artifact,
        mode=_mode(how, size),
        manifest=manifest,
        pinned=expect,
        signer=signer,
    )


def prove(claim: Claim, data_dir: Path, progress: Progress) -> Proof:
    """Hold the files against the claim. Blocks while it hashes.

    Args:
        progress: called with the phase ``verify`` in bytes.

    Raises:
        StartupError: the files differ from it.
    """
    meter = Counter(progress)
    try:
        if claim.manifest is None:
            return _unlisted(claim, meter)
        verify(
            claim.artifact.path,
            claim.mode,
            manifest=claim.manifest,
            expect=claim.pinned,
            stamps=Stamps(data_dir),
            meter=meter,
        ).require_ok()
    except ModelError as error:
        raise StartupError(str(error)) from None
    return Proof(digest=claim.manifest.digest, mode=claim.mode, signer=claim.signer)


def settle(artifact: Artifact) -> None:
    """Look again, once all is loaded: the files are those that were checked.

    Raises:
        StartupError: one was written, exchanged, added or removed since the first rule read it.
    """
    if artifact.marks is None:
        return
    try:
        unchanged.require_unchanged(artifact.path, artifact.marks)
    except ModelError as error:
        raise StartupError(str(error)) from None


def _manifest(artifact: Artifact, expect: str | None) -> Manifest | None:
    try:
        return pinned.manifest_of(artifact.path, expect)
    except ManifestMissingError:
        log.warning("the model has no manifest", extra={"model": artifact.name})
        return None


def _size(artifact: Artifact) -> int:
    try:
        return sum(num_bytes for _, num_bytes in plain_files(artifact.path))
    except OSError as error:
        raise ModelNotFoundError(
            f"{error.filename or artifact.path} cannot be read: {error.strerror or error}."
        ) from None


def _mode(how: Verify, num_bytes: int) -> Mode:
    if how != "auto":
        return Mode(how)
    mode = default_mode(num_bytes)
    log.info(
        "verifying",
        extra={"mode": str(mode), "bytes": num_bytes, "full_up_to_bytes": FULL_UP_TO_BYTES},
    )
    return mode


def _unlisted(claim: Claim, meter: Counter) -> Proof:
    """Proof of a folder without a manifest: its digest, which nothing confirms."""
    path = claim.artifact.path
    if claim.mode is not Mode.FULL:
        return Proof(digest=None, mode=None)
    meter.phase("verify", _size(claim.artifact))
    return Proof(digest=Manifest.build(path, progress=meter.advance).digest, mode=None)
