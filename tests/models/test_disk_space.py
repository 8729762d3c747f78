from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from models import disk_space
from models.errors import DiskFullError


@pytest.fixture
def free(monkeypatch):
    """Sets what is free on every disk."""

    def to(num_bytes: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=num_bytes))

    return to


def test_room_for_the_bytes_and_the_margin_is_enough(tmp_path, free):
    free(100 + disk_space.MARGIN_BYTES)
    disk_space.check(tmp_path, 100, "Make room.")


def test_one_byte_less_is_told_with_what_there_is_and_what_is_needed(tmp_path, free):
    free(100 + disk_space.MARGIN_BYTES - 1)
    with pytest.raises(DiskFullError) as refused:
        disk_space.check(tmp_path, 100, "Make room.")
    assert str(refused.value) == (
        f"the disk of {tmp_path} has 67.1 MB free. 67.1 MB are needed. Make room."
    )


def test_a_margin_can_be_given(tmp_path, free):
    free(10)
    disk_space.check(tmp_path, 10, "", margin_bytes=0)
    with pytest.raises(DiskFullError):
        disk_space.check(tmp_path, 10, "", margin_bytes=1)


def test_a_disk_that_filled_up_may_not_know_what_is_needed(tmp_path, free):
    free(0)
    assert str(disk_space.disk_full(tmp_path, "Make room.")) == (
        f"the disk of {tmp_path} has 0 B free. Make room."
    )
