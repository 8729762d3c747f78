"""The process environment: the one module that reads it or changes it.

What the operator set stays in force, except the switches that keep libraries from connecting out.
"""

from __future__ import annotations

import os
import re
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from models import home, temporary_folder, tls
from models.errors import CertificatesError, HomelessError
from models.memory import host_cpus
from serve.errors import StartupError

_FOREIGN = (
    # Another server's metrics: ours are of one process, and would be written into its folder.
    "PROMETHEUS_MULTIPROC_DIR",
    "prometheus_multiproc_dir",
    # uvicorn's workers and the proxies that it believes: neither is used here.
    "WEB_CONCURRENCY",
    "FORWARDED_ALLOW_IPS",
    # Would have every TLS key that this process agrees on written to a file.
    "SSLKEYLOGFILE",
)


def operator_environment() -> dict[str, str]:
    """A copy of the environment; before ``harden_environment``, as the operator set it."""
    return dict(os.environ)


def xdg(variable: str, fallback: str) -> Path:
    """A directory of ours under an XDG base directory (models/home.py).

    Raises:
        StartupError: the variable names none, and this user has no home directory.
    """
    try:
        return home.xdg(variable, fallback)
    except HomelessError as error:
        raise StartupError(str(error)) from None


def client_api_key() -> str | None:
    """The key that our clients send: OPENAI_API_KEY, as the official client reads it.

    White space around it, such as the line feed of a file, is left out.

    Raises:
        StartupError: it has a character that a header cannot carry. The key is not shown.
    """
    given = os.environ.get("OPENAI_API_KEY", "")
    return valid_api_key(given, "OPENAI_API_KEY") if given.strip() else None


def valid_api_key(given: str, origin: str) -> str:
    """The key without white space around it.

    Raises:
        StartupError: as for ``client_api_key``; ``origin`` is named.
    """
    key = given.strip()
    if not all("!" <= char <= "~" for char in key):
        raise StartupError(
            f"{origin} has a space, a control character or a letter beyond ASCII within it, "
            "which no key has. Set it anew."
        )
    return key


def wants_colour() -> bool:
    """Whether a terminal may be given colours: not with NO_COLOR (no-color.org), nor a dumb one."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def client_tls(url: str) -> ssl.SSLContext:
    """The TLS of our clients: authorities of SSL_CERT_FILE and SSL_CERT_DIR, or the system's.

    Raises:
        StartupError: they cannot be read.
    """
    try:
        return tls.client_context(url)
    except CertificatesError as error:
        raise StartupError(str(error)) from None


def leave_out_foreign_variables() -> None:
    """Take out what other programs left in the environment and libraries here would follow.

    Before those libraries are imported: some read it then.
    """
    for variable in _FOREIGN:
        os.environ.pop(variable, None)
    for variable in ("VLLM_PORT", "RAY_ADDRESS"):  # a Service of that name beside us
        if is_service_address(os.environ.get(variable, "")):
            del os.environ[variable]
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads and not re.fullmatch(r"\s*[1-9][0-9]*(\s*,\s*[1-9][0-9]*)*\s*", threads):
        del os.environ["OMP_NUM_THREADS"]  # OpenMP passes over it, too, and complains each time


def is_service_address(value: str) -> bool:
    """Whether Kubernetes or docker made a variable of this value, for a service beside us."""
    return re.match(r"(tcp|udp|sctp)://", value) is not None


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
    _bound_threads()
    # Compiled code is loaded from there: torch's own choice lies in the temporary folder, where
    # any user of the machine could put some first.
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(_cache_folder() / "inductor")
    # Workers find each other on loopback, unless the operator spreads them over nodes.
    set_engine_environment(
        {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_LOGGING_STREAM": "ext://sys.stderr"}
    )
    if sys.platform == "linux":
        set_engine_environment({"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"})


def _bound_threads() -> None:
    """Have OpenMP take as many threads as the container's CPU quota feeds; before torch is here."""
    num_threads = host_cpus.num_threads()
    if num_threads < host_cpus.usable_cpus():
        set_engine_environment({"OMP_NUM_THREADS": str(num_threads)})


def _cache_folder() -> Path:
    """Our folder for what can be made again; one of this process alone without a home directory."""
    try:
        return xdg("XDG_CACHE_HOME", ".cache")
    except StartupError:
        return temporary_folder.make("cache")


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
