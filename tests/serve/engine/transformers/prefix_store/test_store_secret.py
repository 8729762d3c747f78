"""Secrets: made once, read by all, the operator's own where there is one, and never shown."""

from __future__ import annotations

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serve.engine.transformers.prefix_store.store_secret import StoreSecret, open_secret
from serve.errors import StartupError

RAW = bytes(range(32))


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_a_folder_has_one_secret_whoever_asks_first(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    with ThreadPoolExecutor(8) as threads:
        secrets = list(threads.map(lambda _: open_secret(folder, None), range(16)))
    assert len({secret.key_id for secret in secrets}) == 1
    assert (folder / "store.key").stat().st_mode & 0o777 == 0o600
    assert open_secret(tmp_path / "other", None) != secrets[0]


@pytest.mark.parametrize(
    "encode",
    [lambda raw: raw.hex().encode(), lambda raw: raw.hex().upper().encode(), base64.b64encode],
)
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_operators_secret_is_read_and_none_is_made(
    tmp_path: Path, encode: Callable[[bytes], bytes], end: bytes
) -> None:
    path = written(tmp_path / "key", encode(RAW) + end)
    assert open_secret(tmp_path / "cache", path) == StoreSecret(RAW)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", RAW, RAW.hex().encode()[:-2], base64.b64encode(RAW[:31]), b"g" * 64]
)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "key", content)
    with pytest.raises(StartupError, match="openssl rand -hex 32") as caught:
        open_secret(tmp_path / "cache", path)
    assert not content or content.decode("latin-1") not in str(caught.value)


def test_what_is_open_to_others_or_damaged_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    open_secret(folder, None)
    (folder / "store.key").chmod(0o644)
    with pytest.raises(StartupError, match=r"--prefix-cache-dir.*store\.key .*chmod 600"):
        open_secret(folder, None)
    written(folder / "store.key", b"short")
    with pytest.raises(StartupError, match=r"store\.key is damaged"):
        open_secret(folder, None)
    folder.chmod(0o755)
    with pytest.raises(StartupError, match="this user alone may enter"):
        open_secret(folder, None)
    with pytest.raises(StartupError, match=r"--prefix-cache-key-file.*[Nn]o such file"):
        open_secret(tmp_path / "new", tmp_path / "absent")


def test_keys_are_apart_and_nothing_shows_them() -> None:
    secret = StoreSecret(RAW)
    keys = [secret.cache_salts_key, secret.file_key(b"a" * 32), secret.file_key(b"b" * 32), RAW]
    assert len(set(keys)) == 4
    assert secret.key_id not in b"".join(keys)
    assert repr(secret) == "StoreSecret()"
