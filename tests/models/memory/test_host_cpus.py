"""Processors and the quotas of cgroups: the least of all that enclose this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.memory import host_cpus
from models.memory.host_cpus import cpu_quota, num_threads, usable_cpus

V1 = {"cpu/pod/cpu.cfs_quota_us": "250000", "cpu/pod/cpu.cfs_period_us": "100000"}


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "200000 100000\n"}, 2.0),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_the_containers_quota(tmp_path: Path, files: dict[str, str], expected: float) -> None:
    write(tmp_path, {f"sys/fs/cgroup/{name}": text for name, text in files.items()})
    assert cpu_quota(tmp_path) == expected


def test_this_process_has_cpus() -> None:
    assert usable_cpus() >= 1


@pytest.mark.parametrize(
    ("group", "limits", "expected"),
    [
        ("0::/pod/one\n", {"pod/one/cpu.max": "max 100000", "pod/cpu.max": "300000 100000"}, 3.0),
        ("0::/pod/one\n", {"pod/one/cpu.max": "150000 100000", "cpu.max": "900000 100000"}, 1.5),
        ("0::/../host\n", {"cpu.max": "200000 100000"}, 2.0),
        (
            "5:cpuset:/x\n3:cpu,cpuacct:/pod\n",
            V1,
            2.5,
        ),
        (
            "3:cpuset:/pod\n",
            V1,
            None,
        ),
        ("0::/\n", {"cpu.max": "nonsense here"}, None),
        ("0::/\n", {"cpu.max": "100000 0"}, None),
    ],
)
def test_the_least_of_all_enclosing_groups_counts(
    tmp_path: Path, group: str, limits: dict[str, str], expected: float | None
) -> None:
    write(tmp_path, {"proc/self/cgroup": group})
    write(tmp_path, {f"sys/fs/cgroup/{name}": text for name, text in limits.items()})
    assert cpu_quota(tmp_path) == expected


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max 100000", 8), ("50000 100000", 1), ("390000 100000", 3), ("9900000 100000", 8)],
)
def test_threads_are_as_many_as_the_quota_feeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, expected: int
) -> None:
    monkeypatch.setattr(host_cpus, "usable_cpus", lambda: 8)
    write(tmp_path, {"sys/fs/cgroup/cpu.max": limit})
    assert num_threads(tmp_path) == expected
