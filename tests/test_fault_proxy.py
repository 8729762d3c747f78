"""The proxy does what it says, or the tests of faults would prove nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.fault_proxy import FaultProxy


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that answers with what it is sent."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(100):
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def asked(connection: socket.socket) -> bytes:
    connection.sendall(b"hello")
    return connection.recv(100)


def is_gone(connection: Callable[[], socket.socket]) -> bool:
    try:
        return asked(connection()) == b""
    except ConnectionError:
        return True


@pytest.fixture
def connected() -> Iterator[Callable[[FaultProxy], socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield lambda proxy: stack.enter_context(
            socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
        )


def test_each_fault(echo, connected):
    with FaultProxy(echo) as proxy:
        first = connected(proxy)
        assert asked(first) == b"hello"
        proxy.slow(0.01)
        assert asked(first) == b"hello"

        proxy.hold()
        first.settimeout(0.05)
        with pytest.raises(TimeoutError):
            asked(first)
        proxy.pass_on()
        with pytest.raises(TimeoutError):
            asked(first)
        second = connected(proxy)
        assert asked(second) == b"hello"

        proxy.reset()
        assert is_gone(lambda: second)
        assert asked(connected(proxy)) == b"hello"

        accepted = proxy.num_accepted
        proxy.cut()
        assert is_gone(lambda: connected(proxy))
        assert proxy.num_accepted == accepted == 3
