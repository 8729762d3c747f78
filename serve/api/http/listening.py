"""The listening socket: on loopback unless there are keys, with a clear word when it cannot."""

from __future__ import annotations

import ipaddress
import socket

from serve.config import Config
from serve.errors import StartupError


def check_exposure(config: Config) -> None:
    """Refuse to listen beyond loopback without keys."""
    if config.api_key_file is None and not _is_loopback(config.host):
        raise StartupError(
            f"--host {config.host} is not loopback and there are no API keys, so anyone could ask. "
            "Make a key with `python -m serve keys create` and give its file with --api-key-file, "
            "or bind to 127.0.0.1."
        )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises StartupError with what to do when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise StartupError(
            f"cannot listen on {host}:{port}: {error.strerror}. Stop what uses it, or choose "
            "another with --port (0 takes a free one)."
        ) from None
    return listener


def in_url(host: str) -> str:
    """The host as a URL has it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
