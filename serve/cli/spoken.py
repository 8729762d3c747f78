"""Texts of commands in the words of who typed `intramural`: `intramural models`, not
`python -m models`, which another Python might not have.
"""

from __future__ import annotations

import re
from typing import Any, TextIO

_OURS = re.compile(
    r"(?<![\w./-])python -m(?P<space>\s+)(?P<module>serve|models|quantize|benchmarks)(?![\w.])"
    r"(?P<command> +(?:audit|chat|doctor|evidence|feedback|keys|mask|run|storage|usage)\b)?"
)


def spoken(text: str) -> str:
    """The text with the installed command in place of ``python -m``."""
    return _OURS.sub(_installed, text)


def _installed(match: re.Match[str]) -> str:
    module, command = match["module"], match["command"]
    if module == "serve" and command:
        return f"intramural{match['space']}{command.strip()}"
    return f"intramural{match['space']}{'bench' if module == 'benchmarks' else module}"


class SpokenStream:
    """A text stream whose texts are ``spoken``; in all else the stream that it is given."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write it, and return the number of characters that the writer asked for."""
        self._stream.write(spoken(text) if "python" in text else text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
