from __future__ import annotations

import dataclasses
import json

import pytest

from models.refs import ModelRef, QuantScheme
from models.trust.manifest_files import FileEntry
from models.trust.manifest_json import FORMAT, Fields, FormatError, dump, parse
from tests.models.test_quality import QUALITY

DIGEST = "sha256:" + "d" * 64
FIELDS = Fields(
    files=tuple(FileEntry(path=path, size=3, sha256="a" * 64) for path in ("a", "b/ü.txt")),
    source=ModelRef(repo="acme/tiny", revision="c" * 40),
    licence="mit",
    scheme=QuantScheme.INT4,
    tools={"hub": "1"},
    created_at="2026-11-21T05:30:00Z",
)


def changed(**facts: object) -> bytes:
    return json.dumps(json.loads(dump(FIELDS, DIGEST)) | facts).encode()


@pytest.mark.parametrize("quality", [None, QUALITY])
@pytest.mark.parametrize("source", [None, FIELDS.source])
def test_what_is_dumped_is_parsed(source, quality):
    fields = dataclasses.replace(FIELDS, source=source, quality=quality)
    assert parse(dump(fields, DIGEST).encode(), Fields) == (DIGEST, fields)


def test_a_file_is_a_line_so_that_two_manifests_compare_well():
    lines = dump(FIELDS, DIGEST).splitlines()
    assert json.loads(lines[1].strip().rstrip(",").join("{}")) == {"format": FORMAT}
    rows = [line for line in lines if '"path"' in line]
    assert [json.loads(row.rstrip(","))["path"] for row in rows] == ["a", "b/ü.txt"]
    assert dump(FIELDS, DIGEST).endswith("}\n")


def test_a_manifest_that_was_not_measured_has_no_key_for_it():
    assert "quality" not in json.loads(dump(FIELDS, DIGEST))


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"licence": "apache-2.0"}, "its checksum is not that of the rest"),
        ({"digest": "sha256:" + "e" * 64}, "its checksum is not that of the rest"),
        ({"checksum": None}, "its checksum is not that of the rest"),
        ({"format": "intramural-manifest/2"}, "known is 'intramural-manifest/1'"),
        ({"more": 1}, "it has an unknown key 'more'"),
        ({"scheme": "int3"}, "scheme 'int3' is none of none, int8"),
        ({"digest": DIGEST + "\n"}, "digest is 'sha256:"),
    ],
)
def test_a_change_is_found_and_named(facts, says):
    with pytest.raises(FormatError, match=says):
        parse(changed(**facts), Fields)


def test_a_missing_key_is_named():
    document = json.loads(dump(FIELDS, DIGEST))
    del document["tools"]
    with pytest.raises(FormatError, match="it lacks 'tools'"):
        parse(json.dumps(document).encode(), Fields)


def test_spaces_and_the_order_of_keys_do_not_matter():
    document = json.loads(dump(FIELDS, DIGEST))
    turned = json.dumps(dict(reversed(document.items())), indent=9)
    assert parse(turned.encode(), Fields) == (DIGEST, FIELDS)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[" * 100_000, b'{"a": 1, "a": 1}', b'{"a": NaN}'])
def test_what_is_no_json_is_refused(raw):
    with pytest.raises(FormatError, match="not JSON, or names a key twice"):
        parse(raw, Fields)
