"""The journal of a run: the shards that are whole, so that the next run goes on with them.

``parts/quantize.json`` in the staging folder. It holds for one plan over one source: anything else
has another fingerprint, and what lies there is thrown away. A shard is entered after it is on the
disk under its name, so a shard that is not entered is made again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models import plain_file
from models.durable import write_whole
from quantize.plan.layout import Shard
from quantize.plan.scheme_plan import SchemePlan
from quantize.write.row_chunks import LayerError

FORMAT = "intramural-quantize/2"
NAME = "quantize.json"
MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One shard that is whole.

    Attributes:
        sha256: of the file.
        size: bytes.
        layers: what was measured on the way.
    """

    sha256: str
    size: int
    layers: tuple[LayerError, ...]


class Journal:
    """The shards that are done, by file name."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._path = folder / NAME
        self._fingerprint = fingerprint
        self.done: dict[str, Done] = {}

    def load(self, tree: Path) -> bool:
        """Take up what an earlier run left. Returns False where that was for something else."""
        try:
            document = json.loads(plain_file.read(self._path, MAX_BYTES))
            if document["fingerprint"] != self._fingerprint:
                return False
            entered = {name: _done(entry) for name, entry in document["done"].items()}
        except FileNotFoundError:
            return not any(tree.iterdir())
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            RecursionError,
        ):  # not one of ours, or damaged: begin anew
            return False
        self.done = {
            name: done for name, done in entered.items() if _is_here(tree / name, done.size)
        }
        return True

    def forget(self) -> None:
        """Nothing is done any more: before what is there is changed.

        Raises:
            OSError: it could not be written.
        """
        self.done = {}
        self._write()

    def enter(self, name: str, done: Done) -> None:
        """Keep that a shard is whole; on the disk when this returns.

        Raises:
            OSError: it could not be written.
        """
        self.done[name] = done
        self._write()

    def _write(self) -> None:
        document = {
            "fingerprint": self._fingerprint,
            "done": {name: asdict(done) for name, done in self.done.items()},
        }
        write_whole(self._path, json.dumps(document).encode())


def fingerprint(source_digest: str, plan: SchemePlan, shards: list[Shard]) -> str:
    """A hash of everything that the bytes of the result depend on."""
    headers = [hashlib.sha256(shard.header).hexdigest() for shard in shards]
    facts = [
        FORMAT,
        source_digest,
        plan.scheme,
        plan.method,
        asdict(plan.form),
        plan.config,
        headers,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _done(entry: dict[str, Any]) -> Done:
    layers = tuple(LayerError(**layer) for layer in entry["layers"])
    return Done(sha256=entry["sha256"], size=entry["size"], layers=layers)


def _is_here(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
