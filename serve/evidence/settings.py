"""The settings in force, with digests of the files that they name, and no secret."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from models import plain_file
from serve.config import Config
from serve.evidence.part import Part, json_bytes
from serve.setting_files import RULE_FILES, SECRET_FILES

NAME: Final = "settings"
MAX_RULES_BYTES: Final = 16 << 20


def settings(config: Config) -> Part:
    """The part of a server's settings."""
    rows: dict[str, Any] = {}
    absent = []
    for name in sorted(Config.model_fields):
        value = getattr(config, name)
        row: dict[str, Any] = {"value": _plain(value)}
        if name in SECRET_FILES | RULE_FILES and value is not None:
            row["file"] = file = _file(value, has_digest=name in RULE_FILES)
            if "error" in file:
                absent.append(name)
        rows[name] = row
    if absent:
        return Part(
            name=NAME,
            state="partly",
            summary=f"Files that cannot be read: {', '.join(absent)}.",
            files={"settings.json": json_bytes(rows)},
        )
    return Part(
        name=NAME,
        state="whole",
        summary=f"{len(rows)} settings, and digests of the files of rules that they name.",
        files={"settings.json": json_bytes(rows)},
    )


def _file(path: Path, *, has_digest: bool) -> Mapping[str, Any]:
    try:
        facts = path.stat()
        told: dict[str, Any] = {"mode": f"{facts.st_mode & 0o7777:04o}", "owner_id": facts.st_uid}
        if has_digest:
            data = plain_file.read(path, MAX_RULES_BYTES, may_be_link=True)
            told |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    except OSError as error:
        return {"error": error.strerror or str(error)}
    return told


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list | frozenset | set):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)
