from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import SignatureError
from models.trust import signature_file
from models.trust.manifest import SIGNATURE

SHA = "ab" * 32
STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "m", "digest": {"sha256": SHA}}],
    "predicateType": "https://model_signing/signature/v1.0",
    "predicate": {
        "serialization": {
            "method": "files",
            "hash_type": "sha256",
            "allow_symlinks": False,
            "ignore_paths": ["model.sig"],
        },
        "resources": [{"name": "a/b.json", "algorithm": "sha256", "digest": SHA}],
    },
}


def bundle(statement: Any) -> dict[str, Any]:
    payload = json.dumps(statement).encode()
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": SHA}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": "AAAA", "keyid": ""}],
        },
    }


def refused(tmp_path, document: Any) -> str:
    (tmp_path / SIGNATURE).write_text(json.dumps(document))
    with pytest.raises(SignatureError) as caught:
        signature_file.read(tmp_path)
    assert SIGNATURE in str(caught.value)
    return str(caught.value)


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with one value replaced, or taken out where it is `...`."""
    made = copy.deepcopy(document)
    place = made
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


def test_the_claim_is_read(tmp_path):
    (tmp_path / SIGNATURE).write_text(json.dumps(bundle(STATEMENT)))
    found = signature_file.read(tmp_path)
    assert found.key_id == SHA
    assert found.files == {"a/b.json": SHA}


KEY = ("verificationMaterial", "publicKey")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*KEY, "hint"), ...),
        ((*KEY, "hint"), "short"),
        ((*KEY, "hint"), None),
        (KEY, ...),
        (("verificationMaterial",), {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}),
        (("dsseEnvelope",), ...),
        (("dsseEnvelope", "payload"), 3),
        (("dsseEnvelope", "payloadType"), "text/plain"),
        (("dsseEnvelope", "signatures"), []),
        (("dsseEnvelope", "signatures"), [{"sig": "AAAA"}, {"sig": "AAAA"}]),
        (("dsseEnvelope", "signatures", 0, "sig"), None),
    ],
)
def test_other_bundles_are_refused(tmp_path, path, value):
    message = refused(tmp_path, changed(bundle(STATEMENT), path, value))
    assert "is not one signature by a key" in message


HOW = ("predicate", "serialization")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("_type",), "https://in-toto.io/Statement/v2"),
        (("predicateType",), "https://model_signing/Digests/v0.1"),
        (("subject",), []),
        (("predicate", "resources"), {}),
        ((*HOW, "method"), "shards"),
        ((*HOW, "hash_type"), "blake3"),
        ((*HOW, "allow_symlinks"), ...),
        ((*HOW, "ignore_paths"), "model.sig"),
        ((*HOW, "ignore_paths"), [3]),
    ],
)
def test_other_statements_are_refused(tmp_path, path, value):
    message = refused(tmp_path, bundle(changed(STATEMENT, path, value)))
    assert "does not cover whole files by their SHA-256" in message


FILE = ("predicate", "resources", 0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (FILE, "a"),
        ((*FILE, "algorithm"), "blake3"),
        ((*FILE, "digest"), "AB" * 32),
        ((*FILE, "digest"), ...),
        ((*FILE, "name"), "../x"),
        ((*FILE, "name"), "./x"),
        ((*FILE, "name"), "/x"),
        (("predicate", "resources"), STATEMENT["predicate"]["resources"] * 2),
    ],
)
def test_other_files_are_refused(tmp_path, path, value):
    message = refused(tmp_path, bundle(changed(STATEMENT, path, value)))
    assert "names a file in an unknown way, or twice" in message


@pytest.mark.parametrize("payload", ["!", "AAA", base64.b64encode(b"\xff").decode(), ""])
def test_payloads_that_are_no_statement_are_refused(tmp_path, payload):
    refused(tmp_path, changed(bundle(STATEMENT), ("dsseEnvelope", "payload"), payload))


def test_a_file_that_is_too_large_or_a_link_is_refused(tmp_path):
    (tmp_path / SIGNATURE).write_bytes(b" " * (signature_file.MAX_BYTES + 1))
    with pytest.raises(SignatureError, match="at most 8,388,608 are read"):
        signature_file.read(tmp_path)
    (tmp_path / SIGNATURE).rename(tmp_path / "x")
    (tmp_path / SIGNATURE).symlink_to("x")
    with pytest.raises(SignatureError, match="cannot be read"):
        signature_file.read(tmp_path)


@given(st.data())
def test_damage_is_one_of_our_errors(data):
    """Bytes cut out, put in or replaced: read as before, or refused; never another error."""
    raw = json.dumps(bundle(STATEMENT)).encode()
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(len(raw), start + 40)))
    damaged = raw[:start] + data.draw(st.binary(max_size=8)) + raw[end:]
    with contextlib.suppress(signature_file.JsonFault):
        signature_file.parse(damaged)


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / SIGNATURE)
    with pytest.raises(SignatureError, match="is not a plain file but a pipe"):
        signature_file.read(tmp_path)
