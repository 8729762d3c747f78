"""The audit logs: each one's checkpoint, its key, cosignatures, and whether all of it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from models import plain_file
from serve.config import Config
from serve.engine.protocol import Progress
from serve.errors import StartupError
from serve.evidence.part import Part, Several, json_bytes, missing
from serve.governance.audit.log.tile_files import CHECKPOINT, log_folders
from serve.governance.audit.log.verifying import Verification, verify
from serve.governance.audit.tlog.key_files import read_verifiers
from serve.governance.audit.tlog.notes import MAX_NOTE_BYTES
from serve.governance.audit.witness.cosigned_notes import FOLDER as COSIGNATURES

NAME: Final = "audit"
KEY, PUBLIC = ".key", ".pub"


def audit_logs(config: Config, progress: Progress) -> Part:
    """The part of the audit logs below ``--audit-dir``: each is verified whole."""
    if config.audit_dir is None:
        return missing(NAME, "No audit log is kept: --audit-dir is not set.")
    try:
        folders = _logs(config, config.audit_dir)
    except OSError as error:
        return missing(NAME, f"{config.audit_dir} cannot be read: {error.strerror or error}.")
    if not folders:
        return missing(NAME, f"There is no log in {config.audit_dir} yet.")
    found = Several(NAME)
    for folder in folders:
        try:
            own, line, is_fine = _one(folder, _public_key(folder, config), progress)
        except (StartupError, OSError) as error:
            own, line, is_fine = {}, f"{error}.", False
        found.add(f"audit/{folder.name}", own, f"{folder.name}: {line}", is_whole=is_fine)
    return found.part()


def _logs(config: Config, folder: Path) -> list[Path]:
    """The logs' folders, also those of which a public key alone is left."""
    keys = set(folder.glob(f"*{KEY}{PUBLIC}"))
    if config.audit_key_file is not None:
        keys.discard(config.audit_key_file.with_name(config.audit_key_file.name + PUBLIC))
    return sorted({*log_folders(folder), *(key.with_suffix("").with_suffix("") for key in keys)})


def _public_key(folder: Path, config: Config) -> Path:
    """The file of a log's public key: beside the log, or beside the key of the settings."""
    own = folder.with_name(f"{folder.name}{KEY}{PUBLIC}")
    if own.exists() or config.audit_key_file is None:
        return own
    return config.audit_key_file.with_name(config.audit_key_file.name + PUBLIC)


def _one(folder: Path, public: Path, progress: Progress) -> tuple[dict[str, bytes], str, bool]:
    """Files, a line on them, and whether all is well."""
    if not public.exists():
        return {}, f"its public key is not there: {public}.", False
    if not (folder / CHECKPOINT).exists():
        return {}, "its checkpoint is not there: it was removed, or nothing was written yet.", False
    keys = read_verifiers(public)
    files = {CHECKPOINT: plain_file.read(folder / CHECKPOINT, MAX_NOTE_BYTES)}
    for cosigned in sorted((folder / COSIGNATURES).glob("*")):
        files[f"{COSIGNATURES}/{cosigned.name}"] = plain_file.read(cosigned, MAX_NOTE_BYTES)
    files["public-key"] = "".join(f"{key.text}\n" for key in keys).encode()
    found = verify(folder, keys, progress=lambda done, total: progress(folder.name, done, total))
    num_cosigned = len(files) - 2
    files["check.json"] = json_bytes(_facts(found))
    if found.bad is not None:
        return files, f"{found.bad}.", False
    pruned = f", those before {found.minimum_index:,} pruned" if found.minimum_index else ""
    told = f"{found.size:,} entries, all hold{pruned}; checkpoints of {num_cosigned} witnesses."
    return files, told, True


def _facts(found: Verification) -> dict[str, Any]:
    return {
        "entries": found.size,
        "verified": found.num_verified,
        "behind_the_checkpoint": found.num_behind,
        "minimum_index": found.minimum_index,
        "bad": None if found.bad is None else str(found.bad),
    }
