"""Free memory as a container sees it."""

from __future__ import annotations

from pathlib import Path

from models.memory.host_memory import available_bytes


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
