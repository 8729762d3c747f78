"""The key that signs the evidence: one for notes, as ``serve audit key`` makes them."""

from __future__ import annotations

from pathlib import Path

from serve.config import Config
from serve.errors import StartupError
from serve.governance.audit.tlog import notes
from serve.governance.audit.tlog.key_files import read_signer
from serve.governance.audit.tlog.keys import ED25519, NoteSigner


class EvidenceSigner:
    """A key that signs the evidence (a serve.evidence.folder.Signer)."""

    def __init__(self, key: NoteSigner) -> None:
        self._key = key

    @property
    def verifier_key(self) -> str:
        """The public key, for whoever checks."""
        return self._key.verifier.text

    def sign(self, text: str) -> bytes:
        """The signed note of a text."""
        return notes.written(text, [notes.sign(text, self._key)]).encode()


def signer_of(file: Path | None, config: Config) -> EvidenceSigner:
    """The key of ``--key``, or the one that signs the audit log.

    Raises:
        StartupError: there is none, or it is not of this use.
    """
    path = file or config.audit_key_file
    if path is None:
        raise StartupError(
            "There is no key to sign with: name one with --key, or the log's with "
            "--audit-key-file. `python -m serve audit key generate` makes one."
        )
    key = read_signer(path, "evidence key file")
    if key.verifier.kind != ED25519:
        raise StartupError(
            f"evidence key file {path}: it is a witness's key. Evidence is signed with a plain one."
        )
    return EvidenceSigner(key)
