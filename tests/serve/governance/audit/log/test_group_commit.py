"""Group commit: one commit for all that a turn of the loop appends, and each told its own index."""

from __future__ import annotations

import asyncio
import threading

import pytest

from serve.governance.audit.log.errors import LogUnavailable
from serve.governance.audit.log.group_commit import GroupCommit


class Disk:
    """What was committed, group by group; it may fail."""

    def __init__(self) -> None:
        self.groups: list[list[bytes]] = []
        self.errors: list[Exception] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def commit(self, payloads: list[bytes]) -> int:
        self.may_go_on.wait(10)
        if self.errors:
            raise self.errors.pop(0)
        self.groups.append(payloads)
        return sum(map(len, self.groups)) - len(payloads)


async def test_a_turn_of_the_loop_is_one_group():
    disk = Disk()
    commits = GroupCommit(disk.commit, "test")
    told = await asyncio.gather(
        *(commits.append([b"%d" % number] * (number + 1)) for number in range(3))
    )
    assert disk.groups == [[b"0", b"1", b"1", b"2", b"2", b"2"]]
    assert told == [0, 1, 3]
    await commits.close()


async def test_what_comes_meanwhile_is_the_next_group():
    disk = Disk()
    commits = GroupCommit(disk.commit, "test")
    disk.may_go_on.clear()
    first = asyncio.create_task(commits.append([b"a"]))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(commits.append([one])) for one in (b"b", b"c")]
    await asyncio.sleep(0)
    others[0].cancel()
    closing = asyncio.create_task(commits.close())
    await asyncio.sleep(0)
    with pytest.raises(LogUnavailable, match="the log is closed"):
        await commits.append([b"d"])
    disk.may_go_on.set()
    await closing
    assert disk.groups == [[b"a"], [b"b", b"c"]]
    assert (await first, await others[1]) == (0, 2)


async def test_a_failure_is_told_to_the_whole_group_and_to_no_later_one():
    disk = Disk()
    disk.errors = [LogUnavailable("the disk is full")]
    commits = GroupCommit(disk.commit, "test")
    told = await asyncio.gather(*(commits.append([b"x"]) for _ in range(3)), return_exceptions=True)
    assert [str(one) for one in told] == ["the disk is full"] * 3
    assert await commits.append([b"y"]) == 0
    await commits.close()


async def test_a_defect_ends_the_commits_for_good():
    disk = Disk()
    disk.errors = [ZeroDivisionError()]
    commits = GroupCommit(disk.commit, "test")
    for _ in range(2):
        with pytest.raises(LogUnavailable, match="a defect of the log's thread: ZeroDivisionError"):
            await commits.append([b"x"])
    assert not disk.groups
    await commits.close()


async def test_a_group_has_a_bound(monkeypatch):
    monkeypatch.setattr("serve.governance.audit.log.group_commit.MAX_GROUP_BYTES", 4)
    disk = Disk()
    commits = GroupCommit(disk.commit, "test")
    told = await asyncio.gather(*(commits.append([b"ab"]) for _ in range(5)))
    assert [len(group) for group in disk.groups] == [2, 2, 1]
    assert told == [0, 1, 2, 3, 4]
    await commits.close()


def test_a_loop_that_ended_keeps_nobody_waiting():
    disk = Disk()
    commits = GroupCommit(disk.commit, "test")

    async def give_up():
        disk.may_go_on.clear()
        task = asyncio.create_task(commits.append([b"a"]))
        await asyncio.sleep(0.01)
        task.cancel()

    async def go_on():
        disk.may_go_on.set()
        assert await commits.append([b"b"]) == 1
        await commits.close()

    asyncio.run(give_up())
    asyncio.run(go_on())
