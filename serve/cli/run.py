"""`python -m serve run MODEL [QUESTION]`: a chat with a model, or one answer, in one command.

A server that serves the model on the port already is asked; else one is started, on loopback and a
process of its own, and ended with the chat. It is started away from the terminal: Ctrl-C stops an
answer, and its log lies in a file that is shown where the start fails.
"""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
from rich.console import Console

from serve.cli.flags import add_settings, parse_with, settings, subparser
from serve.config_sources import load_config
from serve.environment import client_api_key
from serve.errors import StartupError
from serve.setting_names import flag_of

DESCRIPTION = "Chat with a model, or ask it one question: nothing needs to run before."
EPILOG = """\
Where a server on the port serves this model, it is asked. Else one is started with the settings
given here, answers nobody but this machine, and is ended with the chat.

examples:
  python -m serve run demo                          a chat; Ctrl-D ends it
  python -m serve run demo "What is TTFT?"          one answer
  python -m serve run qwen2.5-7b --quant int8       fetched and quantised the first time

exit codes: 0 done; 1 no answer; 2 it cannot be served: the message says why; 130 interrupted
"""
LOOPBACK = "127.0.0.1"
ASK_S = 2.0
"""Patience with a server that might be there already."""
POLL_S = 0.05
END_S = 15.0
"""Time from SIGTERM to SIGKILL: a server ends its streams first."""
TAIL_LINES = 15


def run_model(argv: Sequence[str]) -> int:
    """Chat with the model, or have one question answered; returns the exit code."""
    from serve.cli.chat import run_chat  # noqa: PLC0415 - the model may as well be refused

    parser = subparser("run", DESCRIPTION, EPILOG)
    parser.usage = f"{parser.prog} MODEL [QUESTION] [--system TEXT] [SETTINGS]"
    parser.add_argument("name", metavar="MODEL", help="a name that is known, or a folder")
    parser.add_argument("question", nargs="?", help="print the answer to this, and end")
    parser.add_argument("--system", metavar="TEXT", help="system message")
    parser.add_argument("--temperature", metavar="FLOAT", help="of the answers (default: 0)")
    parser.add_argument("--max-tokens", metavar="INT", help="most tokens of an answer")
    add_settings(parser)
    arguments = parse_with(parser, argv)
    given = settings(arguments) | {"model": arguments.name, "host": LOOPBACK}
    config = load_config(given, file=arguments.config)
    if config.ssl_certfile is not None:
        raise StartupError(
            "`run` starts a server for this machine alone, on loopback and without TLS: leave out "
            "--ssl-certfile and what goes with it, or start `python -m serve` and ask it by `chat`."
        )
    words = [] if arguments.question is None else [arguments.question]
    for flag in ("system", "temperature", "max_tokens"):
        if (value := getattr(arguments, flag)) is not None:
            words += [flag_of(flag), value]
    url = f"http://{LOOPBACK}:{config.port}"
    names = served_at(url) if config.port else None
    if names is not None and config.model in names:
        return run_chat([*words, "--url", url, "--model", config.model])
    port = config.port if config.port and names is None else _free_port()
    with _terminated_as_interrupted(), own_server(_flags(arguments), port) as own:
        return run_chat([*words, "--url", own])


def _flags(arguments: argparse.Namespace) -> list[str]:
    """The settings that were given, as flags of the server's own command line."""
    kept = ["--model", arguments.name, "--host", LOOPBACK]
    if arguments.config is not None:
        kept += ["--config", str(arguments.config)]
    for name, value in settings(arguments).items():
        if name in {"model", "host", "port"}:
            continue
        flag = flag_of(name)
        if isinstance(value, bool):
            kept.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, list | tuple):
            kept += _repeated(flag, value)
        else:
            kept += [flag, str(value)]
    return kept


def _repeated(flag: str, values: Sequence[object]) -> list[str]:
    """A flag that takes several values: once with all, or once for each, which most do alike."""
    if flag in {flag_of("lora"), flag_of("engine_arg")}:
        return [word for value in values for word in (flag, str(value))]
    return [flag, *map(str, values)]


def served_at(url: str) -> list[str] | None:
    """The names of the models that a server there serves; None where nobody answers.

    Empty where somebody answers otherwise than with models: the port is taken.
    """
    headers = {"Authorization": f"Bearer {key}"} if (key := client_api_key()) else {}
    try:
        with httpx.Client(trust_env=False, timeout=ASK_S) as client:
            listed = client.get(f"{url}/v1/models", headers=headers)
        return [str(model["id"]) for model in listed.json()["data"]]
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return None
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return []


@contextmanager
def own_server(flags: Sequence[str], port: int) -> Iterator[str]:
    """A server of one's own while the context lasts; yields its URL once it is ready.

    Args:
        flags: of `python -m serve`, without its port.
        port: to listen on.

    Raises:
        StartupError: it ended before it was ready; the message is what it said.
    """
    with tempfile.TemporaryDirectory(prefix="intramural-run-") as folder:
        log = Path(folder) / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - this very server
                [*_python(), "-m", "serve", *flags, "--port", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the answer
            )
        try:
            yield _when_ready(process, f"http://{LOOPBACK}:{port}", log)
        finally:
            _end(process)


def _python() -> list[str]:
    """The interpreter; it takes no module from the current folder but for our own sources."""
    is_checkout = Path(__file__).resolve().parents[2] == Path.cwd()
    return [sys.executable] if is_checkout else [sys.executable, "-P"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _when_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> str:
    """The URL, once the server has started; meanwhile what it is at is shown."""
    with (
        Console(stderr=True).status("starting the server") as status,
        httpx.Client(trust_env=False, timeout=ASK_S) as client,
    ):
        while process.poll() is None:
            told = _startup(client, url)
            if told.get("status") == "started":
                return url
            if phases := told.get("phases"):
                status.update(_shown(phases[-1]))
            time.sleep(POLL_S)
    raise StartupError(_last_words(log, process.returncode))


def _last_words(log: Path, code: int) -> str:
    """The reason why the server ended: what it said for people, or else the end of its log."""
    lines = log.read_text("utf-8", "replace").splitlines()
    said = [line for line in lines if line and not line.startswith("{")] or lines
    text = "\n".join(said[-TAIL_LINES:]).removeprefix("error: ")
    return text or f"the server ended with exit code {code} and said nothing."


def _startup(client: httpx.Client, url: str) -> dict[str, Any]:
    try:
        told: dict[str, Any] = client.get(f"{url}/startupz").json()
    except (httpx.HTTPError, ValueError):
        return {}
    return told


def _shown(phase: dict[str, Any]) -> str:
    """A phase of the start in a few words: ``load weights 40 %``."""
    share = f" {100 * phase['done'] / phase['total']:.0f} %" if phase["total"] else ""
    return f"{phase['name'].replace('_', ' ')}{share}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server, kindly first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end this process as Ctrl-C does, so that its server ends with it."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
