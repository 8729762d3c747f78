"""Publishing: the same files whatever failed on the way, and no checkpoint before its tiles."""

from __future__ import annotations

import errno
import os

import pytest

from serve.governance.audit.log.publishing import Publisher
from serve.governance.audit.log.tile_files import TileFiles
from serve.governance.audit.tlog.frontier import Frontier
from tests.serve.governance.audit.log.logs import SIGNER, read, some, verified


def publisher(folder) -> Publisher:
    return Publisher(TileFiles(folder), SIGNER.name, SIGNER, Frontier(), [])


def files(folder) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".new")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_tree_is_the_same_however_it_grew(tmp_path):
    entries = some(700)
    found = {}
    for name, steps in (("once", [700]), ("often", [1, 255, 256, 300, 512, 700])):
        one = publisher(tmp_path / name)
        for start, end in zip([0, *steps], steps, strict=False):
            one.publish(entries[start:end])
            assert one.size == end
        assert read(tmp_path / name) == entries
        assert verified(tmp_path / name).is_ok
        found[name] = files(tmp_path / name)
    extra = found["often"].keys() - found["once"].keys()
    assert all(name.startswith("tile/1/000.p/") for name in extra)  # of its older checkpoints
    assert found["once"].items() <= found["often"].items()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_at_any_call_is_made_good_by_the_next_try(tmp_path, monkeypatch, call):
    entries = some(300)
    expected = publisher(tmp_path / "expected")
    expected.publish(entries[:250])
    expected.publish(entries[250:])
    real, left = getattr(os, call), [-1]

    def counted(*arguments):
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*arguments)

    monkeypatch.setattr(os, call, counted)
    for number in range(1, 100):
        folder = tmp_path / str(number)
        one = publisher(folder)
        one.publish(entries[:250])
        before = (folder / "checkpoint").read_bytes()
        left[0] = number
        try:
            one.publish(entries[250:])
        except OSError:
            assert one.size == 250
            if call == "replace":
                assert (folder / "checkpoint").read_bytes() == before
            one.publish(entries[250:])
        assert files(folder) == files(tmp_path / "expected")
        if left[0] > 0:
            break
    assert number > 6
