"""Key files: a private key for its owner's eyes only, and the verifier key beside it (``.pub``)."""

from __future__ import annotations

import os
from pathlib import Path

from models import durable, plain_file
from serve.errors import StartupError
from serve.governance.audit.tlog.keys import ED25519, NoteSigner, NoteVerifier
from serve.governance.identity.private_file import explained, read_private

MAX_KEY_FILE_BYTES = 4 << 10
MAX_VERIFIERS = 100
MAX_FILES = 1000
"""Files of a folder of public keys."""
PUBLIC_SUFFIX = ".pub"
_ADVICE = "Make one with: python -m serve audit key generate FILE --name NAME"


def write_signer(path: Path, signer: NoteSigner) -> Path:
    """Write a private key (0600), and its verifier key beside it. No file is overwritten.

    Returns:
        The verifier key's file.

    Raises:
        OSError: one is there already, or cannot be written; then neither is left.
    """
    public = path.with_name(f"{path.name}{PUBLIC_SUFFIX}")
    texts = ((path, signer.private_text, 0o600), (public, signer.verifier.text, 0o644))
    made: list[Path] = []
    try:
        for target, text, mode in texts:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(target, flags, mode)
            made.append(target)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(text.encode() + b"\n")
                file.flush()
                durable.sync(descriptor)
        durable.sync_folder(path.parent)
    except OSError:
        for target in made:  # half a pair would only be in the way
            target.unlink(missing_ok=True)
        raise
    return public


def read_signer(path: Path, label: str = "audit key file") -> NoteSigner:
    """The private key of a file.

    Raises:
        StartupError: it is not there, open to others, or no private key.
    """
    text = read_private(path, label, MAX_KEY_FILE_BYTES, if_missing=_ADVICE)
    try:
        return NoteSigner.parse(text.strip())
    except ValueError as error:
        raise StartupError(f"{label} {path}: {error}. {_ADVICE}") from None


def verifier_files(path: Path, label: str = "verifier key file") -> list[Path]:
    """The files of verifier keys: the file, or those of a folder whose names end in .pub, sorted.

    Raises:
        StartupError: the folder has none, or too many, or cannot be read.
    """
    try:
        if not path.is_dir():
            return [path]
        found = sorted(path.glob(f"*{PUBLIC_SUFFIX}"))
    except OSError as error:
        raise StartupError(f"{label} {path}: {error.strerror or error}.") from None
    if not found:
        raise StartupError(
            f"{label} {path} is a folder without public keys: files whose names end in "
            f"{PUBLIC_SUFFIX}, as a log's server makes one beside its key."
        )
    if len(found) > MAX_FILES:
        raise StartupError(f"{label} {path} has {len(found)} public keys: at most {MAX_FILES}.")
    return found


def read_verifiers(path: Path, label: str = "verifier key file") -> list[NoteVerifier]:
    """The verifier keys of a file, one a line; lines that begin with # are comments.

    Raises:
        StartupError: it is not there, has a line that is no verifier key, or no key at all.
    """
    with explained(path, label, "It is the .pub file beside the private key."):
        limit = MAX_KEY_FILE_BYTES * MAX_VERIFIERS
        lines = plain_file.read_text(path, limit, may_be_link=True).splitlines()
    found: list[NoteVerifier] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            found.append(NoteVerifier.parse(line.strip()))
        except ValueError as error:
            raise StartupError(f"{label} {path}, line {number}: {error}") from None
    if not found:
        raise StartupError(f"{label} {path} holds no verifier key (NAME+ID+BASE64)")
    return found


def read_log_signer(path: Path) -> NoteSigner:
    """The private key of a log.

    Raises:
        StartupError: as of `read_signer`, or it is a witness's: no log verifies under that.
    """
    signer = read_signer(path)
    if signer.verifier.kind != ED25519:
        raise StartupError(
            f"audit key file {path}: {signer.name} is a witness's key, not a log's. {_ADVICE}"
        )
    return signer
