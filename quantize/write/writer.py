"""Shards, one after the other, each by several workers at once.

A worker takes the next chunk, reads it, computes and writes it to its place; while one waits for
the disk the others compute. So reading, computing and writing overlap, and what is held in memory
is one chunk for each worker, whatever the size of the model. Torch computes with one thread in each
worker: its own threads wait for each other at every operation, which on a busy machine made blocks
of this size 10 to 60 times slower.

A shard is made in ``parts``, and gets its name once it is whole and on the disk: one more thread
sees to that (fsync, hash, rename, journal) while the next shard is made.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import torch

from models import durable
from models.durable import put_in_place
from models.progress import Progress
from models.staging import Staging
from models.trust.hashing import sha256_files
from quantize.plan.layout import Shard
from quantize.plan.planning import num_workers
from quantize.write.journal import Done, Journal
from quantize.write.row_chunks import LayerError, RowChunk, Worker, chunks_of, summed
from quantize.write.source import Files, SourceTensor


@dataclass(slots=True, kw_only=True)
class Writer:
    """Writes the shards of one plan. Use as a context.

    Attributes:
        tensors: of the source, by name.
        files: of the source, open.
        worker: makes the bytes.
        staging: where they go.
        journal: where each shard that is whole is entered.
        progress: counts bytes of the source.
    """

    tensors: dict[str, SourceTensor]
    files: Files
    worker: Worker
    staging: Staging
    journal: Journal
    progress: Progress
    _pools: list[ThreadPoolExecutor] = field(default_factory=list)
    _finishing: Future[None] | None = None
    _num_threads: int = 1

    def __enter__(self) -> Self:
        self._num_threads = torch.get_num_threads()
        self._pools = [
            ThreadPoolExecutor(
                num_workers(), "quantize", initializer=torch.set_num_threads, initargs=(1,)
            ),
            ThreadPoolExecutor(1, "quantize-finish"),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(self._num_threads)  # part of it is the process's, not the thread's

    def write(self, shard: Shard) -> None:
        """Make one shard. It may still be on its way to the disk when this returns.

        Raises:
            BadWeightsError: NaN or infinity in a weight.
            OSError: something cannot be read or written.
            UnstableFileError: a file of the source became shorter.
        """
        path = self.staging.parts / shard.name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            durable.allocate(descriptor, shard.num_bytes)
            write_at(descriptor, 0, memoryview(shard.header))
            layers = self._fill(shard, descriptor)
        finally:
            os.close(descriptor)
        self.finish()
        self._finishing = self._pools[1].submit(self._settle, shard, layers)

    def finish(self) -> None:
        """Wait until every shard is on the disk under its name.

        Raises:
            OSError: one could not be brought there.
        """
        if self._finishing is not None:
            self._finishing.result()
            self._finishing = None

    def _fill(self, shard: Shard, descriptor: int) -> tuple[LayerError, ...]:
        futures = [
            self._pools[0].submit(self._make, chunk, shard, descriptor)
            for chunk in self._chunks(shard)
        ]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            errors: dict[str, list[LayerError]] = {}
            for future in futures:
                if future.done():  # all are, or one of them raises here
                    for error in future.result():
                        errors.setdefault(error.name, []).append(error)
        finally:  # the descriptor is closed after this, so nobody may be at work
            for future in futures:
                future.cancel()
            wait(futures)
        return tuple(summed(name, parts) for name, parts in errors.items())

    def _make(self, chunk: RowChunk, shard: Shard, descriptor: int) -> list[LayerError]:
        data = memoryview(bytearray(chunk.num_bytes))
        self.files.read(chunk.tensor.file, chunk.tensor.begin + chunk.begin, data)
        blobs, errors = self.worker.make(chunk, data, shard)
        for place, blob in blobs:
            write_at(descriptor, place, blob)
        self.progress.advance(chunk.num_bytes)
        return errors

    def _chunks(self, shard: Shard) -> Iterator[RowChunk]:
        for source, outputs in itertools.groupby(shard.outputs, key=lambda output: output.source):
            yield from chunks_of(self.tensors[source], list(outputs))

    def _settle(self, shard: Shard, layers: tuple[LayerError, ...]) -> None:
        new, path = self.staging.parts / shard.name, self.staging.tree / shard.name
        _sync(new)
        sha256 = sha256_files([new])[0]
        put_in_place(new, path)
        self.journal.enter(shard.name, Done(sha256=sha256, size=shard.num_bytes, layers=layers))


def write_at(descriptor: int, place: int, data: memoryview) -> None:
    """Write all of ``data`` to the file from byte ``place`` on, however often that takes."""
    while data:
        num_bytes = os.pwrite(descriptor, data, place)
        data, place = data[num_bytes:], place + num_bytes


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        durable.sync(descriptor)
    finally:
        os.close(descriptor)
