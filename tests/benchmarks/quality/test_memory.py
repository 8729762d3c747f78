"""What only cycles hold is freed; without glibc nothing else is done."""

from __future__ import annotations

import ctypes
import gc
import weakref
from types import SimpleNamespace

import pytest
import torch

from benchmarks.quality import memory


class Cycle:
    """Holds itself, as models do."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture
def calls(monkeypatch) -> list[int]:
    trims: list[int] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(malloc_trim=trims.append))
    return trims


def test_cycles_are_freed_before_memory_is_returned(monkeypatch) -> None:
    gc.disable()
    gc.freeze()  # what other tests imported need not be looked at
    try:
        alive = weakref.ref(Cycle())
        assert alive() is not None
        seen = []
        library = SimpleNamespace(malloc_trim=lambda _: seen.append(alive()))
        monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
        memory.release()
    finally:
        gc.unfreeze()
        gc.enable()
    assert seen == [None]


def test_all_free_memory_is_returned(calls, monkeypatch) -> None:
    monkeypatch.setattr(gc, "collect", lambda: 0)
    memory.release()
    assert calls == [0]


def test_another_c_library_has_nothing_to_trim(monkeypatch) -> None:
    monkeypatch.setattr(gc, "collect", lambda: 0)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    memory.release()


def test_a_gpus_memory_is_given_back_once_nothing_holds_it(calls, monkeypatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(gc, "collect", lambda: order.append("collect"))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: order.append("empty"))
    memory.release()
    assert order == ["collect", "empty"]
    assert calls == [0]
