"""The calls of one client, run one after another in the client's own interpreter.

    PYTHON -P tests/clients/process.py CALLS.py URL MODEL RESULTS.json [NAME ...]

A call is a function at the top of CALLS.py whose name has no underscore before it. It gets a
``Server``, raises where the client did not get what it asked for, and may return a plain JSON value
for whoever reads the results. This file imports nothing of ours: the client's environment lacks it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

LIMIT_S = 240
"""For one call: a client that hangs is one that failed."""


@dataclass(frozen=True)
class Server:
    """What a call is told.

    Attributes:
        url: with /v1.
        model: as /v1/models names it.
    """

    url: str
    model: str


def loaded(path: Path) -> ModuleType:
    """The file as a module, under a name that no package has."""
    name = f"usual_calls_of_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def run(module: ModuleType, server: Server, wanted: list[str]) -> list[dict[str, Any]]:
    """The result of each call: its name, the error or None, and what it returned."""
    calls = [
        call
        for name, call in vars(module).items()
        if inspect.isfunction(call) and call.__module__ == module.__name__ and name[0] != "_"
    ]
    signal.signal(signal.SIGALRM, _too_long)
    results = []
    with asyncio.Runner() as loop:  # one for all, as clients keep connections of the loop
        for call in calls:
            if wanted and call.__name__ not in wanted:
                continue
            results.append(_outcome(call, server, loop))
            error = results[-1]["error"]
            print(f"{call.__name__}: {error or 'passed'}", flush=True)
    return results


def _outcome(call: Any, server: Server, loop: asyncio.Runner) -> dict[str, Any]:
    error = value = None
    signal.alarm(LIMIT_S)
    try:
        answer = call(server)
        value = loop.run(answer) if inspect.iscoroutine(answer) else answer
    except Exception as raised:  # noqa: BLE001  whatever a client raises is its outcome
        place = traceback.extract_tb(raised.__traceback__)[-1]
        error = f"{type(raised).__name__}: {raised} ({Path(place.filename).name}:{place.lineno})"
        traceback.print_exc()
    finally:
        signal.alarm(0)
    return {"call": call.__name__, "error": error, "value": value}


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"no end after {LIMIT_S} s")


def main(argv: list[str]) -> int:
    path, url, model, results, *wanted = argv
    told = run(loaded(Path(path)), Server(url, model), wanted)
    Path(results).write_text(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
