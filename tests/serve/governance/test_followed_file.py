"""A file that is followed: what is new is read, what is bad changes nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.governance.followed_file import RELOAD_INTERVAL_S, FollowedFile, on_a_thread


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def read(path: Path) -> str:
    text = path.read_text("utf-8")
    if text == "bad":
        raise StartupError("it is bad")
    return text


def write(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text, "utf-8")
    fresh.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "rules", "one")
    return tmp_path / "rules"


def test_a_change_is_read_within_a_second(path: Path) -> None:
    clock = Clock()
    file = FollowedFile(path, read, "rules", clock=clock)
    write(path, "two")
    assert file.content == "one"
    clock.now += RELOAD_INTERVAL_S
    assert file.content == "two"


def test_a_bad_file_changes_nothing_and_says_so(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = FollowedFile(path, read, "rules", clock=Clock())
    write(path, "bad")
    with caplog.at_level(logging.ERROR):
        file.follow()
    assert (file.content, file.is_in_force) == ("one", False)
    assert "rules not reloaded, what is known stays in force: it is bad" in caplog.text
    write(path, "three")
    file.follow()
    assert (file.content, file.is_in_force) == ("three", True)


def test_it_is_read_again_unchanged_where_that_is_asked_for(path: Path) -> None:
    texts = iter(["first", "second"])
    file = FollowedFile(path, lambda _path: next(texts), "rules", clock=Clock())
    file.follow()
    assert file.content == "first"
    file.follow(always=True)
    assert file.content == "second"


def test_a_file_that_cannot_be_used_ends_the_start(path: Path) -> None:
    write(path, "bad")
    with pytest.raises(StartupError, match="it is bad"):
        FollowedFile(path, read, "rules")


def test_a_defect_in_reading_changes_nothing_either(path: Path) -> None:
    texts = iter(["first"])
    file = FollowedFile(path, lambda _path: next(texts), "rules", clock=Clock())
    file.follow(always=True)
    assert (file.content, file.is_in_force) == ("first", False)


def test_a_bad_file_is_told_where_nobody_asks(path: Path) -> None:
    clock = Clock()
    file = FollowedFile(path, read, "rules", clock=clock)
    write(path, "bad")
    clock.now += RELOAD_INTERVAL_S
    assert not file.is_in_force


def test_what_is_known_stays_in_force_while_a_file_is_read(path: Path) -> None:
    started: list[Callable[[], None]] = []
    file = FollowedFile(path, read, "rules", clock=Clock(), start=started.append)
    write(path, "two")
    file.follow()
    assert (file.content, file.is_in_force) == ("one", True)
    write(path, "threee")
    file.follow()  # while it is being read
    assert len(started) == 1
    started.pop()()
    assert file.content == "threee"
    file.follow(always=True)
    assert len(started) == 1


def test_what_changes_while_a_file_is_read_is_read_then(path: Path) -> None:
    reads: list[str] = []

    def changing(path: Path) -> str:
        reads.append(read(path))
        if len(reads) == 2:
            write(path, "three")
            file.follow()
        return reads[-1]

    file = FollowedFile(path, changing, "rules", clock=Clock())
    write(path, "bigger")
    file.follow()
    assert reads == ["one", "bigger", "three"]
    assert file.content == "three"


def test_a_bad_file_that_is_read_on_a_thread_changes_nothing(path: Path) -> None:
    threads: list[threading.Thread] = []
    is_read = threading.Semaphore(0)

    def noted(path: Path) -> str:
        threads.append(threading.current_thread())
        try:
            return read(path)
        finally:
            is_read.release()

    file = FollowedFile(path, noted, "rules", clock=Clock(), start=on_a_thread)
    assert is_read.acquire(timeout=20)
    for text, told in (("bad", ("one", False)), ("three", ("three", True))):
        write(path, text)
        file.follow()
        assert is_read.acquire(timeout=20)
        done = threading.Event()
        on_a_thread(done.set)  # behind the reading
        assert done.wait(20)
        assert (file.content, file.is_in_force) == told
    assert threads[0] is threading.current_thread()
    assert threading.current_thread() not in threads[1:]
