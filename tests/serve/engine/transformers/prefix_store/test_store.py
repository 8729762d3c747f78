"""A store over a small cache: the hottest are kept, and what cannot be used leaves it empty."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch

from models import durable
from serve.engine.transformers.block_pool import BlockPool
from serve.engine.transformers.kv_cache import BLOCK_SIZE, KVCache, LayerShape
from serve.engine.transformers.prefix_store import sealed_file, store
from serve.engine.transformers.prefix_store.block_bytes import BlockBytes
from serve.engine.transformers.prefix_store.store import MOST_FILES, PrefixStore
from serve.engine.transformers.prefix_store.store_secret import StoreSecret

SHAPES = {0: LayerShape(num_kv_heads=1, key_dim=4, value_dim=4, sliding_window=None)}
SECRET = StoreSecret(b"s" * 32)


def cache_of(num_blocks: int) -> KVCache:
    device = torch.device("cpu")
    return KVCache(SHAPES, num_blocks=num_blocks, dtype=torch.float32, device=device)


def key(name: str) -> bytes:
    return name.encode().ljust(32, b".")


def filled(chains: list[list[str]], num_blocks: int = 16) -> tuple[BlockPool, KVCache]:
    """A pool and a cache with these chains of blocks, in which each block holds its own number.

    A chain that begins with those of one before it uses these.
    """
    pool, cache = BlockPool(num_blocks, keeps=True), cache_of(num_blocks)
    for chain in chains:
        found = pool.find([key(name) for name in chain])
        pool.hold(found)
        pool.count_use(found)
        taken = pool.take(len(chain) - len(found))
        assert taken is not None
        for at, block_id in enumerate(taken, start=len(found)):
            cache.keys[0][block_id] = float(number_of(chain[at]))
            cache.values[0][block_id] = -float(number_of(chain[at]))
            parent = key(chain[at - 1]) if at else None
            pool.keep(block_id, key(chain[at]), is_exact=at % 2 == 0, parent=parent)
        pool.release([*found, *taken])
    return pool, cache


def number_of(name: str) -> int:
    return int.from_bytes(name.encode()) % 1000 + 1


def names(pool: BlockPool) -> list[str]:
    return [kept.key.rstrip(b".").decode() for kept in pool.hottest_first()]


@pytest.fixture
def subject(tmp_path: Path) -> PrefixStore:
    tmp_path.chmod(0o700)
    return PrefixStore(folder=tmp_path, secret=SECRET, identity=b"i" * 32, max_bytes=1 << 20)


def loaded(subject: PrefixStore, num_blocks: int = 16) -> tuple[BlockPool, KVCache, int]:
    pool, cache = BlockPool(num_blocks, keeps=True), cache_of(num_blocks)
    return pool, cache, subject.load(pool, cache)


CHAINS = [["a", "b", "c"], ["x", "y"], ["a", "b", "d"]]


def test_what_was_saved_is_found_with_its_content(subject: PrefixStore) -> None:
    saved, content = filled(CHAINS)
    subject.save(saved, content)
    pool, cache, num_tokens = loaded(subject)
    assert num_tokens == 6 * BLOCK_SIZE
    assert pool.num_available == 16
    for chain in CHAINS:
        found = pool.find([key(name) for name in chain])
        assert len(found) == len(chain)
        for at, block_id in enumerate(found):
            assert bool((cache.keys[0][block_id] == float(number_of(chain[at]))).all())
            assert bool((cache.values[0][block_id] == -float(number_of(chain[at]))).all())
            assert pool.is_exact(block_id) is (at % 2 == 0)
    assert names(pool) == names(saved)
    assert subject.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in subject.folder.iterdir()] == [subject.path.name]


def test_a_smaller_pool_takes_the_hottest_and_gives_up_the_coldest_first(
    subject: PrefixStore,
) -> None:
    subject.save(*filled(CHAINS))
    pool, _, num_tokens = loaded(subject, 3)
    assert num_tokens == 3 * BLOCK_SIZE
    assert names(pool) == ["a", "b", "d"]
    assert pool.take(1) is not None
    assert names(pool) == ["a", "b"]
    assert pool.num_available == 2


def test_a_bound_of_bytes_holds_for_the_file(subject: PrefixStore) -> None:
    pool, cache = filled(CHAINS)
    block_bytes = BlockBytes.num_bytes(cache)
    bound = next(size for size in count(0, 64) if sealed_file.most_blocks(size, block_bytes) == 4)
    small = replace(subject, max_bytes=bound)
    small.save(pool, cache)
    assert small.path.stat().st_size <= bound
    assert names(loaded(small)[0]) == names(pool)[:4]


def test_after_its_time_a_save_ends_with_what_it_has(
    subject: PrefixStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count(0, 2)
    monkeypatch.setattr(store, "_SYNC_BYTES", 1)
    slow = replace(subject, clock=lambda: float(next(ticks)))
    pool, cache = filled(CHAINS)
    slow.save(pool, cache)
    assert names(loaded(subject)[0]) == names(pool)[:2]


def test_uses_fade_from_run_to_run(subject: PrefixStore) -> None:
    subject.save(*filled([["a"]] * 10))
    seen = []
    for _ in range(5):
        pool, cache, _ = loaded(subject)
        seen += [kept.num_uses for kept in pool.hottest_first()]
        subject.save(pool, cache)
    assert seen == [4, 2, 1, 0, 0]


def test_an_empty_cache_leaves_what_was_saved(subject: PrefixStore) -> None:
    subject.save(*filled(CHAINS))
    subject.save(BlockPool(4, keeps=True), cache_of(4))
    assert loaded(subject)[2] == 6 * BLOCK_SIZE


def open_to_others(path: Path) -> None:
    path.chmod(0o640)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def change_the_last_block(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def claim_a_terabyte(path: Path) -> None:
    os.truncate(path, 1 << 40)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (open_to_others, "chmod 600"),
        (cut, "not whole"),
        (change_the_last_block, "damaged"),
        (link, "is a link"),
        (pipe, "a pipe"),
        (claim_a_terabyte, "larger than --prefix-cache-file-bytes"),
        (empty, "no file of saved prefixes"),
    ],
)
def test_what_cannot_be_used_is_told_and_replaced(
    subject: PrefixStore,
    caplog: pytest.LogCaptureFixture,
    harm: Callable[[Path], None],
    reason: str,
) -> None:
    subject.save(*filled(CHAINS))
    harm(subject.path)
    pool, cache, num_tokens = loaded(subject)
    assert (num_tokens, pool.num_kept, pool.num_available) == (0, 0, 16)
    [record] = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert reason in record.__dict__["reason"]
    assert "is not used" in record.getMessage()
    pool, cache = filled(CHAINS)
    subject.save(pool, cache)
    assert loaded(subject)[2] == 6 * BLOCK_SIZE


def test_under_another_key_nothing_is_loaded(
    subject: PrefixStore, caplog: pytest.LogCaptureFixture
) -> None:
    subject.save(*filled(CHAINS))
    other = replace(subject, secret=StoreSecret(b"t" * 32))
    assert loaded(other)[2] == 0
    assert caplog.records[-1].__dict__["reason"] == "was written under another key"
    assert loaded(replace(subject, identity=b"j" * 32))[2] == 0


def test_a_disk_that_fails_leaves_the_older_file(
    subject: PrefixStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    subject.save(*filled(CHAINS))

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "sync", fail)
        subject.save(*filled([["q"]]))
    assert caplog.records[-1].__dict__["reason"] == "No space left on device"
    assert loaded(subject)[2] == 6 * BLOCK_SIZE
    assert len(list(subject.folder.iterdir())) == 1


def test_old_files_and_what_killed_writers_left_go(subject: PrefixStore) -> None:
    (subject.folder / "mine.kv").touch()
    for number in range(MOST_FILES + 2):
        path = subject.folder / f"{number:064x}.kv"
        path.touch()
        os.utime(path, (number, number))
    left = subject.folder / ".saving-old"
    left.touch()
    os.utime(left, (1, 1))
    (subject.folder / ".saving-now").touch()
    subject.save(*filled(CHAINS))
    assert {path.name for path in subject.folder.iterdir()} == {
        "mine.kv",
        ".saving-now",
        subject.path.name,
        *(f"{number:064x}.kv" for number in range(3, MOST_FILES + 2)),
    }
