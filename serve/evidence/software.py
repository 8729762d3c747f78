"""The software that runs: a CycloneDX 1.6 bill of the distributions that are installed.

The hash of each is of its RECORD, which lists the hashes of its files (PyPA, "Recording installed
projects"): whoever has the wheel can compare both. ``python -m release`` makes the bill of a bundle
from the wheels themselves (release/sbom.py); this one is of what is really installed.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from serve.evidence.part import Part, json_bytes
from serve.version import server_commit, server_version

if TYPE_CHECKING:
    from email.message import Message

NAME: Final = "software"
_MAX_LICENCE = 200


def software() -> Part:
    """The part of the installed software."""
    found: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:  # a broken installation leaves folders without one
            found.setdefault(name.lower().replace("_", "-"), distribution)
    own = found.pop("intramural", None)
    commit = server_commit()
    root: dict[str, Any] = {
        "type": "application",
        "bom-ref": "intramural",
        "name": "intramural",
        "version": server_version(),
        "properties": [{"name": "intramural:commit", "value": commit or "unknown"}],
    }
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": root,
            "properties": [
                {"name": "python", "value": platform.python_version()},
                {"name": "platform", "value": f"{sys.platform} {platform.machine()}"},
            ],
        },
        "components": [_component(name, found[name]) for name in sorted(found)],
    }
    is_whole = commit is not None
    told = "" if is_whole else " The commit of Intramural's own sources is not known."
    where = "" if own is not None else " Intramural itself runs from a checkout."
    return Part(
        name=NAME,
        state="whole" if is_whole else "partly",
        summary=f"{len(found)} distributions, with versions, licences and hashes.{told}{where}",
        files={"software.cdx.json": json_bytes(bill)},
    )


def _component(name: str, distribution: metadata.Distribution) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{quote(distribution.version, safe='')}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": distribution.version,
        "purl": purl,
    }
    record = distribution.read_text("RECORD")
    if record is not None:
        digest = hashlib.sha256(record.encode()).hexdigest()
        component["properties"] = [{"name": "intramural:sha256:RECORD", "value": digest}]
    told = cast("Message", distribution.metadata)
    if expression := told.get("License-Expression"):
        component["licenses"] = [{"expression": expression}]
    elif licence := (told.get("License") or "").strip().partition("\n")[0]:
        component["licenses"] = [{"license": {"name": licence[:_MAX_LICENCE]}}]
    return component
