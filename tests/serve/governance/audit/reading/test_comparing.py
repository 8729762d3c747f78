"""Comparison of documents with notes: by keyed hash, and where nothing is left to compare with."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.governance.audit.content.content_keys import read_content_keys
from serve.governance.audit.content.subject_keys import SubjectKeys
from serve.governance.audit.reading.comparing import is_same, subject_of
from serve.governance.audit.reading.contents import ContentGoneError, Contents

DOCUMENT = b'{"prompts":[]}'


def test_a_hash_is_of_one_document_under_one_key(tmp_path: Path) -> None:
    file = tmp_path / "content.key"
    file.write_text("ab" * 32)
    file.chmod(0o600)
    operators = read_content_keys(file)
    keys = SubjectKeys(tmp_path / "content" / "keys", operators)
    key = keys.of("clinic/dr-x")
    contents = Contents(tmp_path, operators)
    begin = {"who": {"key": "k", "tenant": "clinic", "owner": "dr-x"}}
    begin["content"] = {"subject_key": key.key_id}
    note = {"hmac": key.mac(DOCUMENT)}
    assert is_same(contents, begin, note, DOCUMENT)
    assert not is_same(contents, begin, note, DOCUMENT + b" ")
    keys.destroy("clinic/dr-x")
    with pytest.raises(ContentGoneError, match="erased"):
        is_same(contents, begin, note, DOCUMENT)
    keys.of("clinic/dr-x")
    with pytest.raises(ContentGoneError, match="another"):
        is_same(contents, begin, note, DOCUMENT)
    with pytest.raises(ContentGoneError, match="not recorded"):
        is_same(contents, begin, None, DOCUMENT)


def test_a_key_without_an_owner_is_its_own_subject() -> None:
    assert subject_of({"who": {"key": "abc", "tenant": "clinic"}}) == "key:abc"
    assert subject_of({"who": {"key": "abc", "tenant": "t", "owner": "o"}}) == "t/o"
