"""The terminal chat: what it sends, what it prints, and what it keeps of a conversation."""

from __future__ import annotations

import io
import json
import socket
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from serve.cli import chat as module
from serve.cli.chat import Chat
from serve.cli.main import main
from serve.errors import StartupError

Answer = Callable[[httpx.Request], httpx.Response]


def stream(*parts: str, end: str = "data: [DONE]\n\n") -> httpx.Response:
    """An answer in server-sent events: the role, the parts, then ``end``."""
    deltas = [{"role": "assistant"}, *({"content": part} for part in parts)]
    events = [f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n" for delta in deltas]
    return httpx.Response(200, text="".join(events) + end)


class Server:
    """A stand-in: answers from a list, and keeps what it was sent."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, object]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(json.loads(request.content))
        return self.answers.pop(0)


def conversation(server: Answer, **options: object) -> tuple[Chat, io.StringIO]:
    file = io.StringIO()
    defaults: dict[str, object] = {"system": None, "temperature": 0.0, "max_tokens": None}
    client = httpx.Client(transport=httpx.MockTransport(server), base_url="http://server")
    return Chat(client, "demo", Console(file=file), Namespace(**defaults | options)), file


def test_an_answer_is_printed_as_it_stands_and_kept() -> None:
    server = Server(stream("[bold]42", ".[/]"), stream("Yes."))
    chat, file = conversation(server, system="Be brief.", max_tokens=9)
    assert chat.say("17 + 25?")
    assert chat.say("Sure?")
    assert file.getvalue() == "[bold]42.[/]\nYes.\n"
    first, second = server.bodies
    assert (first["model"], first["stream"], first["max_tokens"]) == ("demo", True, 9)
    assert [(m["role"], m["content"]) for m in second["messages"]] == [  # type: ignore[attr-defined]
        ("system", "Be brief."),
        ("user", "17 + 25?"),
        ("assistant", "[bold]42.[/]"),
        ("user", "Sure?"),
    ]


def test_the_server_bounds_the_answer_unless_told() -> None:
    server = Server(stream("x"))
    conversation(server)[0].say("Hi")
    assert "max_tokens" not in server.bodies[0]


ERROR = '{"error": {"message": "The queue is full.", "code": "queue_full"}}'


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (httpx.Response(503, text=ERROR), "error: 503: The queue is full."),
        (httpx.Response(502, text="<html>"), "error: the server answered 502"),
        (stream("Half", end=f"data: {ERROR}\n\n"), "error: The queue is full."),
    ],
)
def test_a_question_that_failed_may_be_asked_again(answer: httpx.Response, shown: str) -> None:
    server = Server(answer, stream("Whole."))
    chat, file = conversation(server)
    assert not chat.say("Why?")
    assert shown in file.getvalue()
    assert chat.say("Why?")
    assert server.bodies[1]["messages"] == [{"role": "user", "content": "Why?"}]


def test_commands_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["/system Be kind.", "", "One", "/help", "/reset", "Two", "/system", "Three", "/exit"]
    server = Server(*(stream("ok") for _ in range(3)))
    chat, file = conversation(server)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    chat.loop()
    system = {"role": "system", "content": "Be kind."}
    one, two, three = (body["messages"] for body in server.bodies)
    assert one == [system, {"role": "user", "content": "One"}]
    assert two == [system, {"role": "user", "content": "Two"}], "the system message stays"
    assert system not in three  # type: ignore[operator]
    assert file.getvalue().count("/reset forgets") == 2, "at the start, and for /help"


def test_the_end_of_input_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    conversation(Server())[0].loop()


def test_the_end_of_input_at_a_terminal_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> str:
        raise EOFError

    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr(Console, "input", closed)
    conversation(Server())[0].loop()


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/zero").open() as endless:
        monkeypatch.setattr(sys, "stdin", endless)
        with pytest.raises(StartupError, match="a line of standard input has more than 1,048,576"):
            conversation(Server())[0].loop()


def test_the_first_model_of_the_server_is_asked() -> None:
    def models(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": [{"id": "a"}, {"id": "b"}]})

    def locked(_: httpx.Request) -> httpx.Response:
        return httpx.Response(401, text='{"error": {"message": "The API key is not valid."}}')

    def client(answer: Answer) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://server")

    assert module._only_model(client(models)) == "a"
    with pytest.raises(StartupError, match="401: The API key is not valid"):
        module._only_model(client(locked))


def test_without_a_server_the_address_and_the_remedy_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["chat", "hello", "--url", "http://127.0.0.1:9"]) == 2
    printed = capsys.readouterr().err
    assert "no server answers at http://127.0.0.1:9" in printed
    assert "`make serve`" in printed


def test_no_prompt_goes_to_a_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        for variable in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(variable, address)
        monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        assert main(["chat", "--url", "http://127.0.0.1:9", "a secret"]) == 2
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert "no server answers at http://127.0.0.1:9" in capsys.readouterr().err


def test_an_answer_cannot_steer_the_terminal() -> None:
    chat, file = conversation(Server(stream("a\x1b[2Jb\x9b", "c\n\u200d字")))
    assert chat.say("Hi")
    assert file.getvalue() == "a\\x1b[2Jb\\x9bc\n\u200d字\n"


def test_a_models_name_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    chat, file = conversation(Server())
    chat._model = "[/x]\x1b[2J"
    monkeypatch.setattr(sys, "stdin", io.StringIO("/exit\n"))
    chat.loop()
    assert file.getvalue().startswith("[/x]\\x1b[2J · /system")


@pytest.mark.parametrize("event", ["no json", "[]", '{"choices": [{}]}', '{"error": "x"}'])
def test_a_stream_of_something_else_is_an_error(event: str) -> None:
    chat, file = conversation(Server(stream(end=f"data: {event}\n\n")))
    assert not chat.say("Hi")
    assert "error: the server streams something else" in file.getvalue()


@pytest.mark.parametrize("body", ["<html>", "[]", "{}", '{"data": []}', '{"data": [{}]}'])
def test_a_server_of_something_else_is_told(body: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=body))
    client = httpx.Client(transport=transport, base_url="http://server")
    with pytest.raises(StartupError, match="lists no models as OpenAI's API does"):
        module._only_model(client)


def test_certificates_that_cannot_be_read_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/zero")
    assert main(["chat", "Hi", "--url", "https://127.0.0.1:9"]) == 2
    assert "SSL_CERT_FILE names /dev/zero" in capsys.readouterr().err
    assert main(["doctor", "--url", "https://127.0.0.1:9"]) == 2
    assert "SSL_CERT_FILE names /dev/zero" in capsys.readouterr().err
