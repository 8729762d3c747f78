"""Subjects' keys: one each, kept wrapped, destroyed for good, and wrapped anew for a new secret."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from models import durable
from serve.errors import StartupError
from serve.governance.audit.content import keys_lock
from serve.governance.audit.content import subject_keys as module
from serve.governance.audit.content.content_keys import read_content_keys
from serve.governance.audit.content.subject_keys import KeyGoneError, SubjectKeys, name_of
from tests.serve.governance.audit.content.secrets_of import key_file, subject_keys

SUBJECT = "clinic/dr-x"


def test_a_subject_has_one_key_for_every_process(tmp_path: Path) -> None:
    keys = subject_keys(tmp_path)
    key = keys.of(SUBJECT)
    assert keys.of(SUBJECT) is key
    assert subject_keys(tmp_path).of(SUBJECT) == key
    assert keys.of("clinic/dr-y") != key
    assert {each.subject for each in keys.all()} == {SUBJECT, "clinic/dr-y"}
    path = tmp_path / "keys" / f"{name_of(SUBJECT)}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key._secret.hex() not in path.read_text()
    assert key._secret.hex() not in repr(key)


def test_a_hash_means_nothing_without_the_key(tmp_path: Path) -> None:
    keys = subject_keys(tmp_path)
    mine, theirs = keys.of("a/a"), keys.of("a/b")
    assert mine.mac(b"yes") == mine.mac(b"yes") != mine.mac(b"no")
    assert mine.mac(b"yes") != theirs.mac(b"yes")


def test_what_another_process_destroys_is_not_used_any_more(tmp_path: Path) -> None:
    server, command = subject_keys(tmp_path), subject_keys(tmp_path)
    before = server.of(SUBJECT)
    assert command.destroy(SUBJECT)
    assert not command.destroy(SUBJECT)
    assert server.known(SUBJECT) is None
    with pytest.raises(KeyGoneError, match="erased"):
        command.find(SUBJECT)
    after = server.of(SUBJECT)
    assert after.key_id != before.key_id
    assert after.mac(b"yes") != before.mac(b"yes")
    assert command.find(SUBJECT) == after


def test_an_erasure_that_was_cut_short_is_one(tmp_path: Path) -> None:
    """The file is overwritten before it is removed; a crash may come between."""
    before = subject_keys(tmp_path).of(SUBJECT)
    path = tmp_path / "keys" / f"{name_of(SUBJECT)}.json"
    blank = bytes(path.stat().st_size)
    path.write_bytes(blank)
    with pytest.raises(KeyGoneError, match="erased"):
        subject_keys(tmp_path).find(SUBJECT)
    after = subject_keys(tmp_path).of(SUBJECT)
    assert after.key_id != before.key_id
    path.write_bytes(blank)
    assert subject_keys(tmp_path, "b", "a").rewrap() == 0
    assert not path.exists()


def test_a_new_secret_wraps_all_keys_anew_and_the_old_one_can_go(tmp_path: Path) -> None:
    key = subject_keys(tmp_path, "a").of(SUBJECT)
    assert subject_keys(tmp_path, "b", "a").rewrap() == 1
    renewed = subject_keys(tmp_path, "b")
    assert renewed.rewrap() == 0
    assert renewed.of(SUBJECT) == key
    with pytest.raises(StartupError, match="Add it below the new one"):
        subject_keys(tmp_path, "c").rewrap()


class Interrupted:
    """A write of a key during which an erasure of it begins, as another process would.

    The write goes on when the erasure is over, or is seen to wait for it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, erase: Callable[[], bool]) -> None:
        self._write = module._write
        self._moved = threading.Event()
        self._erasing = threading.Thread(target=self._erase, args=(erase,))
        self.was_there = False
        monkeypatch.setattr(module, "_write", self.write)
        monkeypatch.setattr(keys_lock.time, "sleep", lambda _seconds: self._moved.set())

    def write(self, *arguments: object) -> None:
        self._erasing.start()
        assert self._moved.wait(20)
        self._write(*arguments)  # type: ignore[arg-type]

    def _erase(self, erase: Callable[[], bool]) -> None:
        self.was_there = erase()
        self._moved.set()

    def finish(self) -> None:
        self._erasing.join(20)
        assert not self._erasing.is_alive()


def test_a_key_that_is_erased_while_it_is_wrapped_anew_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject_keys(tmp_path, "a").of(SUBJECT)
    server, command = subject_keys(tmp_path, "b", "a"), subject_keys(tmp_path, "b", "a")
    write = Interrupted(monkeypatch, lambda: command.destroy(SUBJECT))
    assert server.rewrap() == 1
    write.finish()
    assert write.was_there
    with pytest.raises(KeyGoneError, match="erased"):
        command.find(SUBJECT)


def test_a_key_that_is_made_while_its_subject_is_erased_is_erased_or_not_there_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, command = subject_keys(tmp_path), subject_keys(tmp_path)
    server.of("clinic/other")  # makes the folder
    write = Interrupted(monkeypatch, lambda: command.destroy(SUBJECT))
    server._make(server._path(SUBJECT), SUBJECT)
    write.finish()
    assert write.was_there
    assert set(command.subjects()) == {"clinic/other"}


def test_an_erasure_also_takes_what_a_write_that_was_cut_short_left(tmp_path: Path) -> None:
    keys = subject_keys(tmp_path)
    keys.of(SUBJECT)
    path = tmp_path / "keys" / f"{name_of(SUBJECT)}.json"
    durable.new_name(path).write_bytes(path.read_bytes())
    assert keys.destroy(SUBJECT)
    assert [each.name for each in path.parent.iterdir()] == [keys_lock.LOCK]


def test_keys_cannot_be_exchanged(tmp_path: Path) -> None:
    keys = subject_keys(tmp_path)
    keys.of("a/a")
    path = tmp_path / "keys" / f"{name_of('a/a')}.json"
    path.rename(path.with_name(f"{name_of('a/b')}.json"))
    with pytest.raises(KeyGoneError, match="another subject"):
        subject_keys(tmp_path).of("a/b")


@pytest.mark.parametrize("damage", ["", "{}", "[]", "wrapped", "wrapped_by"])
def test_a_damaged_key_is_no_key(tmp_path: Path, damage: str) -> None:
    keys = subject_keys(tmp_path)
    keys.of(SUBJECT)
    path = tmp_path / "keys" / f"{name_of(SUBJECT)}.json"
    document = json.loads(path.read_text())
    if damage in document:
        document[damage] = "AAAA" * 10
        damage = json.dumps(document)
    path.write_text(damage)
    others = SubjectKeys(tmp_path / "keys", read_content_keys(key_file(tmp_path)))
    with pytest.raises(KeyGoneError):
        others.of(SUBJECT)
    assert list(others.all()) == []


def test_a_key_that_is_erased_while_it_is_looked_up_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = subject_keys(tmp_path).of(SUBJECT)
    keys, read = subject_keys(tmp_path), SubjectKeys._read

    def erased(self: SubjectKeys, path: Path) -> module.SubjectKey:
        monkeypatch.setattr(SubjectKeys, "_read", read)
        subject_keys(tmp_path).destroy(SUBJECT)
        return read(self, path)

    monkeypatch.setattr(SubjectKeys, "_read", erased)
    assert keys.of(SUBJECT) != first
