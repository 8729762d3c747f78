"""Disclosures: a document shown to whoever has its entry, by the key of its call alone."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest

from serve.governance.audit.content.content_keys import read_content_keys
from serve.governance.audit.content.sealing import Label
from serve.governance.audit.content.store import ContentStore
from serve.governance.audit.content.subject_keys import SubjectKeys
from serve.governance.audit.log.errors import LogUnavailable
from serve.governance.audit.log.journal import Journal
from serve.governance.audit.reading.contents import (
    FOLDER,
    JOURNAL,
    KEYS,
    ContentGoneError,
    Contents,
)
from serve.governance.audit.reading.disclosing import disclosed, shown
from serve.governance.audit.records.canonical import encoded


async def kept(folder: Path, *documents: bytes) -> tuple[Contents, list[dict[str, Any]]]:
    """The contents of a log, and the notes of these documents, each of a call of its own."""
    file = folder / "content.key"
    file.write_text("ab" * 32)
    file.chmod(0o600)
    operators = read_content_keys(file)
    keys = SubjectKeys(folder / FOLDER / KEYS, operators)
    journal = Journal.open(folder / FOLDER / JOURNAL)
    store = ContentStore(keys, journal, log_name="a", failures=(LogUnavailable, OSError))
    key = await store.key_of("clinic/dr-x")
    labels = [
        Label(log="a", request_id=f"req-{number}", kind="prompt", number=0)
        for number in range(len(documents))
    ]
    notes = await store.noted(key, list(zip(labels, documents, strict=True)))
    await journal.close()
    return Contents(folder, operators), notes


async def test_a_document_is_shown_to_who_has_its_entry(tmp_path: Path) -> None:
    contents, (note, other) = await kept(tmp_path, b'{"text":"hello"}', b'{"text":"other"}')
    disclosure = disclosed(contents, note)
    assert shown(disclosure, encoded({"content": note})) == {"text": "hello"}
    for entry in ({"content": other}, {"content": None}, {}):
        with pytest.raises(ContentGoneError, match="of another document"):
            shown(disclosure, encoded(entry))


async def test_another_calls_key_or_a_broken_file_shows_nothing(tmp_path: Path) -> None:
    contents, (note, other) = await kept(tmp_path, b'{"text":"hello"}', b'{"text":"other"}')
    entry = encoded({"content": note})
    own = orjson.loads(disclosed(contents, note))
    swapped = own | {"key": orjson.loads(disclosed(contents, other))["key"]}
    with pytest.raises(ContentGoneError, match="does not open: it was sealed under another key"):
        shown(orjson.dumps(swapped), entry)
    frame = base64.b64decode(own["frame"])
    changed = own | {"frame": base64.b64encode(frame[:-1] + bytes([frame[-1] ^ 1])).decode()}
    with pytest.raises(ContentGoneError, match="of another document"):
        shown(orjson.dumps(changed), entry)
    for broken in (b"", b"[]", b"{}", orjson.dumps(own | {"key": "no hex"})):
        with pytest.raises(ContentGoneError, match="no disclosure"):
            shown(broken, entry)


async def test_what_was_erased_or_is_another_document_is_not_disclosed(tmp_path: Path) -> None:
    contents, (note, other) = await kept(tmp_path, b'{"text":"hello"}', b'{"text":"other"}')
    with pytest.raises(ContentGoneError, match="not what the entry says"):
        disclosed(contents, note | {"at": other["at"]})
    with pytest.raises(ContentGoneError, match="hash alone"):
        disclosed(contents, {"hmac": "ab"})
    for path in (tmp_path / FOLDER / KEYS).glob("*.json"):
        path.unlink()
    with pytest.raises(ContentGoneError, match="its key is not there"):
        disclosed(contents, note)
