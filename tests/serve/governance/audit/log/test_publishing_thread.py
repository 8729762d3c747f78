"""The publishing thread: when it publishes, what it does after a failure, how it ends."""

from __future__ import annotations

import threading

import pytest

from serve.governance.audit.log import publishing_thread
from serve.governance.audit.log.errors import LogUnavailable
from serve.governance.audit.log.publishing_thread import PublishingThread


class Tree:
    """A publisher that writes nothing; it may fail."""

    def __init__(self) -> None:
        self.published: list[list[bytes]] = []
        self.errors: list[Exception] = []
        self.changed = threading.Event()
        self.told: list[int] = []

    @property
    def size(self) -> int:
        return sum(map(len, self.published))

    def publish(self, entries):
        if self.errors:
            raise self.errors.pop(0)
        self.published.append(entries)

    def tell(self, size):
        self.told.append(size)
        self.changed.set()

    def thread(self, waiting=(), *, every_s=3600.0, num_at_once=3) -> PublishingThread:
        return PublishingThread(
            self, waiting, every_s=every_s, num_at_once=num_at_once, on_published=self.tell
        )


def test_many_entries_do_not_wait():
    tree = Tree()
    thread = tree.thread()
    thread.add([b"1"])
    thread.add([b"2"])
    thread.add([b"3", b"4"])
    assert tree.changed.wait(10)
    assert tree.published == [[b"1", b"2", b"3", b"4"]]
    assert thread.published_size == 4
    thread.close()
    assert tree.told == [4]


def test_a_few_wait_for_a_time_and_those_at_the_end_for_none():
    tree = Tree()
    thread = tree.thread(every_s=0.001)
    thread.add([b"1"])
    assert tree.changed.wait(10)
    thread.close()
    tree = Tree()
    thread = tree.thread([b"from the last time"])
    thread.add([b"2"])
    thread.close()
    assert tree.published == [[b"from the last time", b"2"]]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "cannot be written: No space left on device"),
        (ZeroDivisionError(), "a defect, ZeroDivisionError"),
    ],
)
def test_what_failed_is_tried_again_with_all_that_waits(monkeypatch, error, reason):
    monkeypatch.setattr(publishing_thread, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(publishing_thread, "MIN_PAUSE_S", 0.0)
    monkeypatch.setattr(publishing_thread, "MAX_WAITING", 2)
    tree = Tree()
    tree.errors = [error] * 2
    thread = tree.thread(num_at_once=1)
    thread.add([b"1", b"2"])
    while not thread.failure:
        tree.changed.wait(0.001)
    assert reason in thread.failure
    with pytest.raises(LogUnavailable, match=reason):
        thread.check()
    thread.add([b"3"])
    assert tree.changed.wait(10)
    assert tree.published == [[b"1", b"2", b"3"]]
    thread.close()
    assert not thread.failure
    thread.check()
