"""The bill of what is installed, held to CycloneDX's schema by CycloneDX's own library."""

from __future__ import annotations

import json
from importlib import metadata

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from serve.evidence.software import software


def test_the_bill_is_of_the_schema_and_has_what_is_installed() -> None:
    raw = software().files["software.cdx.json"].decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(raw) is None
    components = {row["name"]: row for row in json.loads(raw)["components"]}
    for name in ("fastapi", "torch", "transformers"):
        assert components[name]["version"] == metadata.version(name)
        assert components[name]["properties"][0]["name"] == "intramural:sha256:RECORD"
    assert "intramural" not in components
