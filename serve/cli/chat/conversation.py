"""A conversation: its messages, and the file that they are saved to and loaded from.

The file is one JSON object, ``{"model": NAME, "messages": [{"role": ROLE, "content": TEXT}]}``,
with messages as the API has them. It holds prompts: its owner alone may read it (mode 0600).
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import plain_file

MAX_FILE_BYTES = 64 << 20
ROLES = ("system", "user", "assistant")

Message = dict[str, str]


class FileError(Exception):
    """A conversation that could not be saved or loaded; its message is a plain line."""


@dataclass(slots=True)
class Conversation:
    """The messages so far. A question stays when its answer came, or some of it."""

    messages: list[Message] = field(default_factory=list)
    is_saved: bool = True

    @property
    def num_turns(self) -> int:
        """Messages beside the system's."""
        return sum(message["role"] != "system" for message in self.messages)

    @property
    def system(self) -> str | None:
        first = self.messages[:1]
        return first[0]["content"] if first and first[0]["role"] == "system" else None

    def set_system(self, text: str | None) -> None:
        """Put the system message first; None or an empty text takes it away."""
        self.messages = [m for m in self.messages if m["role"] != "system"]
        if text:
            self.messages.insert(0, {"role": "system", "content": text})

    def reset(self) -> None:
        """Forget all but the system message."""
        self.messages = [m for m in self.messages if m["role"] == "system"]
        self.is_saved = True

    def asked(self, question: str) -> list[Message]:
        """The messages to send, with the question at their end; it is not kept yet."""
        return [*self.messages, {"role": "user", "content": question}]

    def keep(self, question: str, answer: str) -> None:
        """Keep a question with its answer."""
        self.messages = [*self.asked(question), {"role": "assistant", "content": answer}]
        self.is_saved = False

    def save(self, path: Path, model: str, *, may_replace: bool = False) -> None:
        """Write the file, whole or not at all, readable by its owner alone.

        Raises:
            FileError: it is there already, or cannot be written.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new") if may_replace else path
        text = json.dumps({"model": model, "messages": self.messages}, ensure_ascii=False, indent=1)
        try:
            descriptor = os.open(new, flags, 0o600)
        except FileExistsError:
            raise FileError(
                f"{path} is there already. Give another name, or `/save --force {path}`."
            ) from None
        except OSError as error:
            raise FileError(f"{path} cannot be written: {_reason(error)}") from None
        try:
            # Half of a surrogate pair becomes an escape, which is what JSON has for it.
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text + "\n")
            new.replace(path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise FileError(f"{path} cannot be written: {_reason(error)}") from None
        self.is_saved = True

    def load(self, path: Path) -> str | None:
        """Take the messages of a file in place of these; returns the model that it names, if any.

        Raises:
            FileError: it cannot be read, or holds no conversation. These messages are as they were.
        """
        try:
            data = json.loads(plain_file.read(path, MAX_FILE_BYTES, may_be_link=True))
        except (OSError, ValueError, RecursionError) as error:
            raise FileError(f"{path} cannot be read: {_reason(error)}") from None
        messages = data.get("messages") if isinstance(data, dict) else data
        if not isinstance(messages, list) or not all(_is_message(m) for m in messages):
            raise FileError(
                f"{path} holds no conversation: messages are needed, each with a role "
                f"({', '.join(ROLES)}) and its content as text."
            )
        self.messages = [{"role": m["role"], "content": m["content"]} for m in messages]
        self.is_saved = True
        model = data.get("model") if isinstance(data, dict) else None
        return model if isinstance(model, str) else None


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("role") in ROLES
        and isinstance(value.get("content"), str)
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
