"""The store of contents: durable before it is told, and a refusal where it fails or hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from serve.errors import AuditUnavailable
from serve.governance.audit.content.keys_lock import keys_lock
from serve.governance.audit.content.sealing import Label, digest, opened
from serve.governance.audit.content.store import ContentStore
from serve.governance.audit.content.subject_keys import name_of
from tests.serve.governance.audit.content.secrets_of import subject_keys


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class MemoryJournal:
    """Frames in memory; fails or stalls when told to."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.num_appends = 0
        self.fails = False
        self.stalls = False

    async def append(self, payloads: Sequence[bytes], /) -> int:
        self.num_appends += 1
        if self.stalls:
            await asyncio.sleep(3600)
        if self.fails:
            raise OSError(28, "no space left")
        self.frames += payloads
        return len(self.frames) - len(payloads)


def labels(*kinds: str) -> list[Label]:
    return [
        Label(log="a", request_id="req-1", kind=kind, number=number)  # type: ignore[arg-type]
        for number, kind in enumerate(kinds)
    ]


async def test_documents_are_kept_where_their_notes_say(tmp_path: Path) -> None:
    keys, journal = subject_keys(tmp_path), MemoryJournal()
    store = ContentStore(keys, journal, log_name="a")
    key = await store.key_of("clinic/dr-x")
    prompt, answer = labels("prompt", "answer")
    notes = await store.noted(key, [(prompt, b"hello"), (answer, b"world")])
    assert [note["at"] for note in notes] == [0, 1]
    assert journal.num_appends == 1
    for note, text in zip(notes, (b"hello", b"world"), strict=True):
        frame = journal.frames[note["at"]]
        assert (note["bytes"], note["sha256"]) == (len(frame), digest(frame))
        assert opened(key, frame) == text


async def test_hashes_only_where_nothing_is_kept(tmp_path: Path) -> None:
    keys = subject_keys(tmp_path)
    store = ContentStore(keys, None, log_name="a")
    key = await store.key_of("clinic/dr-x")
    (note,) = await store.noted(key, [(labels("prompt")[0], b"hello")])
    assert note == {"hmac": key.mac(b"hello")}


async def test_a_failure_refuses_and_for_a_second_nothing_is_tried(tmp_path: Path) -> None:
    journal, clock = MemoryJournal(), Clock()
    store = ContentStore(subject_keys(tmp_path), journal, log_name="a", clock=clock)
    key = await store.key_of("clinic/dr-x")
    journal.fails = True
    documents = [(labels("prompt")[0], b"hello")]
    for _ in range(3):
        with pytest.raises(AuditUnavailable):
            await store.noted(key, documents)
    assert journal.num_appends == 1
    journal.fails, clock.now = False, 1.0
    assert len(await store.noted(key, documents)) == 1


async def test_a_journal_that_hangs_and_a_key_that_is_damaged_refuse(tmp_path: Path) -> None:
    journal = MemoryJournal()
    key = subject_keys(tmp_path).of("clinic/dr-x")
    store = ContentStore(subject_keys(tmp_path), journal, log_name="a", deadline_s=0.01)
    journal.stalls = True
    with pytest.raises(AuditUnavailable):
        await store.noted(key, [(labels("prompt")[0], b"hello")])
    (tmp_path / "keys" / f"{name_of('clinic/dr-y')}.json").write_text("{}")
    store = ContentStore(subject_keys(tmp_path), journal, log_name="a")
    with pytest.raises(AuditUnavailable):
        await store.key_of("clinic/dr-y")


async def test_a_subject_whose_calls_come_together_gets_one_key(tmp_path: Path) -> None:
    store = ContentStore(subject_keys(tmp_path), None, log_name="a")
    found = await asyncio.gather(*(store.key_of(f"a/{n % 3}") for n in range(30)))
    assert len({key.key_id for key in found}) == 3
    assert {key.key_id for key in found} == {key.key_id for key in subject_keys(tmp_path).all()}


async def test_a_subject_whose_key_cannot_be_used_holds_up_no_other(tmp_path: Path) -> None:
    keys, journal = subject_keys(tmp_path), MemoryJournal()
    store = ContentStore(keys, journal, log_name="a", deadline_s=0.05)
    key = await store.key_of("clinic/dr-x")
    (tmp_path / "keys" / f"{name_of('clinic/dr-y')}.json").write_text("{}")
    with pytest.raises(AuditUnavailable):
        await store.key_of("clinic/dr-y")
    assert (await store.key_of("clinic/dr-z")).subject == "clinic/dr-z"
    with keys_lock(tmp_path / "keys"):  # an erasure that was stopped
        with pytest.raises(AuditUnavailable):
            await store.key_of("clinic/dr-new")
        with pytest.raises(AuditUnavailable):
            await store.key_of("clinic/dr-newer")
        assert await store.key_of("clinic/dr-x") == key
        assert len(await store.noted(key, [(labels("prompt")[0], b"hello")])) == 1
