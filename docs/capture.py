"""Makes docs/demo.svg: starts the demo server, asks it for real, and draws what was said.

`python -m docs.capture` from the repository's root. Nothing in the picture is made up: a question
that the model answers badly is shown with its bad answer.
"""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import time
from html import unescape
from pathlib import Path

import httpx
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from serve.cli.chat.answer import Answer
from serve.cli.chat.asking import Parameters, ask
from serve.cli.chat.conversation import Conversation
from serve.cli.chat.display import NoDisplay
from serve.cli.chat.markdown_rows import rows
from serve.cli.chat.server import Server

OUTPUT = Path(__file__).parent / "demo.svg"
QUESTIONS = (
    "What is Intramural?",
    "What does TTFT mean?",
    "What is 17 + 25?",
    "法国的首都是哪里？",
)
READY_TIMEOUT_S = 120
WIDTH = 92


def main() -> int:
    """Start, ask, draw, stop."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "serve", "--model", "demo", "--port", str(port)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())
    try:
        wait_ready(url)
        with Server(url, None) as asked:
            answers = [(question, _ask(asked, question)) for question in QUESTIONS]
    finally:
        server.terminate()
        _, log = server.communicate(timeout=60)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ make serve", style="bold green"))
    banner = [_with_port(line, port) for line in log.splitlines() if not line.startswith("{")]
    console.print(Text("\n".join(banner)))
    for question, answer in answers:
        console.print(Text(f'$ python -m serve chat "{question}"', style="bold green"))
        console.print(Text.from_ansi("\n".join(rows(answer.text, console))))
        console.print(Text(answer.summary, style="dim"))
    # rich would have the viewer fetch a font from a public host; ours dials nobody.
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="Intramural"), flags=re.DOTALL)
    OUTPUT.write_text(re.sub(r'textLength="([0-9.]+)"([^>]*)>([^<]*)', _as_wide, svg), "utf-8")
    print(f"wrote {OUTPUT.name}")
    return 0


def _as_wide(match: re.Match[str]) -> str:
    """A text with the room of its columns: rich counts a Chinese character as one, not two."""
    length, rest, text = match.groups()
    characters = unescape(text)
    room = float(length) * cell_len(characters) / max(1, len(characters))
    return f'textLength="{room:.1f}"{rest}>{text}'


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _with_port(line: str, port: int) -> str:
    """The line as it looks on the default port; a border stays where it is."""
    shown = line.replace(f":{port}", ":8000")
    if not line.endswith("│"):
        return shown
    return shown[:-1] + " " * (len(line) - len(shown)) + "│"


def _ask(server: Server, question: str) -> Answer:
    """The answer as `python -m serve chat` has it on a terminal, in a conversation of its own."""
    return ask(server, Parameters(model="demo"), Conversation(), question, NoDisplay())


def environment() -> dict[str, str]:
    """Ours, with the width of the picture."""
    return os.environ | {"COLUMNS": str(WIDTH)}


def wait_ready(url: str) -> None:
    """Wait until the server answers. Raises SystemExit where it does not."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit("the server did not become ready")


if __name__ == "__main__":
    sys.exit(main())
