"""No client takes more of a turn of the event loop than its share: forty shapes (``shapes.py``).

`make test` counts the work between two turns of a neighbour; `make prove` measures, by a server
process, how late the tokens of paced streams come.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from serve.api.http.connection import BoundedProtocol
from serve.api.http.framing import Framing, Piece
from serve.api.http.quick_connection import QuickConnection
from serve.api.http.turns import UNITS_A_TURN, Turns
from serve.governance.identity import keys
from tests.e2e.server import REPOSITORY, serving
from tests.serve.api.house import chat, house, running, until
from tests.serve.api.http.shapes import SHAPES, Shape
from tests.serve.api.http.test_server import post

SIZE = 1_500_000
MAX_LATE_S = 0.05
PACE_S = 0.05


@dataclass
class Work:
    """Work that was done since the neighbour's last turn, and the most that ever was."""

    num_parsed: int = 0
    num_events: int = 0
    num_bytes: int = 0
    num_reads: int = 0
    num_waiting: int = 0
    most: tuple[int, ...] = (0, 0, 0, 0, 0)

    def end_turn(self) -> None:
        now = (self.num_parsed, self.num_events, self.num_bytes, self.num_reads, self.num_waiting)
        self.most = tuple(map(max, self.most, now))
        self.num_parsed = self.num_events = self.num_bytes = self.num_reads = self.num_waiting = 0


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """All that servers of this test read, by what really runs and not by what it says it costs."""
    counted = Work()
    take, next_event, received = (
        Framing.take,
        QuickConnection.next_event,
        BoundedProtocol.data_received,
    )

    def counted_take(self: Framing) -> Piece:
        num_before = len(self)
        try:
            piece = take(self)
        finally:
            counted.num_parsed += 1
            counted.num_bytes += num_before - len(self)
            counted.num_waiting = max(counted.num_waiting, num_before)
        counted.num_parsed += piece.num_parsed
        return piece

    def counted_event(self: QuickConnection) -> Any:
        counted.num_events += 1
        return next_event(self)

    def counted_received(self: BoundedProtocol, data: bytes) -> None:
        counted.num_reads += 1
        received(self, data)

    monkeypatch.setattr(Framing, "take", counted_take)
    monkeypatch.setattr(QuickConnection, "next_event", counted_event)
    monkeypatch.setattr(BoundedProtocol, "data_received", counted_received)
    return counted


async def send_shape(port: int, shape: Shape, auth: bytes) -> None:
    """Send it on its connections, as much at once as the kernel takes, and read what comes.

    It ends when the server has closed them, and soon for those that are left open.
    """

    async def one() -> None:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setblocking(False)
            pieces = shape.send(auth, SIZE)
            piece = memoryview(next(pieces))
            async with asyncio.timeout(0.06):
                while True:
                    with contextlib.suppress(BlockingIOError):
                        for _ in range(200):
                            sent = client.send(piece) if piece else 0
                            piece = piece[sent:] or memoryview(next(pieces, b""))
                    with contextlib.suppress(BlockingIOError):
                        if not client.recv(1 << 18):
                            return
                    await asyncio.sleep(0)

    await asyncio.gather(*(one() for _ in range(shape.num_connections)), return_exceptions=True)


@pytest.mark.parametrize("has_key", [False, True])
async def test_between_two_turns_of_a_neighbour_little_is_read(
    work: Work, tmp_path: Path, has_key: bool
) -> None:
    assert len(SHAPES) == 40
    key = keys.create(tmp_path / "keys.json")
    auth = f"Authorization: Bearer {key}\r\n".encode() if has_key else b""
    async with running(house(keys=tmp_path / "keys.json")) as (server, _):
        connections = server.server_state.connections
        for name, shape in SHAPES.items():
            work.end_turn()  # what was left of the shape before
            work.most = (0,) * 5
            sending = asyncio.create_task(send_shape(server.port, shape, auth))
            while not sending.done():
                work.end_turn()
                await asyncio.sleep(0)
            await sending
            num_parsed, num_events, num_bytes, num_reads, num_waiting = work.most
            assert num_parsed <= UNITS_A_TURN + 600, (name, work.most)
            assert num_events <= 64, (name, work.most)
            assert num_bytes <= 4 << 20, (name, work.most)
            assert num_reads <= 2 * shape.num_connections, (name, work.most)
            assert num_waiting <= 600_000, (name, work.most)
            await until(lambda: not connections)


class Hungry:
    """Wants a turn again and again."""

    def __init__(self, turns: Turns, order: list[Any], cost: int) -> None:
        self._turns, self._order, self._cost = turns, order, cost

    def work(self) -> None:
        self._order.append(self)
        self._turns.spend(self._cost)
        self._turns.enqueue(self)


async def test_turns_go_round_and_each_has_an_end() -> None:
    turns, order = Turns(), []
    hungry = [Hungry(turns, order, UNITS_A_TURN // 2) for _ in range(6)]
    assert turns.has_room
    for one in hungry:
        turns.enqueue(one)
    assert not turns.has_room, "who comes later waits behind those"
    sizes = []
    for _ in range(6):
        num_before = len(order)
        await asyncio.sleep(0)
        sizes.append(len(order) - num_before)
    assert max(sizes) == 2
    assert order[:6] == hungry
    assert order[6:12] == hungry


async def test_a_turn_that_is_spent_has_no_room_and_the_next_one_has() -> None:
    turns = Turns()
    turns.spend(UNITS_A_TURN)
    assert not turns.has_room
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert turns.has_room


# By the clock


async def _neighbour(port: int, auth: bytes, late: list[float], is_over: asyncio.Event) -> None:
    """Read a paced stream, and note how late after its pace each piece comes."""
    request = post(orjson.dumps(chat(stream=True, max_tokens=900)))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.replace(b"Connection: close\r\n", auth))
    await reader.readuntil(b"data: ")
    last = time.monotonic()
    while not is_over.is_set():
        async with asyncio.timeout(30):
            assert await reader.read(65_536), "the stream ended"
        now = time.monotonic()
        late.append(max(0.0, now - last - PACE_S))
        last = now
    writer.transport.abort()


async def _lateness(port: int, name: str, key: str | None) -> float:
    """The 99th percentile over five streams while a process floods the server for two seconds."""
    late: list[float] = []
    is_over = asyncio.Event()
    auth = f"Authorization: Bearer {key}\r\n".encode() if key else b""
    streams = [asyncio.create_task(_neighbour(port, auth, late, is_over)) for _ in range(5)]
    arguments = ["-m", "tests.serve.api.http.shapes", str(port), name, "2", *([key] if key else [])]
    flood = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=REPOSITORY, stdout=asyncio.subprocess.DEVNULL
    )
    await flood.wait()
    is_over.set()
    await asyncio.gather(*streams)
    return sorted(late)[int(len(late) * 0.99)]


@pytest.fixture(params=[False, True], ids=["open", "keys"])
def fake_server(
    request: pytest.FixtureRequest, tmp_path: Path, is_proving: bool
) -> Iterator[tuple[int, str | None] | None]:
    """A server process of 20 tok/s and a key of it; None where nothing is proven."""
    if not is_proving:
        yield None
        return
    arguments = ["--engine", "fake", "--model", "demo", "--fake-tokens-per-s", "20"]
    key = None
    if request.param:
        key = keys.create(tmp_path / "keys.json")
        arguments += ["--api-key-file", str(tmp_path / "keys.json")]
    with serving(tmp_path, arguments) as server:
        yield int(server.url.rpartition(":")[2]), key


async def test_a_neighbour_s_tokens_come_in_time(
    fake_server: tuple[int, str | None] | None, is_proving: bool
) -> None:
    if not is_proving or fake_server is None:
        pytest.skip("measures milliseconds; run by `make prove`, and the work is counted above")
    port, key = fake_server
    late = {}
    for name in SHAPES:
        # A shape that holds the loop does so each time; another process on the machine does not.
        for _ in range(5):
            late[name] = min(await _lateness(port, name, key), late.get(name, 60.0))
            if late[name] < MAX_LATE_S:
                break
    assert {name: seconds for name, seconds in late.items() if seconds >= MAX_LATE_S} == {}
