"""The spool: nothing that was written is lost or sent twice, whatever tore or ended it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from serve.governance.limits import spool as spooling
from serve.governance.limits.spool import Spool
from serve.storage.counting.counters import Claim
from serve.storage.ledger import LedgerRow, Settlement


def settlement(number: int) -> Settlement:
    row = LedgerRow(
        request_id=f"req-{number}",
        finished_at_ms=number,
        day="2026-11-29",
        tenant="tenant",
        owner="ann ü",
        key_id="key",
        model="demo",
        route="/v1/completions",
        outcome="stop",
        prompt_tokens=number,
        cached_tokens=0,
        completion_tokens=1,
        reasoning_tokens=0,
        cost_micros=5,
        currency="EUR",
    )
    claim = Claim(account=f"a/{number}", amount=number, limit=9, keep_ms=5, is_enforced=False)
    return Settlement(claims=(claim,), row=row)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def filled(folder: Path, numbers: range) -> None:
    spool = Spool(folder)
    for number in numbers:
        await spool.append(settlement(number))
    await spool.close()


async def test_what_is_written_is_read_after_a_restart(tmp_path: Path) -> None:
    await filled(tmp_path, range(3))
    spool = Spool(tmp_path)
    assert spool.num_rows == 3
    assert spool.oldest(2) == [settlement(0), settlement(1)]
    spool.sent(2)
    assert spool.oldest(9) == [settlement(2)]
    spool.sent(1)
    assert spool.is_empty
    assert (tmp_path / "usage-spool-0.jsonl").read_bytes() == b""
    await spool.close()


async def test_many_at_once_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    spool = Spool(tmp_path)
    monkeypatch.setattr(spooling.durable, "sync", syncs.append)
    await asyncio.gather(*(spool.append(settlement(number)) for number in range(50)))
    assert len(syncs) <= 2
    assert {each.row.request_id for each in spool.oldest(99)} == {f"req-{n}" for n in range(50)}
    await spool.close()


async def test_cut_at_every_byte_it_keeps_the_longest_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_proving: bool
) -> None:
    monkeypatch.setattr(spooling.durable, "sync", lambda _: None)
    monkeypatch.setattr(spooling.durable, "sync_folder", lambda _: None)
    await filled(tmp_path, range(3))
    path = tmp_path / "usage-spool-0.jsonl"
    whole = path.read_bytes()
    for size in range(0, len(whole) + 1, 1 if is_proving else 61):
        path.write_bytes(whole[:size])
        spool = Spool(tmp_path)
        assert spool.num_rows == whole[:size].count(b"\n")
        assert spool.oldest(9) == [settlement(number) for number in range(spool.num_rows)]
        await spool.append(settlement(9))
        assert spool.oldest(9)[-1] == settlement(9)
        await spool.close()


async def test_a_torn_end_is_told_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(tmp_path, range(2))
    path = tmp_path / "usage-spool-0.jsonl"
    path.write_bytes(path.read_bytes() + b"0000 {torn")
    await Spool(tmp_path).close()
    assert "torn" in caplog.text
    assert (tmp_path / "usage-spool-0.torn").read_bytes() == b"0000 {torn"


async def test_a_damaged_line_costs_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(tmp_path, range(4))
    path = tmp_path / "usage-spool-0.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"req-1", b"r\nq-1")
    path.write_bytes(b"".join(lines) + b"torn")
    spool = Spool(tmp_path)
    assert [each.row.request_id for each in spool.oldest(9)] == ["req-0", "req-2", "req-3"]
    spool.sent(3)
    assert spool.is_empty
    assert "damaged" in caplog.text
    assert (tmp_path / "usage-spool-0.torn").read_bytes() == lines[1] + b"torn"
    await spool.close()


async def test_nothing_is_written_once_it_is_closed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    await spool.close()
    reused = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    os.write(reused, b"another's")
    with pytest.raises(OSError, match="closed"):
        await spool.append(settlement(1))
    assert (tmp_path / "other").read_bytes() == b"another's"
    os.close(reused)


async def test_emptying_it_waits_for_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    await spool.append(settlement(1))
    monkeypatch.setattr(spooling.durable, "sync", lambda _: pytest.fail("waits on the loop"))
    spool.sent(len(spool.oldest(9)))
    assert spool.is_empty
    await spool.close()


async def test_a_server_takes_over_what_another_left_and_no_more(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    await first.append(settlement(1))
    second = Spool(tmp_path)
    assert second.is_empty  # the first one runs
    await second.append(settlement(2))
    await first.close()
    await second.close()
    third = Spool(tmp_path)
    assert [each.row.request_id for each in third.oldest(9)] == ["req-1", "req-2"]
    assert names(tmp_path) == ["usage-spool-0.jsonl"]
    await third.close()


async def test_a_disk_that_fails_is_told_and_what_it_tore_is_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    await spool.append(settlement(1))

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            await spool.append(settlement(2))
    await spool.append(settlement(3))
    assert [each.row.request_id for each in spool.oldest(9)] == ["req-1", "req-3"]
    await spool.close()


async def test_it_is_full_at_its_bound(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=10)
    assert not spool.is_full
    await spool.append(settlement(1))
    assert spool.is_full
    await spool.close()


async def test_what_is_being_written_is_not_sent_before_it_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    seen: list[int] = []
    sync = spooling.durable.sync

    def looked_at(file: int) -> None:
        seen.append(len(spool.oldest(9)))
        sync(file)

    with monkeypatch.context() as patched:
        patched.setattr(spooling.durable, "sync", looked_at)
        await spool.append(settlement(1))
    assert seen == [0]
    assert spool.oldest(9) == [settlement(1)]
    spool.sent(1)
    assert (spool.num_rows, spool.is_empty) == (0, True)
    await spool.close()
