"""A chat on a terminal: messages and commands in turn, and what is said where none is answered."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from rich.console import Console

from serve.cli.chat import session
from serve.cli.chat.answer import Answer
from serve.cli.chat.asking import Parameters
from serve.cli.chat.commands import State
from serve.cli.chat.conversation import Conversation
from serve.cli.chat.display import NoDisplay
from serve.cli.chat.server import AskError


class Server:
    base = "http://127.0.0.1:8000"

    def models(self) -> list[str]:
        return ["demo"]


SERVER: Any = Server()


@pytest.fixture
def state() -> State:
    return State(Conversation(), Parameters(model="demo"), SERVER)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Questions that were asked; each is answered by the same words."""
    seen: list[str] = []

    def ask(_server: Any, _parameters: Any, _talk: Any, question: str, _display: Any) -> Answer:
        seen.append(question)
        return Answer(model="demo", sent_at=0.0, ended_at=1.0, text="So.")

    monkeypatch.setattr(session, "ask", ask)
    return seen


def talk(state: State, typed: Sequence[str | BaseException]) -> str:
    """What stands on the terminal after all that was typed."""
    out = io.StringIO()
    lines: Iterator[str | BaseException] = iter([*typed, EOFError()])

    def read() -> str:
        line = next(lines)
        if isinstance(line, BaseException):
            raise line
        return line

    session.run_session(state, SERVER, Console(file=out, width=80), read, NoDisplay)
    return out.getvalue()


def test_messages_are_asked_without_the_space_around_them(state, asked):
    told = talk(state, ["Why? ", "  ", "", " How?"])
    assert asked == ["Why?", "How?"]
    assert told.startswith("demo at http://127.0.0.1:8000 · /help · Ctrl-D ends")


def test_commands_act_and_are_not_asked(state, asked):
    told = talk(state, ["/system Be brief.", "/exit", "Why?"])
    assert asked == []
    assert "the system message is set" in told
    assert state.has_ended


def test_ctrl_c_forgets_the_line_and_goes_on(state, asked):
    talk(state, [KeyboardInterrupt(), "Why?"])
    assert asked == ["Why?"]


@pytest.mark.parametrize(
    ("code", "num_turns", "is_told"),
    [
        (session.TOO_LONG, 1, True),
        (session.TOO_LONG, 0, False),
        ("queue_full", 1, False),
    ],
)
def test_a_failure_is_told_and_what_to_do_where_the_conversation_is_too_long(
    state, monkeypatch, code, num_turns, is_told
):
    def ask(*_: Any) -> Answer:
        error = AskError("it is \x1b[31mfull")
        error.code = code
        raise error

    monkeypatch.setattr(session, "ask", ask)
    for _ in range(num_turns):
        state.conversation.keep("Why?", "So.")
    told = talk(state, ["And?"])
    assert "error: it is ␛[31mfull" in told
    assert ("/reset forgets" in told) == is_told


def test_an_answer_that_was_stopped_at_once_is_not_kept(state, monkeypatch):
    stopped = Answer(model="demo", sent_at=0.0, was_stopped=True)
    monkeypatch.setattr(session, "ask", lambda *_: stopped)
    assert "stopped before a word came; the question is not kept" in talk(state, ["Why?"])
