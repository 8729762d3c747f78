"""The process environment: the one module that reads it or changes it.

What the operator set stays in force, except the switches that keep libraries from connecting out.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from serve.errors import StartupError


def operator_environment() -> dict[str, str]:
    """A copy of the environment; before ``harden_environment``, as the operator set it."""
    return dict(os.environ)


def xdg(variable: str, fallback: str) -> Path:
    """A directory of ours under an XDG base directory (freedesktop.org basedir-spec 0.8)."""
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / fallback) / "intramural"


def client_api_key() -> str | None:
    """The key that our clients send: OPENAI_API_KEY, as the official client reads it."""
    return os.environ.get("OPENAI_API_KEY") or None


def hub_is_off(environment: Mapping[str, str]) -> bool:
    """Whether HF_HUB_OFFLINE says that nothing may be fetched."""
    return environment.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}


def harden_environment(*, between_nodes: bool = False) -> None:
    """Turn off every connection that libraries make by themselves, before they are imported.

    Unsafe defaults elsewhere: telemetry on, hub look-ups even for local folders. Tokenizers'
    own threads are off because they would fight with the engine's for the cores.

    Args:
        between_nodes: the engine's workers are on other machines too, so its processes must be
            known by an address that those can reach.

    Raises:
        StartupError: between nodes, and no such address is given.
    """
    host = "127.0.0.1"
    if between_nodes:
        host = os.environ.get("VLLM_HOST_IP", "")
        if not host or host.startswith("127."):
            raise StartupError(
                f"--distributed-executor-backend ray needs VLLM_HOST_IP, this machine's address "
                f"that the other nodes reach, and it is {host or 'not set'}."
            )
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "VLLM_DO_NOT_TRACK": "1",
        # vLLM would connect a UDP socket to a public address to learn its own.
        "VLLM_HOST_IP": host,
        "VLLM_LOOPBACK_IP": "127.0.0.1",
        "VLLM_ALLOW_INSECURE_SERIALIZATION": "0",
        # A fork would copy the server's threads' locks and its open sockets.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "TOKENIZERS_PARALLELISM": "false",
    }
    # Compiled code is loaded from there: torch's own choice lies in the temporary folder, where
    # any user of the machine could put some first.
    compiled = xdg("XDG_CACHE_HOME", ".cache") / "inductor"
    set_engine_environment({"TORCHINDUCTOR_CACHE_DIR": str(compiled)})
    # Workers find each other on loopback, unless the operator spreads them over nodes.
    set_engine_environment(
        {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_LOGGING_STREAM": "ext://sys.stderr"}
    )
    if sys.platform == "linux":
        set_engine_environment({"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"})


def set_engine_environment(variables: Mapping[str, str]) -> None:
    """Set variables that an engine's processes inherit. Values that the operator set stay."""
    for variable, value in variables.items():
        os.environ.setdefault(variable, value)


@contextmanager
def variables_set(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started within. Values of the operator stay."""
    added = [variable for variable in variables if variable not in os.environ]
    os.environ |= {variable: variables[variable] for variable in added}
    try:
        yield
    finally:
        for variable in added:
            os.environ.pop(variable, None)


@contextmanager
def temporary_files_in(folder: str) -> Iterator[None]:
    """Have the processes that are started within keep their temporary files in ``folder``."""
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


def cpu_kv_cache_bytes() -> int | None:
    """VLLM_CPU_KVCACHE_SPACE, which vLLM obeys before its arguments, in bytes; None if unset.

    Raises:
        StartupError: the value is not a whole number of GiB above 0.
    """
    value = os.environ.get("VLLM_CPU_KVCACHE_SPACE") or None
    if value is None:
        return None
    if not re.fullmatch("[0-9]+", value) or int(value) == 0:
        raise StartupError(f"VLLM_CPU_KVCACHE_SPACE is {value!r}: whole GiB are needed, such as 4.")
    return int(value) << 30
