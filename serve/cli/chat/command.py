"""The command line of the chat: one question and its answer, or a conversation on a terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from models.cli.output import accept_any_name
from serve.cli.chat import commands
from serve.cli.chat.asking import Parameters, ask
from serve.cli.chat.commands import State
from serve.cli.chat.conversation import Conversation, FileError
from serve.cli.chat.display import Display, MarkdownDisplay, NoDisplay, PlainDisplay
from serve.cli.chat.history import History
from serve.cli.chat.line_editor import LineEditor
from serve.cli.chat.server import AskError, Server, base_of, key_from
from serve.cli.chat.session import run_session, say, show_summary
from serve.cli.flags import Parser
from serve.config_sources import load_config
from serve.errors import StartupError
from serve.suggestion import near

STDIN = "-"
INTERRUPTED = 130
MAX_PIPED_BYTES = 16 << 20
"""Of a question from a pipe; a body for a context of 160,000 tokens may have as much."""
EPILOG = """\
Without a question it is a conversation, on a terminal; /help there lists the commands. Input from a
pipe is the question, or follows it where its last word is `-`: cat report.txt | ... chat Sum up: -

The key, if the server wants one, is read from OPENAI_API_KEY. Nothing that is said is written to
the disk, but with --history and /save. docs/chat.md has more.

exit codes: 0 answered; 1 no answer, or it broke off; 2 the arguments cannot be used, or no server
answers; 130 interrupted
"""


def run_chat(argv: Sequence[str]) -> int:
    """Run the chat until the user ends it; returns the exit code."""
    accept_any_name()
    arguments = _parse(argv)
    question = _question(arguments)
    with Server(base_of(arguments.url), key_from(arguments.key_file)) as server:
        state = _state(arguments, server)
        console = Console()
        if question is not None:
            return _answer_once(question, state, server, console, arguments)
        history = History(load_config({}).state_dir) if arguments.history else None
        editor = LineEditor(
            lambda line: commands.completions(line, state),
            history,
            has_colour=console.color_system is not None and not console.no_color,
        )
        run_session(
            state, server, console, editor.read, lambda: _terminal_display(console, arguments)
        )
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    arguments, unknown = parser.parse_known_intermixed_args(list(argv))
    if unknown:
        word = unknown[0].split("=", 1)[0]
        known = [flag for action in parser._actions for flag in action.option_strings]  # noqa: SLF001
        raise StartupError(f"unknown argument {word!r}.{near(word, known)} See --help.")
    return arguments


def _parser() -> Parser:
    parser = Parser(
        prog="python -m serve chat",
        description="Talk to any OpenAI-compatible server.",
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("question", nargs="*", help="say this, print the answer and end")
    add(
        "--url",
        default="http://127.0.0.1:8000",
        help="server, with or without /v1 at its end (default: %(default)s)",
    )
    add("--model", metavar="NAME", help="model to ask (default: the server's first)")
    add("--system", metavar="TEXT", help="system message")
    add("--temperature", type=float, default=0.0, metavar="T", help="default: %(default)s")
    add("--max-tokens", type=int, metavar="N", help="most tokens of an answer; default: what fits")
    add("--stop", action="append", metavar="TEXT", help="end answers before this; up to 4 times")
    add("--load", type=Path, metavar="FILE", help="go on with a conversation that /save wrote")
    add("--key-file", type=Path, metavar="FILE", help="file that holds the API key alone")
    add("--plain", action="store_true", help="show answers as they come, without Markdown")
    add("--json", action="store_true", help="print one JSON object: answer, usage, times")
    add(
        "--history",
        action="store_true",
        help="keep what is typed for later chats, in the state folder, mode 0600 (default: no)",
    )
    return parser


def _question(arguments: argparse.Namespace) -> str | None:
    """The one question, from words and input; None is a conversation.

    Raises:
        StartupError: there is none, and no terminal for a conversation.
    """
    words: list[str] = arguments.question
    if not words and not sys.stdin.isatty():
        words = [STDIN]
    if not words:
        if arguments.json or not sys.stdout.isatty():
            raise StartupError(
                "a conversation needs a terminal: give the question, as an argument or by a pipe"
            )
        return None
    question = " ".join(words)
    if words[-1] == STDIN:
        given = _piped()
        question = "\n".join(part for part in (" ".join(words[:-1]), given) if part)
    if not question.strip():
        raise StartupError("the question is empty: give one as an argument, or by a pipe")
    return question


def _piped() -> str:
    """Text that the pipe brings.

    Raises:
        StartupError: it is more than a question can be.
    """
    given = sys.stdin.buffer.read(MAX_PIPED_BYTES + 1)
    if len(given) > MAX_PIPED_BYTES:
        raise StartupError(
            f"standard input has more than {MAX_PIPED_BYTES:,} bytes: send less at once."
        )
    return given.decode("utf-8", "replace").rstrip("\n")


def _state(arguments: argparse.Namespace, server: Server) -> State:
    """The conversation to begin with.

    Raises:
        StartupError: the server does not answer, or the file of --load cannot be used.
    """
    stops: list[str] = arguments.stop or []
    if len(stops) > commands.MAX_STOPS:
        raise StartupError(f"--stop is given {len(stops)} times: {commands.MAX_STOPS} are taken")
    conversation = Conversation()
    try:
        if arguments.load:
            conversation.load(arguments.load)
        if arguments.system is not None:
            conversation.set_system(arguments.system)
        model = arguments.model or server.models()[0]
    except (AskError, FileError) as error:
        raise StartupError(str(error)) from None
    parameters = Parameters(
        model=model,
        temperature=arguments.temperature,
        max_tokens=arguments.max_tokens,
        stop=stops,
    )
    return State(conversation, parameters, server)


def _answer_once(
    question: str, state: State, server: Server, console: Console, arguments: argparse.Namespace
) -> int:
    is_terminal = console.is_terminal and not arguments.json
    display: Display = NoDisplay() if arguments.json else PlainDisplay()
    if is_terminal:
        display = _terminal_display(console, arguments)
    try:
        answer = ask(server, state.parameters, state.conversation, question, display)
    except AskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(answer.as_json(), ensure_ascii=False))
    elif is_terminal:
        show_summary(console, answer)
    elif answer.finish_reason == "length":
        say(Console(stderr=True), "the answer was cut short: no more tokens were allowed")
    return INTERRUPTED if answer.was_stopped else 0


def _terminal_display(console: Console, arguments: argparse.Namespace) -> Display:
    if arguments.plain or console.is_dumb_terminal:
        return PlainDisplay(is_terminal=True)
    return MarkdownDisplay(console)
