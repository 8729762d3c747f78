"""The key that signs the evidence: one for notes, as ``serve audit key`` makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from serve.config import Config
from serve.errors import StartupError
from serve.governance.audit.records.durable_log import KEY_SUFFIX
from serve.governance.audit.tlog import notes
from serve.governance.audit.tlog.key_files import read_signer
from serve.governance.audit.tlog.keys import ED25519, NoteSigner

_COMMANDS: Final = f"cli{KEY_SUFFIX}"
"""The key of the log of administrators' commands, which is no server's."""


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
    path = file or config.audit_key_file or _key_of_log(config)
    key = read_signer(path, "evidence key file")
    if key.verifier.kind != ED25519:
        raise StartupError(
            f"evidence key file {path}: it is a witness's key. Evidence is signed with a plain one."
        )
    return EvidenceSigner(key)


def _key_of_log(config: Config) -> Path:
    """The key of the one server's log in the audit folder, or of the one that is named.

    Raises:
        StartupError: there is none, or there are several.
    """
    folder = config.audit_dir
    if folder is not None and config.audit_name is not None:
        return folder / f"{config.audit_name}{KEY_SUFFIX}"
    found = sorted(folder.glob(f"*{KEY_SUFFIX}")) if folder is not None else []
    keys = [path for path in found if path.name != _COMMANDS]
    if len(keys) == 1:
        return keys[0]
    if keys:
        names = ", ".join(path.name for path in keys[:5])
        raise StartupError(
            f"{folder} has the keys of {len(keys)} logs ({names}): say by --audit-name or --key "
            "which of them signs the evidence."
        )
    raise StartupError(
        "There is no key to sign with: name one with --key, the log's with --audit-key-file, or "
        "its folder with --audit-dir. `python -m serve audit key generate` makes one."
    )
