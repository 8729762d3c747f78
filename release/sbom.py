"""sbom.cdx.json: what is in the bundle, as a CycloneDX 1.6 bill of materials.

Ours and not cyclonedx-bom's, because it lists the files that are in the bundle, with their own
hashes, licences and requirements, and the model among them; that tool sees the lock alone. Tests
hold it to CycloneDX's schema with CycloneDX's own library. It has no time stamp: the same bundle
has the same bill.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from email.message import Message
from typing import Any
from urllib.parse import quote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from models.bundle.index import Index
from release.wheels import Wheel

_MAX_LICENCE = 200
_LICENCE = "License :: OSI Approved :: "


def bill(own: Wheel, wheels: Sequence[Wheel], model: Index | None) -> bytes:
    """The bill, as JSON.

    Args:
        own: our wheel, which the bill is of.
        wheels: all others.
        model: what is bundled with them.
    """
    refs = {wheel.name: _purl(wheel) for wheel in wheels}
    components = [_library(wheel) for wheel in sorted(wheels, key=lambda wheel: wheel.name)]
    direct = [*refs.values()]
    if model is not None:
        components.append(_model(model))
        direct.append(model.digest)
    # Installed without regard to what each asks for: our lock is what we depend on, all of it.
    dependencies = [{"ref": _purl(own), "dependsOn": sorted(direct)}]
    dependencies += [
        {"ref": refs[wheel.name], "dependsOn": _required(wheel, refs)} for wheel in wheels
    ]
    root = _library(own) | {"type": "application"}
    content = {
        "metadata": {"component": root},
        "components": components,
        "dependencies": sorted(dependencies, key=lambda row: str(row["ref"])),
    }
    serial = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content, sort_keys=True))
    head = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
    }
    return (json.dumps(head | content, indent=1, ensure_ascii=False) + "\n").encode()


def _library(wheel: Wheel) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _purl(wheel),
        "name": wheel.name,
        "version": wheel.version,
        "purl": _purl(wheel),
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
    }
    licence = _licence(wheel.metadata)
    return component | ({"licenses": [licence]} if licence else {})


def _model(index: Index) -> dict[str, Any]:
    """The digest is over the files' hashes, so it is no hash of one file: it is the version."""
    return {
        "type": "machine-learning-model",
        "bom-ref": index.digest,
        "name": index.model,
        "version": index.digest,
        "properties": [
            {"name": f"intramural:sha256:{file.path}", "value": file.sha256} for file in index.files
        ],
    }


def _purl(wheel: Wheel) -> str:
    return f"pkg:pypi/{wheel.name}@{quote(wheel.version, safe='')}"


def _licence(metadata: Message) -> dict[str, Any] | None:
    """The licence by the package: an SPDX expression, a licence's name, or its classifiers."""
    expression = metadata.get("License-Expression")
    if expression:
        return {"expression": expression}
    classifiers = [
        text.removeprefix(_LICENCE)
        for text in metadata.get_all("Classifier", [])
        if text.startswith(_LICENCE)
    ]
    stated = (metadata.get("License") or "").strip().partition("\n")[0]
    name = " and ".join(classifiers) or stated
    return {"license": {"name": name[:_MAX_LICENCE]}} if name else None


def _required(wheel: Wheel, refs: dict[str, str]) -> list[str]:
    """The packages of the bundle that a wheel asks for on this platform, without extras."""
    required = set()
    for text in wheel.metadata.get_all("Requires-Dist", []):
        try:
            requirement = Requirement(text)
        except InvalidRequirement:  # an old package's own dialect
            continue
        is_wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ref = refs.get(canonicalize_name(requirement.name))
        if is_wanted and ref is not None:
            required.add(ref)
    return sorted(required)
