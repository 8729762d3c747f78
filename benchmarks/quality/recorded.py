"""A base's distributions on disk, and the models that are compared with them one after the other.

For vLLM: each of its engines takes a share of a card as if it were alone there, so two do not fit.
The base is asked and ended; then every other model is started, asked, compared and ended. The
base's rows stay until the last is done, 4 bytes for each scored token and word; what vLLM's worker
hands over takes ``HANDED_OVER_BYTES`` more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import BinaryIO

import torch

from benchmarks.quality import vllm_forcing
from benchmarks.quality.comparing import Running, on_one_thread
from benchmarks.quality.formulas import Rows, compare, joined
from benchmarks.quality.sequences import Forced
from models import disk_space

HANDED_OVER_BYTES = 64 << 20
"""Most bytes of rows on disk that vLLM's worker has written and nobody has read."""
_FLOAT_BYTES = 4
_ADVICE = "Take a smaller --max-tokens, or another folder for temporary files (TMPDIR)."

Report = Callable[[int], None]


class Recorded:
    """The logits of a base at every scored token, in a file.

    Args:
        file: empty, to be read and written; it holds float32, row after row.
        vocab: words of a row.
    """

    def __init__(self, file: BinaryIO, vocab: int) -> None:
        self._file = file
        self._row_bytes = vocab * _FLOAT_BYTES

    def write(self, rows: Sequence[int], logits: torch.Tensor) -> None:
        """Keep the logits ``[N, V]`` of N rows."""
        for row, its_logits in zip(rows, logits.float().cpu(), strict=True):
            self._file.seek(row * self._row_bytes)
            self._file.write(its_logits.numpy().tobytes())

    def read(self, rows: Sequence[int]) -> torch.Tensor:
        """The logits ``[N, V]`` of N rows that were written."""
        parts = bytearray()
        for row in rows:
            self._file.seek(row * self._row_bytes)
            parts += self._file.read(self._row_bytes)
        return torch.frombuffer(parts, dtype=torch.float32).view(len(rows), -1)


async def record(
    base: Running, sequences: Sequence[Forced], file: BinaryIO, report: Report
) -> Recorded:
    """Ask the base for its distributions at every scored token.

    Args:
        base: idle, of vLLM.
        sequences: each must fit into the engine's context.
        file: empty, on the disk of the engine's folder.
        report: told of bytes of logits as they are done.

    Raises:
        DiskFullError: there is no room for them.
        RuntimeError: the engine did not say what it was made to say.
    """
    vocab = base.engine.info.vocab_size
    needed = sum(len(sequence.scored) for sequence in sequences) * vocab * _FLOAT_BYTES
    disk_space.check(base.folder, needed + HANDED_OVER_BYTES, _ADVICE)
    recorded = Recorded(file, vocab)
    forced = vllm_forcing.forced_logits(base.engine, sequences, base.folder, HANDED_OVER_BYTES)
    async with aclosing(forced) as steps:
        async for rows, logits in steps:
            recorded.write(rows, logits)
            report(logits.nbytes)
    return recorded


async def compared(
    recorded: Recorded, quantised: Running, sequences: Sequence[Forced], report: Report
) -> Rows:
    """A model against the base that was recorded, in the order of the scored tokens.

    Args:
        recorded: of the same sequences.
        quantised: idle, of vLLM.
        sequences: each must fit into the engine's context.
        report: told of bytes of logits as they are done.

    Raises:
        ValueError: the models' vocabularies differ, or one computes no numbers.
        RuntimeError: the engine did not say what it was made to say.
    """
    tokens = torch.tensor([token for sequence in sequences for token in sequence.scored])
    parts: list[Rows] = []
    places: list[int] = []
    engine, folder = quantised.engine, quantised.folder
    forced = vllm_forcing.forced_logits(engine, sequences, folder, HANDED_OVER_BYTES)
    async with aclosing(forced) as steps:
        async for rows, logits in steps:
            with on_one_thread():
                parts.append(compare(recorded.read(rows), logits, tokens[rows]))
            places += rows
            report(logits.nbytes)
    return joined(parts).at(torch.tensor(places).argsort())
