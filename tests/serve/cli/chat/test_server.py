"""Addresses as people write them, and a plain line for each way of not answering."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from serve.cli.chat.server import AskError, Key, Server, base_of
from serve.errors import StartupError
from tests.serve.cli.chat.stand_in import Reply, refusal, standing_in

BODY = {"model": "demo", "messages": []}


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000"),
        ("  localhost:8000/v1 ", "http://localhost:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("https://example.org/llm/v1//", "https://example.org/llm"),
        ("https://example.org/v1/v1", "https://example.org/v1"),
        ("https://example.org/v10", "https://example.org/v10"),
    ],
)
def test_the_address_is_taken_with_and_without_v1(given: str, base: str) -> None:
    assert base_of(given) == base


@pytest.mark.parametrize(
    "given",
    [
        "",
        "http://",
        "ftp://x",
        "http://x:y",
        "http://x?a=1",
        "http://x#a",
        "http://u:p@x",
        "http://[",
    ],
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(StartupError, match="an address is needed"):
        base_of(given)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (refusal(503, "The model is loading."), "503: The model is loading."),
        (refusal(400, "bad\x1b[2J\nerror: x"), r"400: bad\\x1b\[2J error: x$"),
        (Reply(status=502, body="<html>"), "the server answered 502"),
        (Reply(status=404, body="<html>"), "404: is http://.* the address, with its path before"),
        (
            Reply(status=307, headers={"location": "https://b/"}),
            "answered 307: ask https://b/. Give",
        ),
        (Reply(body="<html>"), "not as an OpenAI-compatible server does"),
        (Reply(body='{"data": {}}'), "serves no model"),
        (Reply(body='{"data": []}'), "serves no model"),
    ],
)
def test_models_that_cannot_be_listed_are_one_plain_line(reply: Reply, message: str) -> None:
    with standing_in() as stand_in, Server(stand_in.url, None) as server:
        stand_in.models = reply
        with pytest.raises(AskError, match=message) as caught:
            server.models()
        assert "\n" not in str(caught.value)


def test_a_key_goes_with_each_request_and_its_place_is_named() -> None:
    key = Key("sk-1", "OPENAI_API_KEY")
    with standing_in(refusal(401, "Revoked.")) as stand_in, Server(stand_in.url, key) as server:
        assert server.models() == ["demo", "other"]
        with pytest.raises(AskError, match=r"401: Revoked. .* is from OPENAI_API_KEY"):
            list(server.events(BODY))
        assert stand_in.keys == ["Bearer sk-1"] * 2


def test_the_code_of_a_refusal_is_kept() -> None:
    reply = refusal(400, "Too long.", "context_length_exceeded")
    with standing_in(reply) as stand_in, Server(stand_in.url, None) as server:
        with pytest.raises(AskError) as caught:
            list(server.events(BODY))
        assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (b'data: {"error": {"message": "The engine died."}}\n\n', "^The engine died.$"),
        (b'data: {"error": "odd"}\n\n', "the server failed"),
        (b"data: {\n\n", "broke off: what came is no JSON"),
        (b"data: 7\n\n", "broke off: what came is no object"),
    ],
)
def test_an_answer_that_breaks_off_says_why(tail: bytes, message: str) -> None:
    with (
        standing_in(Reply(["Half"], tail=tail)) as stand_in,
        Server(stand_in.url, None) as server,
        pytest.raises(AskError, match=message),
    ):
        list(server.events(BODY))


def test_a_connection_that_ends_too_early_is_an_answer_that_broke_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ndata: {}\n\n")

        thread = threading.Thread(target=answer)
        thread.start()
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Server(base, None) as server, pytest.raises(AskError, match="the answer broke off: "):
            list(server.events(BODY))
        thread.join()


def test_plain_http_behind_https_is_said() -> None:
    with (
        standing_in() as stand_in,
        Server(stand_in.url.replace("http:", "https:"), None) as server,
        pytest.raises(AskError, match=r"does not speak TLS .* http:// rather than https://"),
    ):
        server.models()


def test_half_of_a_surrogate_pair_can_be_sent() -> None:
    message = {"role": "user", "content": "\ud83d"}
    with standing_in(Reply(["x"])) as stand_in, Server(stand_in.url, None) as server:
        list(server.events(BODY | {"messages": [message]}))
        assert json.dumps(stand_in.bodies[0]["messages"]) == json.dumps([message])
