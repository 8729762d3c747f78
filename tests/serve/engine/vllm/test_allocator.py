"""Large buffers go back to the system, in a process of its own: the setting is for good."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from pathlib import Path
from serve.engine.vllm.allocator import return_large_buffers

def resident_kib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

if {is_set}:
    assert return_large_buffers()
before = resident_kib()
for _ in range(2):  # the first one that is freed raises the bound, unless it is set
    buffers = [bytes(b"x" * (3 << 20)) for _ in range(8)]
    pins = [bytes(b"y" * (64 << 10)) for _ in range(8)]  # lie behind them
    del buffers
print(resident_kib() - before)
"""


@pytest.mark.parametrize("is_set", [True, False])
def test_freed_buffers_are_gone(is_set: bool) -> None:
    program = PROGRAM.format(is_set=is_set)
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    grown_kib = int(ran.stdout)
    if is_set:
        assert grown_kib < 4 << 10
    else:
        assert grown_kib > 8 << 10, "glibc gives them back by itself: the setting is not needed"
