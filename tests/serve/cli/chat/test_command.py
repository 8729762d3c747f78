"""The chat as users meet it: a real process on a real terminal or a pipe, against a real socket."""

from __future__ import annotations

import io
import json
import socket
import stat
import sys
from pathlib import Path

import pytest

from serve.cli.chat.history import History
from serve.cli.main import main
from tests.serve.cli.chat.stand_in import USAGE, Reply, StandIn, refusal, standing_in
from tests.terminal import Terminal, on_terminal

PROMPT = "› "


@pytest.fixture(autouse=True)
def without_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    stream = io.TextIOWrapper(io.BytesIO(data))
    monkeypatch.setattr(sys, "stdin", stream)


def contents(server: StandIn, index: int = -1) -> list[str]:
    return [message["content"] for message in server.bodies[index]["messages"]]


def test_a_conversation_on_a_terminal(tmp_path: Path) -> None:
    replies = (
        Reply(["**Bold**", " and `code`.\n\n- one\n", "- two"]),
        Reply(["Half of an ans"], hangs=True),
        Reply(["Whole."]),
        Reply(["Pasted."]),
        Reply(["Edited."]),
    )
    file = tmp_path / "talk.json"
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    with (
        standing_in(*replies) as server,
        on_terminal("-m", "serve", "chat", "--url", f"{server.url}/v1/", **state) as terminal,
    ):
        terminal.wait_for(PROMPT)
        terminal.type("first\r")
        terminal.wait_for("3 tokens · TTFT ")
        terminal.wait_for(PROMPT)

        terminal.type("second\r")
        terminal.wait_for("Half of an ans")
        terminal.type("typed meanwhile is not shown \x15")
        terminal.type("\x03")
        terminal.wait_for("stopped · TTFT")
        assert server.was_left.wait(30), "the server is told at once"
        terminal.wait_for(PROMPT)

        terminal.type("never sent\x03")
        terminal.wait_for(PROMPT)
        terminal.type("a \\\rb\r")
        terminal.wait_for("Whole.")
        assert contents(server) == [
            *("first", "**Bold** and `code`.\n\n- one\n- two"),
            *("second", "Half of an ans"),
            "a \nb",
        ]

        terminal.wait_for(PROMPT)
        terminal.type("\x1b[200~x = 1\ny = 2\x1b[201~\r")
        terminal.wait_for("Pasted.")
        assert contents(server)[-1] == "x = 1\ny = 2", "one message, and not sent at its first line"
        terminal.wait_for(PROMPT)
        terminal.type("Worl\x01Hello \x05d\r")  # to the beginning of the line, and to its end
        terminal.wait_for("Edited.")
        assert contents(server)[-1] == "Hello World"

        terminal.wait_for(PROMPT)
        terminal.type("/mod\tot\t\r")
        terminal.wait_for("other answers from here on")
        terminal.wait_for(PROMPT)
        terminal.type(f"/save {file}\r")
        terminal.wait_for("10 messages in ")
        terminal.wait_for(PROMPT)
        terminal.type("\x04")
        assert terminal.wait() == 0
        assert terminal.rows[1:5] == ["› first", "Bold and code.", " • one", " • two"]
        assert "meanwhile" not in terminal.written
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert not (tmp_path / "state").exists(), "nothing of it is on the disk unless asked for"
        assert set(server.paths) == {"/v1/models", "/v1/chat/completions"}


def test_a_history_that_was_asked_for_is_kept_and_there(tmp_path: Path) -> None:
    History(tmp_path / "intramural").append("remember me")
    with standing_in(Reply(["One."])) as server:
        words = ("-m", "serve", "chat", "--url", server.url, "--model", "demo", "--history")
        with on_terminal(*words, XDG_STATE_HOME=str(tmp_path)) as terminal:
            terminal.wait_for(PROMPT)
            terminal.type("\x1b[A, too\r")
            terminal.wait_for("One.")
            terminal.wait_for(PROMPT)
            terminal.type("/exit\r")
            assert terminal.wait() == 0
        assert contents(server) == ["remember me, too"]
    kept = History(tmp_path / "intramural").lines
    assert kept == ["remember me", "remember me, too", "/exit"]


def test_a_pipe_is_the_question_and_the_answer_is_plain(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, "hi\nthere ☃\n".encode())
    with standing_in(Reply(["**42**", "\x1b[1m."])) as server:
        assert main(["chat", "--url", server.url]) == 0
        assert contents(server) == ["hi\nthere ☃"]
    printed = capsys.readouterr()
    assert printed.out == "**42**\x1b[1m.\n", "as it came: it is for a program"
    assert printed.err == ""


@pytest.mark.parametrize(
    ("words", "question"),
    [
        (["Sum", "up:", "-"], "Sum up:\nthe report"),
        (["-"], "the report"),
        (["What is 5 - 3?"], "What is 5 - 3?"),
        (["5", "-", "3"], "5 - 3"),
    ],
)
def test_words_are_the_question_and_a_dash_is_the_input(
    monkeypatch: pytest.MonkeyPatch, words: list[str], question: str
) -> None:
    piped(monkeypatch, b"the report\n")
    with standing_in(Reply(["x"])) as server:
        assert main(["chat", "--url", server.url, *words]) == 0
        assert contents(server) == [question]


def test_options_go_with_the_question() -> None:
    with standing_in(Reply(["x"])) as server:
        words = ["--system", "Be brief.", "--max-tokens", "9", "--stop", "a", "--stop", "b"]
        assert main(["chat", "Why?", "--url", server.url, *words, "--temperature", "0.5"]) == 0
        (body,) = server.bodies
    assert body == {
        "model": "demo",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Why?"},
        ],
        "temperature": 0.5,
        "max_tokens": 9,
        "stop": ["a", "b"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_script_gets_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    with standing_in(Reply(["4", "2"])) as server:
        assert main(["chat", "--json", "--url", server.url, "17 + 25?"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["answer"], printed["usage"], printed["model"]) == ("42", USAGE, "demo")
    assert (printed["finish_reason"], printed["stopped"]) == ("stop", False)
    assert 0 <= printed["ttft_s"] <= printed["duration_s"]


def test_an_answer_that_was_cut_short_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with standing_in(Reply(["x"], finish_reason="length")) as server:
        assert main(["chat", "--url", server.url, "Why?"]) == 0
    assert "cut short" in capsys.readouterr().err


def test_a_conversation_goes_on_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    file.write_text('[{"role": "user", "content": "One?"}, {"role": "assistant", "content": "1"}]')
    with standing_in(Reply(["2"])) as server:
        assert main(["chat", "--url", server.url, "--load", str(file), "Two?"]) == 0
        assert contents(server) == ["One?", "1", "Two?"]


def test_a_key_is_named_where_it_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    key.write_text("sk-file\n")

    def refused(*words: str) -> str:
        assert main(["chat", "--url", server.url, "hi", *words]) == 2
        return capsys.readouterr().err

    with standing_in() as server:
        server.models = refusal(401, "The API key is not valid.")
        none = refused()
        assert "OPENAI_API_KEY" in none
        assert "--key-file" in none
        monkeypatch.setenv("OPENAI_API_KEY", " sk-variable\n")
        assert "is from OPENAI_API_KEY" in refused()
        assert f"is from --key-file {key}" in refused("--key-file", str(key))
        assert server.keys == [None, "Bearer sk-variable", "Bearer sk-file"]


def test_a_refused_question_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with standing_in(refusal(503, "The queue is full.")) as server:
        assert main(["chat", "--url", server.url, "hi"]) == 1
    assert capsys.readouterr().err == "error: 503: The queue is full.\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ulr", "x"], "'--ulr'. Did you mean --url"),
        (["--url", "ftp://x", "hi"], "--url 'ftp://x': an address is needed"),
        ([" "], "the question is empty"),
        (["--stop", "a"] + ["--stop", "b"] * 4 + ["hi"], "--stop is given 5 times"),
        (["--key-file", "/no/file", "hi"], "--key-file /no/file cannot be read: No such file"),
        (["--key-file", "/dev/null", "hi"], "--key-file /dev/null cannot be read"),
        (["--load", "/no/file", "hi"], "/no/file cannot be read: No such file"),
        (["--max-tokens", "many", "hi"], "--max-tokens"),
    ],
)
def test_what_cannot_be_used_is_one_plain_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", *words]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_a_conversation_needs_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert main(["chat"]) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_without_a_server_the_address_and_the_remedy_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["chat", "hello", "--url", "127.0.0.1:9/v1"]) == 2
    printed = capsys.readouterr().err
    assert "no server answers at http://127.0.0.1:9 (" in printed
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
        assert main(["chat", "--url", "http://127.0.0.1:9", "a secret"]) == 2
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert "no server answers at http://127.0.0.1:9" in capsys.readouterr().err


def test_a_pipe_without_end_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/zero").open() as endless:
        monkeypatch.setattr(sys, "stdin", endless)
        assert main(["chat"]) == 2
    assert "standard input has more than 16,777,216 bytes" in capsys.readouterr().err


def test_certificates_that_cannot_be_read_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/zero")
    assert main(["chat", "Hi", "--url", "https://127.0.0.1:9"]) == 2
    assert "SSL_CERT_FILE names /dev/zero" in capsys.readouterr().err
    assert main(["doctor", "--url", "https://127.0.0.1:9"]) == 2
    assert "SSL_CERT_FILE names /dev/zero" in capsys.readouterr().err
