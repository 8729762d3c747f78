"""The bill of materials, held to CycloneDX's schema by CycloneDX's own library."""

from __future__ import annotations

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from models.trust.hashing import sha256_files
from release import sbom, wheels
from tests.models.bundle.bundles import model, write
from tests.release.wheels import made


def read(path):
    return wheels.read(path, sha256_files([path])[0])


@pytest.fixture
def found(tmp_path):
    needs = 'Requires-Dist: b (>=1)\nRequires-Dist: c; extra == "x"\nRequires-Dist: away\n'
    dialect = "Requires-Dist: no requirement at all ((\n"
    return [
        read(made(tmp_path, "a", head=f"License-Expression: MIT OR Apache-2.0\n{needs}{dialect}")),
        read(made(tmp_path, "b", "2.0+cpu", head="License: BSD\n  with a long text\n")),
        read(
            made(
                tmp_path,
                "c",
                head="Classifier: License :: OSI Approved :: MIT License\nClassifier: Other\n",
            )
        ),
        read(made(tmp_path, "d")),
    ]


@pytest.fixture
def own(tmp_path):
    return read(made(tmp_path, "intramural", "0.1.0", head="License-Expression: Apache-2.0\n"))


@pytest.fixture
def index(tmp_path):
    return write(model(tmp_path / "source"), tmp_path / "out").index


def faults(raw: bytes) -> object:
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(raw.decode())


def test_it_is_valid(own, found, index):
    assert faults(sbom.bill(own, found, index)) is None
    assert faults(sbom.bill(own, found, None)) is None


def test_a_bill_that_is_not_valid_is_found(own, found, index):
    document = json.loads(sbom.bill(own, found, index))
    document["components"][0]["hashes"][0]["content"] = "no hash"
    assert faults(json.dumps(document).encode()) is not None


def test_it_says_what_each_file_is(own, found, index):
    document = json.loads(sbom.bill(own, found, index))
    parts = {part["name"]: part for part in document["components"]}
    assert set(parts) == {"a", "b", "c", "d", index.model}
    assert parts["b"]["purl"] == "pkg:pypi/b@2.0%2Bcpu"
    assert parts["a"]["hashes"] == [{"alg": "SHA-256", "content": found[0].sha256}]
    assert parts["a"]["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    assert parts["b"]["licenses"] == [{"license": {"name": "BSD"}}]
    assert parts["c"]["licenses"] == [{"license": {"name": "MIT License"}}]
    assert "licenses" not in parts["d"]
    assert parts[index.model]["type"] == "machine-learning-model"
    assert parts[index.model]["version"] == index.digest
    hashes = {row["name"]: row["value"] for row in parts[index.model]["properties"]}
    assert hashes == {f"intramural:sha256:{file.path}": file.sha256 for file in index.files}
    depends = {row["ref"]: row["dependsOn"] for row in document["dependencies"]}
    assert depends["pkg:pypi/a@1.0"] == ["pkg:pypi/b@2.0%2Bcpu"]
    assert len(depends["pkg:pypi/intramural@0.1.0"]) == 5


def test_the_same_bundle_has_the_same_bill(own, found, index):
    assert sbom.bill(own, found, index) == sbom.bill(own, list(reversed(found)), index)
    assert sbom.bill(own, found, index) != sbom.bill(own, found[1:], index)
