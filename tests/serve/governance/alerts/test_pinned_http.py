"""Posts to a pinned address: what comes back, and how much of it is read."""

from __future__ import annotations

import pytest

from serve.governance.alerts.pinned_http import PinnedHttp, PostFailed, Target
from serve.governance.alerts.pinning import PinnedHost, network_of
from tests.serve.governance.alerts.receivers import NAME, receiving


def to(port: int) -> PinnedHttp:
    return PinnedHttp(
        Target(scheme="http", host=NAME, port=port, path="/hook"),
        PinnedHost(host=NAME, port=port, network=network_of("127.0.0.1")),
        None,
        5.0,
    )


async def test_an_answer_is_read_as_far_as_is_asked_for():
    answer = b"HTTP/1.1 409 Conflict\r\ncontent-length: 6\r\nconnection: close\r\n\r\n12345\n"
    async with receiving(answer) as receiver:
        http = to(receiver.port)
        found = await http.post(b"x", {}, path="/add-checkpoint", max_bytes=4)
        assert (found.status, found.body) == (409, b"1234")
        assert (await http.post(b"x", {})).body == b""
    assert [posted.target for posted in receiver.posted] == [
        "POST /add-checkpoint HTTP/1.1",
        "POST /hook HTTP/1.1",
    ]


async def test_nobody_listening_is_said_without_the_address():
    with pytest.raises(PostFailed) as failed:
        await to(1).post(b"x", {})
    assert "127.0.0.1" not in str(failed.value)
