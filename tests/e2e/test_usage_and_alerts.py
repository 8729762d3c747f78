"""Usage and alerts from end to end: real requests of two people, their reports, and one webhook."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import Server, run_serve, serving
from tests.serve.api.house import bearer

CANARY = "canary-5d1c"
LIMITS = """
time_zone = "Europe/Berlin"
currency = "EUR"
[prices."demo"]
input = "1.00"
output = "2.00"
[[limits]]
name = "all"
tokens_per_day = 100000
mode = "observe"
[[limits]]
name = "each user"
user = "*"
tokens_per_day = 50
mode = "observe"
"""
ALERTS = """
thresholds = [50, 100]
[webhook]
url = "http://localhost:{port}/hook"
address = "127.0.0.1"
port = {port}
allow_http = true
secret_file = "secret"
"""
RECEIVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        with open(sys.argv[1], "a") as file:
            file.write(body + "\\n")
        self.send_response(204)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("usage")
    (folder / "limits.toml").write_text(LIMITS)
    (folder / "secret").write_text("s" * 64)
    (folder / "secret").chmod(0o600)
    return folder


def key_of(folder: Path, *arguments: str) -> str:
    words = ("keys", "create", "--file", str(folder / "keys.json"), *arguments)
    return run_serve(*words).stdout.strip()


def ask(server: Server, key: str) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": CANARY}], "max_tokens": 20}
    url = server.url + "/v1/chat/completions"
    answer = httpx.post(url, json=body, headers=bearer(key), verify=False)
    assert answer.status_code == 200, answer.text


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come about in 30 s")


def test_requests_are_reported_and_a_threshold_is_told(folder, is_proving):
    if not is_proving:
        pytest.skip("takes a server: make prove")
    ann, bob, root = (
        key_of(folder, "--tenant", "ward", "--owner", "ann"),
        key_of(folder, "--tenant", "ward", "--owner", "bob"),
        key_of(folder, "--scope", "admin"),
    )
    told = folder / "told"
    with subprocess.Popen(
        [sys.executable, "-c", RECEIVER, str(told)], stdout=subprocess.PIPE, text=True
    ) as receiver:
        try:
            port = int(receiver.stdout.readline())
            (folder / "alerts.toml").write_text(ALERTS.format(port=port))
            arguments = [
                "--engine",
                "fake",
                "--model",
                "demo",
                "--state-dir",
                str(folder / "state"),
            ]
            for name in ("limits", "alerts"):
                arguments += [f"--{name}-file", str(folder / f"{name}.toml")]
            arguments += ["--api-key-file", str(folder / "keys.json")]
            with serving(folder, arguments) as server:
                for key in (ann, ann, ann, bob):
                    ask(server, key)
                own = server.get("/v1/usage?group_by=owner", headers=bearer(ann)).json()
                everyone = server.get("/admin/usage?group_by=owner", headers=bearer(root)).json()
                assert server.get("/admin/usage", headers=bearer(ann)).status_code == 403
                wait_until(lambda: told.exists() and len(told.read_text().splitlines()) >= 2)
                assert server.terminate() == 0
        finally:
            receiver.kill()
    assert [(row["owner"], row["requests"]) for row in own["data"]] == [("ann", 3)]
    assert [(row["owner"], row["requests"]) for row in everyone["data"]] == [("ann", 3), ("bob", 1)]
    cost = own["totals"]["prompt_tokens"] + 2 * own["totals"]["completion_tokens"]
    assert own["totals"]["costs"] == [{"amount": f"0.{cost:06d}", "currency": "EUR"}]
    alerts = [json.loads(line) for line in told.read_text().splitlines()]
    assert {alert["threshold_percent"] for alert in alerts} == {50, 100}
    assert {alert["tenant"] for alert in alerts} == {"ward"}
    assert CANARY not in told.read_text()
    log = (folder / "server.log").read_text()
    assert CANARY not in log
    assert "/hook" not in log, "a webhook's path may be a secret"
