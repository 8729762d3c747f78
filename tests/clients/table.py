"""Calls run, and how many of them passed."""

from __future__ import annotations

import ast
import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.environments import python_of
from tests.e2e.server import environment

CALLS = Path(__file__).parent / "calls"
PROCESS = Path(__file__).parent / "process.py"
CLIENTS = tuple(sorted(path.stem for path in CALLS.glob("[a-z]*.py")))
TIMEOUT_S = 3600
QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "NO_PROXY": "*",
}
"""What keeps clients from calling home."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one call: the error that it ended with, and what it returned."""

    error: str | None
    value: Any


def calls_of(client: str) -> list[str]:
    """The names of a client's calls, read without its library."""
    tree = ast.parse((CALLS / f"{client}.py").read_text("utf-8"))
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name[0] != "_"
        and not node.decorator_list
    ]


def outcomes(
    client: str, url: str, model: str, *, calls: Sequence[str] = (), **variables: str
) -> dict[str, Outcome]:
    """Each call of a client against a server.

    Args:
        url: of the server, without /v1.
        calls: those to run; all unless named.
        variables: of the environment, for calls that want to know more.

    Raises:
        NotInstalled: the client could not be had.
        RuntimeError: its process ended before its calls did; the message has its last words.
    """
    python = python_of(client)
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch) / "results.json"
        ended = subprocess.run(
            [
                *(str(python), "-P", str(PROCESS), str(CALLS / f"{client}.py")),
                *(f"{url}/v1", model, str(results), *calls),
            ],
            cwd=scratch,
            env=environment(**QUIET, HOME=scratch, **variables),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if not results.is_file():
            raise RuntimeError(f"{client} ended with {ended.returncode}: {ended.stderr[-2000:]}")
        told = json.loads(results.read_text())
    return {item["call"]: Outcome(item["error"], item["value"]) for item in told}
