"""The process: how it starts, refuses to start, drains and ends. On the fake engine, for speed."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from models import store
from serve.api.http.listening import _has_ipv6
from serve.engine.vllm.processes import Process
from serve.governance.identity import keys
from tests.e2e.server import REPOSITORY, environment, free_port, run_serve, serving

BODY = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 40}
FAKE = ["--engine", "fake", "--model", "demo"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "qwen2-7"], "qwen2-7b"),
        (["--model", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--prot", "1"], "--port"),
        (["--host", "0.0.0.0"], "--api-key-file"),
        (["--config", "/nowhere.toml"], "/nowhere.toml"),
        (["--max-num-seqs", "0"], "--max-num-seqs"),
        (["chat", "--url", "http://127.0.0.1:9", "hi"], "make serve"),
        (["keys", "revoke", "absent", "--file", "/nowhere.json"], "nowhere"),
    ],
)
def test_what_cannot_start_says_why_and_exits_2(arguments: list[str], message: str) -> None:
    ended = run_serve(*arguments)
    assert ended.returncode == 2, ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_named() -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        ended = run_serve(*FAKE, "--port", str(port))
    assert ended.returncode == 2
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "--port" in ended.stderr


def test_not_enough_memory_is_said_with_the_numbers() -> None:
    ended = run_serve("--model", "demo", "--kv-cache-tokens", "99999999999", "--port", "0")
    assert ended.returncode == 2
    assert "--kv-cache-tokens 99999999999 needs" in ended.stderr
    assert "are free" in ended.stderr


def test_print_config_and_help() -> None:
    assert 'model = "demo"' in run_serve("--print-config").stdout
    assert "--max-model-len" in run_serve("--help").stdout


def test_sigterm_drains_running_streams(tmp_path: Path) -> None:
    arguments = [*FAKE, "--fake-tokens-per-s", "40"]
    with serving(tmp_path, arguments) as server, ThreadPoolExecutor(8) as threads:

        def ask(_: int) -> str:
            body = BODY | {"stream": True}
            with httpx.stream(
                "POST", server.url + "/v1/chat/completions", json=body, timeout=60
            ) as response:
                lines = response.iter_lines()
                first = next(lines)
                started.append(first)
                return [line for line in lines if line][-1]

        started: list[str] = []
        answers = [threads.submit(ask, number) for number in range(8)]
        while len(started) < 8:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        assert [answer.result() for answer in answers] == ["data: [DONE]"] * 8
        assert server.process.wait(60) == 0


def test_while_it_is_leaving_it_still_takes_work(tmp_path: Path) -> None:
    """The delay is far longer than the test: a second signal ends it."""
    with serving(tmp_path, [*FAKE, "--shutdown-delay", "300", "--arm", "blue"]) as server:
        server.process.send_signal(signal.SIGTERM)
        while server.get("/readyz").status_code == httpx.codes.OK:
            pass
        assert server.get("/readyz").json()["error"]["code"] == "draining"
        answer = httpx.post(server.url + "/v1/chat/completions", json=BODY)
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert answer.headers["x-intramural-arm"] == "blue"
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) != 0
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{"]
    assert {line.get("arm") for line in lines} == {"blue"}


def test_keys_end_to_end(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    made = run_serve("keys", "create", "--name", "tests", "--file", str(file))
    key = made.stdout.strip()
    assert key.startswith("sk-")
    assert key.split(".")[1] not in file.read_text()
    listed = json.loads(run_serve("keys", "list", "--json", "--file", str(file)).stdout)
    assert listed[0]["name"] == "tests"
    with serving(tmp_path, [*FAKE, "--api-key-file", str(file)]) as server:
        url = server.url + "/v1/chat/completions"
        assert httpx.post(url, json=BODY).status_code == 401
        allowed = httpx.post(url, json=BODY, headers={"Authorization": f"Bearer {key}"})
        assert allowed.status_code == 200, allowed.text
        assert server.terminate() == 0
    log = server.log.read_text()
    assert key.split(".")[0].removeprefix("sk-") in log
    assert key.split(".")[1] not in log


def test_startupz_shows_phases_while_loading(tmp_path: Path) -> None:
    with serving(tmp_path, ["--model", "demo"], is_ready=False) as server:
        seen: list[httpx.Response] = []
        while not seen or seen[-1].status_code != httpx.codes.OK:
            assert server.process.poll() is None, server.log.read_text()
            try:
                seen.append(server.get("/startupz"))
            except httpx.TransportError:
                continue
            if seen[-1].status_code == httpx.codes.SERVICE_UNAVAILABLE and len(seen) == 1:
                early = httpx.post(server.url + "/v1/chat/completions", json=BODY)
                assert early.status_code in {200, 503}
                assert early.status_code == 200 or int(early.headers["retry-after"]) >= 1
    assert seen[0].json()["status"] == "starting"
    final = seen[-1].json()
    assert final["status"] == "started"
    names = [phase["name"] for phase in final["phases"]]
    assert "load_weights" in names
    assert all(phase["is_finished"] for phase in final["phases"])


LOADING = """\
import sys, time
from serve import assembly
from models import command_line
from serve.cli.main import main

assembly._build_engine = lambda *_: time.sleep(600)
sys.exit(command_line.run(main))
"""


@pytest.mark.parametrize(
    ("numbers", "code"),
    [([signal.SIGTERM], 143), ([signal.SIGINT], 130), ([signal.SIGINT, signal.SIGINT], 130)],
)
def test_a_signal_while_the_weights_load_does_not_wait_for_them(
    numbers: list[signal.Signals], code: int
) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", LOADING, "--engine", "fake", "--port", str(port)],
        cwd=REPOSITORY,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while True:
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/startupz", verify=False)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        assert answer.json()["status"] == "starting"
        for number in numbers:
            process.send_signal(number)
        _, errors = process.communicate(timeout=60)  # and not 600
    finally:
        process.kill()
    assert process.returncode == code
    assert "Traceback" not in errors


REFUSED_WHILE_LOADING = """\
import subprocess, sys, threading, time
from serve import assembly
from models import command_line
from serve.cli.main import main

is_loading, prove = threading.Event(), assembly.proving.prove

def load(*_):
    print(subprocess.Popen(["sleep", "600"]).pid, flush=True)
    is_loading.set()
    time.sleep(600)

def prove_then(*given):
    is_loading.wait()
    return prove(*given)

assembly._build_engine, assembly.proving.prove = load, prove_then
sys.exit(command_line.run(main))
"""


def test_an_added_file_ends_a_start_while_the_weights_load(tmp_path: Path) -> None:
    """With the processes that load, and not after them: an hour for a large model."""
    folder = shutil.copytree(store.demo().path, tmp_path / "m")
    (folder / "NOTES.md").write_text("not there when the manifest was made")
    words = ["--model", str(folder), "--engine", "fake", "--verify", "quick"]
    ended = subprocess.run(
        [sys.executable, "-c", REFUSED_WHILE_LOADING, *words, "--port", str(free_port())],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,  # and not 600
    )
    assert ended.returncode == 2
    assert "is not what its manifest says" in ended.stderr
    assert "NOTES.md" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert Process.of(int(ended.stdout)) is None


def test_a_hangup_reads_the_keys_again_and_odd_surroundings_do_not_matter(tmp_path: Path) -> None:
    """No home, another server's metrics, a service called like us, and a log that is closed."""
    key_file = tmp_path / "keys.json"
    keys.create(key_file)
    variables = {
        "HOME": "",
        "INTRAMURAL_SERVICE_HOST": "10.0.0.1",
        "INTRAMURAL_PORT": "tcp://10.0.0.1:80",
        "PROMETHEUS_MULTIPROC_DIR": "/nonexistent",
        "WEB_CONCURRENCY": "abc",
        "OMP_NUM_THREADS": "abc",
        "INTRAMURAL_DATA_DIR": str(tmp_path / "data"),
    }
    arguments = [*FAKE, "--api-key-file", str(key_file)]
    with serving(tmp_path, arguments, variables=variables) as server:
        new = keys.create(key_file)
        server.process.send_signal(signal.SIGHUP)
        headers = {"Authorization": f"Bearer {new}"}
        assert server.get("/v1/models", headers=headers).status_code == httpx.codes.OK
        assert server.get("/metrics", headers=headers).status_code == httpx.codes.OK
        assert server.terminate() == 0


def test_localhost_is_both_loopbacks_for_pages_and_the_terminal(tmp_path: Path) -> None:
    page = "http://localhost:5173"
    arguments = [*FAKE, "--host", "localhost", "--allowed-origins", page]
    with serving(tmp_path, arguments) as server:
        port = server.url.rpartition(":")[2]
        hosts = ["127.0.0.1", "[::1]", "localhost"] if _has_ipv6() else ["127.0.0.1", "localhost"]
        for host in hosts:
            answer = httpx.post(
                f"http://{host}:{port}/v1/chat/completions", json=BODY, headers={"origin": page}
            )
            assert answer.status_code == 200, host
            assert answer.headers["access-control-allow-origin"] == page
        assert f"http://localhost:{port}" in server.log.read_text()
        said = run_serve("chat", "--url", f"http://{hosts[1]}:{port}", "hi", "--max-tokens", "3")
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip()
