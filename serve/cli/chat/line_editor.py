"""The prompt: one message read from the terminal, over several lines where it has them.

Editing, history and completion are GNU readline's, through the standard library; without it (some
builds of Python) the terminal's own editing is left. A message goes on over lines that end with a
backslash, between two \"\"\", and over all that was pasted at once (bracketed paste).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from serve.cli.chat.history import History

try:
    import readline
except ImportError:  # pragma: no cover - a Python that was built without it
    readline = None  # type: ignore[assignment]

FIRST, MORE = "› ", "… "
QUOTES = '"""'
Complete = Callable[[str], Sequence[str]]
_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")


class LineEditor:
    """Reads messages.

    Args:
        complete: all completions of the line up to the cursor.
        history: the lines of earlier chats, to be added to; None keeps them for this chat only.
        has_colour: the prompt is coloured.
    """

    def __init__(self, complete: Complete, history: History | None, *, has_colour: bool) -> None:
        self._complete, self._history, self._has_colour = complete, history, has_colour
        self._matches: Sequence[str] = ()
        if readline is not None:
            self._set_up()

    def _set_up(self) -> None:
        readline.set_auto_history(False)  # a message is one entry, however many lines it has
        readline.clear_history()
        for line in self._history.lines if self._history else ():
            readline.add_history(line)
        readline.set_completer(self._match)
        readline.set_completer_delims("")  # the whole line is completed
        if "libedit" in (readline.__doc__ or ""):
            readline.parse_and_bind("bind ^I rl_complete")
            return
        readline.parse_and_bind("tab: complete")
        # Python turns it off. What is pasted comes as one line, with its breaks, and is not sent.
        readline.parse_and_bind("set enable-bracketed-paste on")
        readline.parse_and_bind("set completion-ignore-case on")

    def read(self) -> str:
        """The next message, which stands in the history from now on.

        Raises:
            EOFError: the input has ended (Ctrl-D).
            KeyboardInterrupt: what was typed is to be forgotten (Ctrl-C).
        """
        message = read_message(self._read_line)
        if readline is not None and message.strip():
            last = readline.get_history_item(readline.get_current_history_length())
            if message != last:
                readline.add_history(message)
                if self._history:
                    self._history.append(message)
        return message

    def _read_line(self, prompt: str) -> str:
        if not self._has_colour:
            return input(prompt)
        # Between \x01 and \x02 stands what takes no room, for readline to know the columns.
        return input(f"\x01\x1b[1;32m\x02{prompt}\x01\x1b[0m\x02")

    def _match(self, text: str, index: int) -> str | None:
        if index == 0:
            self._matches = self._complete(text)
        return self._matches[index] if index < len(self._matches) else None


def read_message(read_line: Callable[[str], str]) -> str:
    """One message from one line or several.

    Raises:
        EOFError, KeyboardInterrupt: what ``read_line`` raises.
    """
    line = read_line(FIRST)
    if line.lstrip().startswith(QUOTES):
        return _quoted(line.lstrip().removeprefix(QUOTES), read_line)
    while line.endswith("\\"):
        line = f"{line[:-1]}\n{read_line(MORE)}"
    return line


def _quoted(text: str, read_line: Callable[[str], str]) -> str:
    while QUOTES not in text:
        text = f"{text}\n{read_line(MORE)}"
    inside, _, rest = text.partition(QUOTES)
    return f"{inside}{rest}".strip("\n")
