"""The audit log of whole servers: killed at any moment, and on a disk that fails.

No client knows of an answer that is not in the log, no call ends twice, and the log verifies.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from serve.governance.audit.log.verifying import verify
from serve.governance.audit.records import chunks
from serve.governance.audit.records.canonical import decoded
from serve.governance.audit.records.durable_log import open_durable
from serve.governance.audit.tlog.key_files import read_verifiers
from tests import programs
from tests.e2e import audit_faults
from tests.house.tree import ROOT
from tests.kills import num_kills

WRONG = ("lost", "double_begins", "double_ends", "without_end", "without_begin", "breaks")


def test_no_kill_loses_what_a_client_was_told(
    tmp_path: Path, pytestconfig: pytest.Config, is_proving: bool
) -> None:
    count = num_kills(pytestconfig, quick=2, prove=1000)
    found = _killed("tests.e2e.audit_kills", tmp_path, count)
    assert found["acknowledged"] > (count if is_proving else 0)


def test_no_kill_of_vllm_or_its_server_loses_what_a_client_was_told(
    tmp_path: Path, is_proving: bool
) -> None:
    if not is_proving:
        pytest.skip("half a minute for a kill: make prove")
    pytest.importorskip("vllm", reason="vLLM is not installed")
    assert _killed("tests.e2e.audit_vllm_kills", tmp_path, 50)["acknowledged"] > 50


def _killed(program: str, folder: Path, count: int) -> dict[str, int]:
    """The figures of a program that kills, none of which may be wrong."""
    run = subprocess.run(
        [sys.executable, "-m", program, str(folder), str(count), "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120 + 90 * count,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    found: dict[str, int] = json.loads(run.stdout.splitlines()[-1])
    assert {name: found[name] for name in WRONG} == dict.fromkeys(WRONG, 0), found
    assert found["kills"] == count
    return found


def told_by(folder: Path, injection: str, num_calls: int) -> list[list[str]]:
    """The lines of a run whose log's journal meets this fault."""
    trace = programs.find("strace")
    assert trace is not None
    journal = folder / "a" / "journal"
    command = [
        *(trace, "-f", "-qq", "--seccomp-bpf", "-o", os.devnull),
        *("-e", f"trace={injection.partition(':')[0]}", "-e", f"inject={injection}"),
        *(part for n in range(600) for part in ("-P", str(journal / f"{n:020d}.journal"))),
        *(sys.executable, "-m", "tests.e2e.audit_faults", str(folder), str(num_calls)),
    ]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return [line.split() for line in run.stdout.splitlines()]


async def _records_of(folder: Path) -> list[dict[str, Any]]:
    log = await open_durable(folder / "a", folder / "a.key")
    found = [decoded(entry) for entry in log.read(0, log.size)]
    await log.close()
    return found


QUICK_NUMBER, QUICK_CALLS = 4, 3
PROVEN_NUMBERS, PROVEN_CALLS = range(2, 201), 28
"""The first write is the start's own. Two calls, one of them a stream, write 18 times."""


@programs.needs("strace")
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_a_disk_that_fails_leaves_no_answer_unrecorded(
    tmp_path: Path, is_proving: bool, call: str, error: str
) -> None:
    """A write for each record: each of the first 200 writes of the journal is met in turn."""
    if not is_proving:
        if (call, error) != ("fdatasync", "EIO"):
            pytest.skip("a sync that fails is enough for a quick look: make prove")
        _judge(tmp_path / "quick", call, error, QUICK_NUMBER, QUICK_CALLS)
        return
    met = 0
    for number in PROVEN_NUMBERS:
        met += _judge(tmp_path / f"{number}", call, error, number, PROVEN_CALLS)
    assert met == len(PROVEN_NUMBERS)


class ShortWrite:
    """A wrapper of os.write: the journal's n-th takes a half, and what follows finds no room.

    Attributes:
        num_failed: writes that did not go to the end.
    """

    def __init__(self, number: int) -> None:
        self._left = number
        self._write = os.write
        self.num_failed = 0

    def __call__(self, descriptor: int, data: memoryview) -> int:
        if not threading.current_thread().name.startswith("journal"):
            return self._write(descriptor, data)
        self._left -= 1
        if self._left == 0:
            return self._write(descriptor, data[: len(data) // 2])
        if self._left == -1:
            self.num_failed += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(descriptor, data)


def test_a_write_that_is_cut_short_leaves_no_answer_unrecorded(
    tmp_path: Path, is_proving: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for a write of which the disk takes a half, within this process."""
    monkeypatch.setattr(chunks, "PAUSE_S", 0.0)

    async def lines_of(folder: Path) -> list[list[str]]:
        return [line.split() async for line in audit_faults.told(folder, PROVEN_CALLS)]

    for number in PROVEN_NUMBERS if is_proving else (20,):
        short = ShortWrite(number)
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", short)
            lines = asyncio.run(lines_of(tmp_path / f"{number}"))
        assert short.num_failed == 1
        assert _num_refused(tmp_path / f"{number}", lines) == 1


def _judge(folder: Path, call: str, error: str, number: int, num_calls: int) -> int:
    """Let the journal's n-th call fail, and compare answers and log. How many answers it cost."""
    lines = told_by(folder, f"{call}:error={error}:when={number}", num_calls)
    assert len(lines) == num_calls
    return _num_refused(folder, lines)


def _num_refused(folder: Path, lines: list[list[str]]) -> int:
    """The number of calls that were refused or cut: one at most, and all others are in the log."""
    failed = [line for line in lines if line[0] != "whole"]
    assert len(failed) <= 1, failed
    assert all(line[-1] == "audit_unavailable" for line in failed), failed
    records = asyncio.run(_records_of(folder))
    ends = [record for record in records if record["type"] == "end"]
    begun = [record["id"] for record in records if record["type"] == "begin"]
    assert sorted(begun) == sorted(record["id"] for record in ends)
    done = {each["id"] for each in ends if each["outcome"] == "done" and "late" not in each}
    whole = {f"req-{line[1].rpartition('-')[2]}" for line in lines if line[0] == "whole"}
    assert done == whole
    assert verify(folder / "a", read_verifiers(folder / "a.key.pub")).bad is None
    shutil.rmtree(folder)
    return len(failed)
