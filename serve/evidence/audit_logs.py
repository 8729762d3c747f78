"""The audit logs: each one's checkpoint, its key, cosignatures, and whether all of it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from models import plain_file
from serve.config import Config
from serve.engine.protocol import Progress
from serve.evidence.part import Part, json_bytes, missing
from serve.governance.audit.log.verifying import Verification, verify
from serve.governance.audit.tlog.key_files import read_verifiers
from serve.governance.audit.tlog.notes import MAX_NOTE_BYTES
from serve.governance.audit.witness.cosigned_notes import FOLDER as COSIGNATURES

NAME: Final = "audit"
CHECKPOINT: Final = "checkpoint"
KEY, PUBLIC = ".key", ".pub"


def audit_logs(config: Config, progress: Progress) -> Part:
    """The part of the audit logs below ``--audit-dir``: each is verified whole."""
    if config.audit_dir is None:
        return missing(NAME, "No audit log is kept: --audit-dir is not set.")
    folders = sorted(path.parent for path in config.audit_dir.glob(f"*/{CHECKPOINT}"))
    if not folders:
        return missing(NAME, f"There is no log in {config.audit_dir} yet.")
    files: dict[str, bytes] = {}
    lines, is_whole = [], True
    for folder in folders:
        own, line, is_fine = _one(folder, _public_key(folder, config), progress)
        files |= {f"audit/{folder.name}/{name}": data for name, data in own.items()}
        lines.append(f"{folder.name}: {line}")
        is_whole = is_whole and is_fine
    return Part(
        name=NAME,
        state="whole" if is_whole else "partly",
        summary=" ".join(lines),
        files=files,
    )


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
