"""The server on a terminal: its lines are for people, and it ends when the terminal is closed."""

from __future__ import annotations

import httpx

from tests.e2e.server import free_port
from tests.terminal import on_terminal


def test_a_terminal_gets_lines_for_people_and_ends_the_server_when_it_is_closed() -> None:
    port = free_port()
    words = ("-m", "serve", "--engine", "fake", "--port", str(port))
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": "canary-7f31"}],
        "max_tokens": 3,
    }
    with on_terminal(*words, columns=120, NO_COLOR="1") as terminal:
        terminal.wait_for("Intramural is ready")
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        answer = httpx.post(url, json=body, verify=False)
        terminal.wait_for(" · anonymous")
        usage = answer.json()["usage"]
        tokens = f"{usage['prompt_tokens']}→{usage['completion_tokens']} tokens"
        (line,) = (row for row in terminal.rows if "POST" in row)
        assert f"  200 POST /v1/chat/completions · demo · {tokens} · TTFT " in line
        assert not any(row.startswith("{") for row in terminal.rows)
        assert "canary" not in terminal.written
        terminal.hang_up()
        assert terminal.process.wait(60) == 0
