"""The key file in a Secret's volume is read by any user, and through the kubelet's exchange."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serve.errors import InvalidApiKey, StartupError
from serve.governance.identity import keys
from serve.governance.identity.key_file import read_keys
from tests.k8s.kubelet import mount

FS_GROUP, OPENSHIFTS = 10001, 1000650000


@contextmanager
def user(uid: int, gid: int, fs_group: int) -> Iterator[None]:
    groups = os.getgroups()
    os.setgroups([fs_group])
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def key_file(folder: Path, *names: str) -> tuple[dict[str, bytes], list[str]]:
    """A Secret's data with keys of these names, and the keys."""
    path = folder / "made.json"
    path.unlink(missing_ok=True)
    made = [keys.create(path, name=name) for name in names]
    return {"keys.json": path.read_bytes()}, made


def test_a_ring_follows_the_exchange_of_a_whole_folder(tmp_path: Path) -> None:
    clock = 0.0
    volume = tmp_path / "volume"
    first, (ours,) = key_file(tmp_path, "ward-3")
    mount(volume, first)
    (volume / "keys.json").resolve().chmod(0o600)  # whose it is here, no group may read
    ring = keys.KeyRing(volume / "keys.json", clock=lambda: clock)
    assert ring.authenticate(ours).name == "ward-3"
    second, (theirs,) = key_file(tmp_path, "ward-4")
    mount(volume, second)
    (volume / "keys.json").resolve().chmod(0o600)
    clock = 2.0
    assert ring.authenticate(theirs).name == "ward-4"
    with pytest.raises(InvalidApiKey):
        ring.authenticate(ours)
    mount(volume, {})
    clock = 4.0
    assert ring.authenticate(theirs).name == "ward-4"  # emptied: those known stay


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("uid", "gid", "fs_group"), [(10001, 10001, FS_GROUP), (OPENSHIFTS, 0, OPENSHIFTS)]
)
def test_the_users_of_a_cluster_read_it(uid: int, gid: int, fs_group: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        data, (key,) = key_file(folder, "ward-3")
        mount(folder / "volume", data, group=fs_group)
        path = folder / "volume" / "keys.json"
        with user(uid, gid, fs_group):
            ring = keys.KeyRing.load(path)
            assert ring.authenticate(key).name == "ward-3"
        mount(folder / "volume", data, mode=0o444, group=fs_group)
        with user(uid, gid, fs_group), pytest.raises(StartupError, match="mode 0444"):
            read_keys(path)
        mount(folder / "volume", data, group=65534)  # an fsGroup that the pod lacks
        with user(uid, gid, fs_group), pytest.raises(StartupError, match="Permission denied"):
            read_keys(path)
