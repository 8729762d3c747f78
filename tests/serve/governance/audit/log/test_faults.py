"""Failing disks, made by strace: what is acknowledged is there, and what is not was refused."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import programs
from tests.house.tree import ROOT
from tests.serve.governance.audit.log.logs import fill, read, verified

CALLS = {"write": ("EIO", "ENOSPC", "EINTR"), "fdatasync": ("EIO", "ENOSPC", "EINTR")}
NUM = 205
"""Entries, each in a write of its own."""


def told_by(folder: Path, injection: str, num: int) -> tuple[list[str], list[str]]:
    """Names that were acknowledged, in order, and those that were refused."""
    trace = programs.find("strace")
    assert trace is not None
    call = injection.partition(":")[0]
    tracer = [
        *(trace, "-f", "-qq", "--seccomp-bpf", "-o", os.devnull),
        *("-e", f"trace={call}", "-e", f"inject={injection}"),
        # The journal alone: what the program says must arrive.
        *(
            part
            for index in range(num * 2)
            for part in ("-P", str(folder / "journal" / f"{index:020d}.journal"))
        ),
    ]
    done = subprocess.run(
        [
            *tracer,
            sys.executable,
            "-m",
            "tests.serve.governance.audit.log.faulty_writer",
            str(folder),
            str(num),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    acknowledged = {int(line[1]): line[2] for line in lines if line[0] == "ok"}
    assert list(acknowledged) == list(range(len(acknowledged)))
    return list(acknowledged.values()), [line[1] for line in lines if line[0] == "no"]


def checked(folder: Path, injection: str, num: int = NUM) -> int:
    """How many were refused; all others are in the log, in their order."""
    acknowledged, refused = told_by(folder, injection, num)
    assert len(acknowledged) + len(refused) == num
    asyncio.run(fill(folder, []))
    assert [entry.decode() for entry in read(folder)] == acknowledged
    assert verified(folder).bad is None
    return len(refused)


@programs.needs("strace")
@pytest.mark.parametrize("call", CALLS)
def test_an_error_of_the_disk_refuses_or_is_made_good(tmp_path, is_proving, call):
    for number in range(1, 201) if is_proving else (3,):
        for error in CALLS[call] if is_proving else ("EIO",):
            num_refused = checked(
                tmp_path / f"{error}-{number}",
                f"{call}:error={error}:when={number}",
                NUM if is_proving else 5,
            )
            assert num_refused == (0 if error == "EINTR" else 1), (error, number)


@programs.needs("strace")
def test_a_disk_that_stays_full_refuses_everything(tmp_path, is_proving):
    if not is_proving:
        pytest.skip("ten runs of a traced program: make prove")
    for number in range(1, 201, 20):
        refused = checked(tmp_path / str(number), f"write:error=ENOSPC:when={number}+")
        assert refused == NUM - number + 1
