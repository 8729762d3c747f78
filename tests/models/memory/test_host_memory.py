"""Free memory, as /proc and the cgroups of a made-up machine tell it."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.memory import host_memory
from models.memory.host_memory import available_bytes

MB = 1 << 20


@pytest.fixture
def machine(tmp_path):
    """Writes files under a root of its own."""

    def write(**files: object) -> None:
        for path, text in files.items():
            file = tmp_path / path.replace("__", "/").replace("_DOT_", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(str(text))

    return write


def meminfo(num_kb: int) -> str:
    return f"MemTotal: 99999999 kB\nMemFree: 1 kB\nMemAvailable:  {num_kb} kB\n"


def cgroup(root, path, **files: object) -> None:
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_outside_of_any_limit_it_is_the_kernels_estimate(machine, tmp_path):
    machine(proc__meminfo=meminfo(1000))
    assert available_bytes(tmp_path) == 1000 * 1024


def test_the_least_of_what_every_enclosing_group_leaves_counts(machine, tmp_path):
    machine(proc__meminfo=meminfo(10**6), proc__self__cgroup="0::/a/b\n")
    cgroup(tmp_path, "a", memory__max=30 * MB, memory__current=10 * MB)
    cgroup(tmp_path, "a/b", memory__max=90 * MB, memory__current=1 * MB)
    assert available_bytes(tmp_path) == 20 * MB


def test_page_cache_that_nobody_uses_is_free(machine, tmp_path):
    machine(proc__meminfo=meminfo(10**6), proc__self__cgroup="0::/a\n")
    stat = f"anon 5\ninactive_file {4 * MB}\nactive_file 7"
    cgroup(tmp_path, "a", memory__max=30 * MB, memory__current=10 * MB, memory__stat=stat)
    assert available_bytes(tmp_path) == 24 * MB


def test_a_group_without_a_limit_does_not_count(machine, tmp_path):
    machine(proc__meminfo=meminfo(1000), proc__self__cgroup="0::/a\n")
    cgroup(tmp_path, "a", memory__max="max", memory__current=10 * MB)
    assert available_bytes(tmp_path) == 1000 * 1024


def test_the_groups_of_version_1_count_too(machine, tmp_path):
    lines = "5:cpu,cpuacct:/x\n4:memory:/x\n1:name=systemd:/y\n"
    machine(proc__meminfo=meminfo(10**6), proc__self__cgroup=lines)
    used = {"memory__limit_in_bytes": 9 * MB, "memory__usage_in_bytes": 2 * MB}
    cgroup(tmp_path, "memory/x", **used)
    assert available_bytes(tmp_path) == 7 * MB


def test_in_a_container_the_mount_shows_only_its_own_group(machine, tmp_path):
    machine(proc__meminfo=meminfo(10**6), proc__self__cgroup="0::/host/docker/abc\n")
    cgroup(tmp_path, "", memory__max=8 * MB, memory__current=3 * MB)
    assert available_bytes(tmp_path) == 5 * MB


def test_a_group_over_its_limit_leaves_nothing(machine, tmp_path):
    machine(proc__meminfo=meminfo(10**6), proc__self__cgroup="0::/a\n")
    cgroup(tmp_path, "a", memory__max=8 * MB, memory__current=9 * MB)
    assert available_bytes(tmp_path) == 0


def test_without_either_half_of_the_machines_memory_is_taken(tmp_path, monkeypatch):
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}
    monkeypatch.setattr(host_memory.os, "sysconf", sizes.__getitem__)
    assert available_bytes(tmp_path) == 4096 * 500


def test_where_nothing_tells_it_is_not_known(tmp_path, monkeypatch):
    def unknown(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(host_memory.os, "sysconf", unknown)
    assert available_bytes(tmp_path) is None


def test_a_file_that_cannot_be_read_is_empty(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff")
    assert host_memory.read_text(tmp_path / "x") == ""
    assert host_memory.read_text(tmp_path / "nowhere") == ""


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


HOST = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n"}


def test_the_host(tmp_path: Path) -> None:
    assert available_bytes(write(tmp_path, HOST)) == 8000 * 1024


def test_a_cgroup_bounds_it(tmp_path: Path) -> None:
    pod = "sys/fs/cgroup/pod"
    root = write(
        tmp_path,
        HOST
        | {
            "proc/self/cgroup": "0::/pod/box\n",
            f"{pod}/memory.max": "1000000\n",
            f"{pod}/memory.current": "700000\n",
            f"{pod}/memory.stat": "anon 1\ninactive_file 50000\n",
            f"{pod}/box/memory.max": "max\n",
            f"{pod}/box/memory.current": "100\n",
        },
    )
    assert available_bytes(root) == 350_000


def test_inside_a_container_only_the_mount_root_is_there(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        HOST
        | {
            "proc/self/cgroup": "0::/kubepods/pod1/box\n",
            "sys/fs/cgroup/memory.max": "500000\n",
            "sys/fs/cgroup/memory.current": "600000\n",
        },
    )
    assert available_bytes(root) == 0


def test_version_one(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        HOST
        | {
            "proc/self/cgroup": "5:cpu:/a\n4:memory:/docker\n",
            "sys/fs/cgroup/memory/docker/memory.limit_in_bytes": "3000000",
            "sys/fs/cgroup/memory/docker/memory.usage_in_bytes": "1000000",
        },
    )
    assert available_bytes(root) == 2_000_000


def test_elsewhere_it_guesses_or_does_not_know(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) != 0
