"""The commands of a chat, each a line that begins with a slash, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from models import home
from models.errors import HomelessError
from serve.cli.chat.asking import Parameters
from serve.cli.chat.conversation import Conversation, FileError
from serve.cli.chat.server import AskError
from serve.observe.terminal_lines import printable
from serve.suggestion import near

MAX_STOPS = 4
"""As many as OpenAI's API takes."""
FORCE = "--force"


class ModelNames(Protocol):
    """The server, as far as commands need it."""

    def models(self) -> list[str]: ...


@dataclass(slots=True)
class State:
    """The part of a chat that commands change."""

    conversation: Conversation
    parameters: Parameters
    server: ModelNames
    has_ended: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A command: what follows its name, what it does, and the function that returns its reply."""

    argument: str
    help: str
    run: Callable[[State, str], str]


def _model(state: State, name: str) -> str:
    names = state.server.models()
    if not name:
        marks = (f"{'*' if each == state.parameters.model else ' '} {each}" for each in names)
        return "\n".join(marks)
    if name not in names:
        return f"the server has no model {name!r}.{near(name, names)} /model lists them."
    state.parameters.model = name
    return f"{name} answers from here on, with the conversation so far"


def _system(state: State, text: str) -> str:
    had_one = state.conversation.system is not None
    state.conversation.set_system(text)
    if text:
        return "the system message is set"
    return "the system message is taken away" if had_one else "there is no system message"


def _stop(state: State, text: str) -> str:
    stops = state.parameters.stop
    if not text:
        stops.clear()
        return "answers end where the model ends them. (Ctrl-C stops one that is coming.)"
    if len(stops) >= MAX_STOPS:
        return f"there are {MAX_STOPS} stop strings already, the most that are taken: /stop clears"
    stops.append(text.replace("\\n", "\n"))
    return f"answers end before {' or '.join(repr(stop) for stop in stops)}"


def _reset(state: State, _: str) -> str:
    count = state.conversation.num_turns
    state.conversation.reset()
    rest = "; the system message stays" if state.conversation.system else ""
    return f"{_messages(count)} forgotten{rest}"


def _save(state: State, words: str) -> str:
    may_replace = words.split(maxsplit=1)[:1] == [FORCE]
    name = words.removeprefix(FORCE).strip() if may_replace else words
    if not name:
        return "give a name: /save FILE"
    path = _path(name)
    was_there = path.exists()
    state.conversation.save(path, state.parameters.model, may_replace=may_replace)
    replaced = ", in place of what it held" if was_there else ""
    return (
        f"{_messages(len(state.conversation.messages))} in {path}{replaced}; only you can read it"
    )


def _load(state: State, name: str) -> str:
    if not name:
        return "give a name: /load FILE"
    path, before = _path(name), state.conversation.num_turns
    was_saved = state.conversation.is_saved
    model = state.conversation.load(path)
    told = f"{_messages(len(state.conversation.messages))} from {path}"
    if before:
        told += f", in place of {before}{'' if was_saved else ' that were not saved'}"
    if model and model != state.parameters.model:
        told += f". They were with {model}; {state.parameters.model} goes on"
    return told


def _help(_: State, __: str) -> str:
    rows = [(f"/{name} {command.argument}", command.help) for name, command in COMMANDS.items()]
    rows += [
        ("\\ at a line's end", 'goes on in the next one; so does text in """'),
        ("Ctrl-C", "stops an answer; at the prompt it clears the line"),
        ("Ctrl-D", "ends"),
    ]
    width = max(len(left) for left, _ in rows)
    return "\n".join(f"{left.ljust(width)}  {right}" for left, right in rows)


def _exit(state: State, _: str) -> str:
    state.has_ended = True
    return ""


COMMANDS = {
    "model": Command("[NAME]", "lists the models, or takes another one", _model),
    "system": Command("[TEXT]", "sets the system message, or takes it away", _system),
    "stop": Command("[TEXT]", "ends answers before this text, or no longer", _stop),
    "reset": Command("", "forgets the conversation, not the system message", _reset),
    "save": Command(f"[{FORCE}] FILE", "writes the conversation as JSON, mode 0600", _save),
    "load": Command("FILE", "takes a saved conversation in place of this one", _load),
    "help": Command("", "shows this", _help),
    "exit": Command("", "ends, as Ctrl-D does", _exit),
}
ALSO = {"quit": "exit", "bye": "exit", "clear": "reset", "?": "help"}
"""Names that other chats have for the same."""


def is_command(line: str) -> bool:
    """Whether a line is for the chat itself. One that begins with a space is for the model."""
    return line.startswith("/")


def run(line: str, state: State) -> str:
    """Run a command; returns what to tell the user, which may be empty."""
    word, _, rest = line.removeprefix("/").partition(" ")
    name = ALSO.get(word.strip().lower(), word.strip().lower())
    command = COMMANDS.get(name)
    if command is None:
        known = [f"/{each}" for each in COMMANDS]
        return (
            f"there is no command /{printable(word[:40])}.{near(f'/{name}', known)} /help lists "
            "them. To say it to the model, begin with a space."
        )
    try:
        return command.run(state, rest.strip())
    except (AskError, FileError, HomelessError) as error:
        return str(error)


def completions(line: str, state: State) -> Sequence[str]:
    """The lines that a line could become: names of commands, then models or files."""
    if not is_command(line):
        return ()
    word, space, rest = line.partition(" ")
    if not space:
        found = [f"/{name}" for name in COMMANDS if f"/{name}".startswith(word)]
        return [f"{name} " if COMMANDS[name[1:]].argument else name for name in found]
    if word == "/model":
        return [f"{word} {name}" for name in _models(state) if name.startswith(rest)]
    if word in {"/save", "/load"}:
        force = f"{FORCE} " if rest.startswith(f"{FORCE} ") else ""
        return [f"{word} {force}{path}" for path in _files(rest.removeprefix(force))]
    return ()


def _models(state: State) -> list[str]:
    try:
        return state.server.models()
    except AskError:
        return []


def _files(begun: str) -> Iterator[str]:
    """Paths that begin so, folders with a slash behind them; without hidden ones unless asked."""
    folder, slash, part = begun.rpartition("/")
    try:
        entries = sorted(_path(folder + slash or ".").iterdir())
    except (OSError, HomelessError):
        return
    for entry in entries:
        if entry.name.startswith(part) and (part or not entry.name.startswith(".")):
            yield f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}"


def _path(name: str) -> Path:
    return home.expanded(Path(name))


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"
