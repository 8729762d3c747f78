"""Masks are prepared on another thread, all of them, whatever one of them raises."""

from __future__ import annotations

import threading

from serve.engine.transformers.mask_worker import MaskWorker


class Mask:
    def __init__(self, *, is_broken: bool = False, after: threading.Event | None = None) -> None:
        self.is_broken, self.after = is_broken, after
        self.thread: str | None = None

    def prepare(self) -> None:
        if self.after is not None:
            assert self.after.wait(30)
        if self.is_broken:
            raise ValueError("no such rule")
        self.thread = threading.current_thread().name


def test_masks_are_prepared_while_another_thread_goes_on():
    forward_is_done = threading.Event()
    masks = [Mask(after=forward_is_done), Mask(is_broken=True), Mask()]
    wait = MaskWorker().begin(masks)
    assert masks[0].thread is None
    forward_is_done.set()
    wait()
    assert [mask.thread for mask in masks] == ["masks_0", None, "masks_0"]


def test_no_mask_needs_no_thread():
    worker = MaskWorker()
    worker.begin([])()
    assert not worker._thread._threads
