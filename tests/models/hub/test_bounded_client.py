"""The client that a hub cannot fill or hold: sizes, pieces, encodings, and time for an answer."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from huggingface_hub import close_session

from models.hub import bounded_client
from models.hub.bounded_client import HubFaultError


@pytest.fixture(autouse=True)
def own_session() -> Iterator[None]:
    close_session()
    yield
    close_session()


class Stream(httpx2.SyncByteStream):
    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pieces)


def read(*pieces: bytes, max_bytes: int | None) -> int:
    return sum(map(len, bounded_client._Bounded(Stream(*pieces), max_bytes, "hub.example")))


def test_up_to_its_bound_an_answer_is_read() -> None:
    assert read(b"1234", b"56", max_bytes=6) == 6
    assert read(b"x" * 10, max_bytes=None) == 10
    with pytest.raises(HubFaultError, match=r"hub\.example sends more than the 5 bytes"):
        read(b"1234", b"56", max_bytes=5)


def test_pieces_of_a_byte_are_refused_once_there_are_many() -> None:
    few = [b"x"] * bounded_client.FREE_PIECES
    assert read(*few, max_bytes=None) == len(few)
    with pytest.raises(HubFaultError, match="pieces of a few bytes"):
        read(*few, b"x", max_bytes=None)


def test_the_hooks_are_put_in_once() -> None:
    client = bounded_client.use()
    hooks = {name: list(found) for name, found in client.event_hooks.items()}
    assert bounded_client.use() is client
    assert client.event_hooks == hooks


@pytest.mark.parametrize("encoding", ["gzip", "br", "x"])
def test_what_is_compressed_is_refused(encoding: str) -> None:
    request = httpx2.Request("GET", "https://hub.example/api/models/a/b?sig=secret")
    response = httpx2.Response(200, headers={"Content-Encoding": encoding}, request=request)
    with pytest.raises(HubFaultError, match=encoding) as refusal:
        bounded_client._bound(response)
    assert "secret" not in str(refusal.value)
