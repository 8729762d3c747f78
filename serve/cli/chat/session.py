"""A chat on a terminal: messages and commands in turn, until the user ends it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from rich.console import Console
from rich.text import Text

from serve.cli.chat import commands
from serve.cli.chat.answer import Answer
from serve.cli.chat.asking import ask
from serve.cli.chat.commands import State
from serve.cli.chat.display import Display, harmless
from serve.cli.chat.server import AskError, Server

TOO_LONG = "context_length_exceeded"


def run_session(
    state: State,
    server: Server,
    console: Console,
    read: Callable[[], str],
    display: Callable[[], Display],
) -> None:
    """Read, and act, until /exit or the end of input.

    Args:
        state: the conversation and what goes with each question.
        read: the next message; raises EOFError at the end and KeyboardInterrupt on Ctrl-C.
        display: a new place for an answer.
    """
    say(console, f"{state.parameters.model} at {server.base} · /help · Ctrl-D ends")
    while not state.has_ended:
        try:
            message = read()
        except EOFError:
            console.print()
            return
        except KeyboardInterrupt:
            console.print()
            continue
        if commands.is_command(message):
            with suppress(KeyboardInterrupt):  # of one that waits for a server
                say(console, commands.run(message, state))
        elif message.strip():
            _answer(message.strip(), state, server, console, display())


def say(console: Console, text: str, *, style: str = "dim") -> None:
    """Print something of our own, as it stands; nothing of an empty text."""
    if text:
        console.print(Text(harmless(text), style=style), soft_wrap=True)


def show_summary(console: Console, answer: Answer) -> None:
    """Print the line below an answer."""
    say(console, answer.summary)


def _answer(
    question: str, state: State, server: Server, console: Console, display: Display
) -> None:
    try:
        answer = ask(server, state.parameters, state.conversation, question, display)
    except AskError as error:
        say(console, f"error: {error}", style="red")
        if error.code == TOO_LONG and state.conversation.num_turns:
            say(console, "/reset forgets the conversation so far.")
        return
    if not answer.text and answer.was_stopped:
        say(console, "stopped before a word came; the question is not kept")
        return
    show_summary(console, answer)
    console.print()
