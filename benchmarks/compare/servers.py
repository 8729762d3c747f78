"""Systems behind HTTP: our server on our vLLM engine, and vLLM's own server.

Both get prompts of token ids at /v1/completions, over loopback, from this process, whose own work
shares the cores with them.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from benchmarks.child import Child, StartError, free_port, wait_ready
from benchmarks.compare.systems import Bench, MissingError, Up
from benchmarks.metrics.request import whole
from benchmarks.serving.client import Endpoint, stream
from benchmarks.trace import Trace
from models.refs import QuantScheme

_MODEL = "bench"
_INSTALL = "vLLM is not installed: `make setup` has its CPU build, the GPU image the other one"


class Server:
    """A server process, and the requests to it."""

    def __init__(self, child: Child, endpoint: Endpoint) -> None:
        self._child = child
        self._endpoint = endpoint

    async def ask_all(
        self,
        name: str,  # noqa: ARG002 - of the protocol
        prompts: Sequence[Sequence[int]],
        max_tokens: int,
    ) -> list[Trace]:
        requests = [
            self._endpoint.request(
                {
                    "model": _MODEL,
                    "prompt": list(prompt),
                    "max_tokens": max_tokens,
                    "temperature": 0,
                    "ignore_eos": True,
                    "stream": True,
                    "stream_options": {"include_usage": True},
                }
            )
            for prompt in prompts
        ]
        return whole(
            await asyncio.gather(*(stream(self._endpoint, request) for request in requests))
        )

    async def close(self) -> None:
        await self._child.close()


async def start_ours(bench: Bench, scheme: QuantScheme) -> Up:
    """`python -m serve --engine vllm`."""
    if importlib.util.find_spec("vllm") is None:
        raise MissingError(_INSTALL)
    port = free_port()
    command = [sys.executable, "-m", "serve", "--model", str(bench.full.path)]
    command += ["--engine", "vllm", "--served-model-name", _MODEL, "--port", str(port)]
    command += ["--quant", str(scheme), "--data-dir", str(bench.cache_dir)]
    command += ["--dtype", bench.dtype, "--max-model-len", str(bench.length)]
    command += ["--max-num-seqs", str(bench.batch), "--log-level", "error"]
    command += ["--no-enable-prefix-caching", *_on_its_device(bench)]
    return await _up(bench, "intramural-vllm", command, port, "/readyz")


async def start_vllm(bench: Bench, scheme: QuantScheme) -> Up:  # noqa: ARG001 - none alone
    """`python -m vllm.entrypoints.openai.api_server`, with the same flags as ours."""
    if importlib.util.find_spec("vllm") is None:
        raise MissingError(_INSTALL)
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(bench.full.path), "--served-model-name", _MODEL]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", bench.dtype]
    command += ["--max-model-len", str(bench.length), "--max-num-seqs", str(bench.batch)]
    command += ["--no-enable-prefix-caching", "--uvicorn-log-level", "warning"]
    command += _on_its_device(bench)
    return await _up(bench, "vllm-serve", command, port, "/health")


def _on_its_device(bench: Bench) -> list[str]:
    """Flags of both: a part of the card, with captured graphs; on a CPU without the compiler."""
    if bench.gpu_share is None:
        return ["--enforce-eager"]
    return ["--gpu-memory-utilization", str(bench.gpu_share)]


async def _up(bench: Bench, name: str, command: Sequence[str], port: int, ready: str) -> Up:
    variables: Mapping[str, str] = {"VLLM_CPU_KVCACHE_SPACE": "1"}
    log = bench.cache_dir / "logs" / f"{name}.log"
    child = Child(command, log, variables=variables)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(child.close)  # whatever ends the wait ends the process
        try:
            await wait_ready(child, f"http://127.0.0.1:{port}{ready}")
        except StartError as error:
            raise MissingError(str(error)) from None
        stack.pop_all()
    return Up(running=Server(child, Endpoint.parse(f"http://127.0.0.1:{port}")))
