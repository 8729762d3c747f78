"""The memory for a model here: a GPU's before the host's."""

from __future__ import annotations

import stat

import pytest

from models.memory import this_machine
from models.memory.fit import Place

LOG = (
    "<nvidia_smi_log><gpu><product_name>A</product_name><fb_memory_usage><total>24000 MiB</total>"
    "<free>1 MiB</free></fb_memory_usage></gpu><gpu><product_name>B</product_name>"
    "<fb_memory_usage><total>8000 MiB</total><free>1 MiB</free></fb_memory_usage></gpu>"
    "</nvidia_smi_log>"
)


def test_of_several_gpus_the_smallest_counts(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\necho '{LOG}'\n")
    command.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    room = this_machine.room()
    assert room is not None
    assert (room.place, room.num_bytes) == (Place.GPU, 8000 << 20)
    assert str(room) == "8.4 GB of one GPU"


def test_without_a_gpu_it_is_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(this_machine.shutil, "which", lambda _: None)
    monkeypatch.setattr(this_machine.host_memory, "available_bytes", lambda: 5 * 10**9)
    room = this_machine.room()
    assert room is not None
    assert (room.place, str(room)) == (Place.CPU, "5.0 GB of memory that is free")
    monkeypatch.setattr(this_machine.host_memory, "available_bytes", lambda: None)
    assert this_machine.room() is None
