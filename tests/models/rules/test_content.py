"""The content of an allowed file: what its bytes must be, whatever it is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.rules.budget import Budget
from models.rules.content import content_refusal

GOOD = {
    "config.json": b'{"hidden_size": 8}',
    "tokenizer.json": b'{"vocab": {"auto_map": 1}}',
    "vocab.json": b'{"__class__": 7}',
    "notes.txt": "Grüße".encode(),
    "merges.txt": b"",
    "chat_template.jinja": b"{{ messages }}",
    "manifest.json": b"any bytes: it is ours, and read by its own rules",
}
BAD = {
    "list.config.json": (b"[]", "config"),
    "auto/config.json": (b'{"auto_map": {"AutoModel": "x.Y"}}', "remote-code"),
    "adapter_config.json": (b"{}", "adapter"),
    "tokenizer.json": (b'{"vocab": "/etc/passwd"}', "tokenizer"),
    "cut.txt": ("ü".encode()[:1], "text"),
    "nul.txt": (b"a\0b", "text"),
    "pickled.json": (b"\x80\x04K\x01.", "disguised"),
    "weights.safetensors": (b"\0", "safetensors"),
    "open.jinja": (b"{% if %}", "template"),
}


def refusal_of(folder: Path, name: str, content: bytes) -> str | None:
    path = folder / Path(name).name
    path.write_bytes(content)
    refusal = content_refusal(path, name, Budget())
    return None if refusal is None else refusal.rule


@pytest.mark.parametrize("name", GOOD)
def test_what_is_well_formed_passes(tmp_path: Path, name: str) -> None:
    assert refusal_of(tmp_path, name, GOOD[name]) is None


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_is_refused_by_its_rule(tmp_path: Path, name: str) -> None:
    content, rule = BAD[name]
    assert refusal_of(tmp_path, name, content) == rule


def test_a_character_may_lie_across_two_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.rules.content._TEXT_CHUNK_BYTES", 1)
    assert refusal_of(tmp_path, "notes.txt", "Grüße, 你好".encode()) is None
    assert refusal_of(tmp_path, "notes.txt", "ü".encode()[:1] + b"x") == "text"
