"""Starts llama.cpp for a comparison: the GGUF file, then the worker that answers."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.child import Child
from benchmarks.compare.systems import Bench, MissingError, Up
from benchmarks.trace import Trace
from models.refs import QuantScheme

_HERE = Path(__file__).parent
_KINDS = {QuantScheme.NONE: "f16", QuantScheme.INT8: "q8_0", QuantScheme.INT4: "q4_0"}
_INSTALL = (
    "no llama-cpp-python: make an environment with `pip install llama-cpp-python gguf torch "
    "safetensors`, and name its interpreter with --llama-cpp-python"
)


class Worker:
    """A conversation with worker.py."""

    def __init__(self, child: Child) -> None:
        self._child = child

    async def read(self) -> dict[str, Any]:
        """Its next line.

        Raises:
            RuntimeError: it ended instead.
        """
        output = self._child.process.stdout
        line = await asyncio.to_thread(output.readline) if output else b""
        if not line:
            raise RuntimeError(f"llama.cpp ended: {self._child.log_end()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def ask_all(
        self,
        name: str,  # noqa: ARG002 - of the protocol
        prompts: Sequence[Sequence[int]],
        max_tokens: int,
    ) -> list[Trace]:
        request = {"prompts": [list(prompt) for prompt in prompts], "max_tokens": max_tokens}
        standard_input = self._child.process.stdin
        if standard_input is not None:
            standard_input.write(json.dumps(request).encode() + b"\n")
            standard_input.flush()
        answer = await self.read()
        return [
            Trace(
                sent_at=answer["sent_at"],
                arrivals_at=array("d", arrivals_at),
                chunk_tokens=array("L", [1] * len(arrivals_at)),
                finished_at=arrivals_at[-1],
                prompt_tokens=len(prompt),
                completion_tokens=len(arrivals_at),
                finish_reason="length",
            )
            for prompt, arrivals_at in zip(prompts, answer["arrivals_at"], strict=True)
        ]

    async def close(self) -> None:
        await self._child.close()


async def start(bench: Bench, scheme: QuantScheme) -> Up:
    """llama.cpp on the same weights, in its own types."""
    python = bench.llama_python
    if python is None or shutil.which(str(python)) is None:
        raise MissingError(_INSTALL)
    file = bench.cache_dir / "gguf" / f"{bench.full.name}.{_KINDS[scheme]}.gguf"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(_write, python, bench.full.path, file, _KINDS[scheme])
    words = [str(python), str(_HERE / "worker.py"), str(file)]
    words += [str(bench.length), str(bench.batch), str(torch.get_num_threads())]
    log = bench.cache_dir / "logs" / f"llama-{_KINDS[scheme]}.log"
    child = Child(words, log, is_conversation=True)
    worker = Worker(child)
    try:
        await worker.read()
    except RuntimeError as error:
        await child.close()
        raise MissingError(str(error)) from None
    # Its matrices are all of the file but a few kilobytes of names.
    return Up(running=worker, weight_bytes=file.stat().st_size, kv_dtype="float16")


def _write(python: Path, folder: Path, file: Path, kind: str) -> None:
    """Raises MissingError: the interpreter cannot write it."""
    words = [str(python), str(_HERE / "write_gguf.py"), str(folder), str(file), kind]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise MissingError(f"no GGUF file: {done.stderr.strip()[-500:]}. {_INSTALL}")
