"""models.lock: which commit of a repository each pulled model is, and the digest of its files.

``<data_dir>/models.lock`` is JSON, written whole. Copied to another machine it makes `pull` take
the same bytes there: a branch may move, a pin does not until `pull --update`::

    {"format": "intramural-lock/1",
     "models": {"qwen2-7b": {"repo": "Qwen/Qwen2-7B-Instruct", "revision": "main",
                             "commit": "f2826a0…", "digest": "sha256:…"}}}
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from models import durable, home, plain_file
from models.durable import write_whole
from models.errors import LockFileError

LOCK = "models.lock"
FORMAT = "intramural-lock/1"
MAX_BYTES = 16 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """The origin of a model, to the byte.

    Attributes:
        digest: as in its manifest.
        repo: ``owner/name``; None for a model that was copied from a folder that does not say.
        revision: the one that was pulled: a branch, a tag or a commit.
        commit: what that was; None where repo is.
    """

    digest: str
    repo: str | None = None
    revision: str | None = None
    commit: str | None = None


_KEYS = {field.name for field in fields(Pin)}


class LockFile:
    """The pins of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.path = home.expanded(data_dir) / LOCK

    def read(self) -> dict[str, Pin]:
        """All pins by the model's name; none where there is no file.

        Raises:
            LockFileError: it is damaged, or cannot be read.
        """
        try:
            document = json.loads(plain_file.read(self.path, MAX_BYTES, may_be_link=True))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise LockFileError(f"{self.path} cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise self._damaged(f"it is not JSON of the format {FORMAT}")
        models = document.get("models")
        if not isinstance(models, dict):
            raise self._damaged("'models' is not an object")
        return {name: self._pin(name, facts) for name, facts in models.items()}

    def get(self, name: str) -> Pin | None:
        """The pin of one model.

        Raises:
            LockFileError: as in ``read``.
        """
        return self.read().get(name)

    def put(self, name: str, pin: Pin | None) -> None:
        """Set the pin of one model, or remove it (None). The file is replaced in one step.

        Raises:
            LockFileError: as in ``read``, or it cannot be written.
        """
        try:
            with self._held():
                pins = {**self.read(), name: pin}
                self._write({key: value for key, value in pins.items() if value is not None})
        except OSError as error:
            raise LockFileError(f"{self.path} cannot be written: {error.strerror}") from None

    def _write(self, pins: Mapping[str, Pin]) -> None:
        document = {"format": FORMAT, "models": {n: asdict(pin) for n, pin in sorted(pins.items())}}
        write_whole(self.path, (json.dumps(document, indent=2) + "\n").encode())

    @contextmanager
    def _held(self) -> Iterator[None]:
        """One writer at a time: the lock is the folder's, since the file is replaced."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            durable.lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _pin(self, name: str, facts: object) -> Pin:
        if not isinstance(facts, dict) or not set(facts) <= _KEYS:
            raise self._damaged(f"the entry {name!r} has keys other than {sorted(_KEYS)}")
        if not all(value is None or isinstance(value, str) for value in facts.values()):
            raise self._damaged(f"the entry {name!r} has a value that is no text")
        if not _DIGEST.fullmatch(facts.get("digest") or ""):
            raise self._damaged(f"the entry {name!r} has no digest")
        return Pin(**facts)

    def _damaged(self, why: str) -> LockFileError:
        return LockFileError(
            f"{self.path} is damaged: {why}. Restore it from a backup, or move it away: models on "
            "this machine stay usable, and the next pull of each pins it anew."
        )
