"""The main job: one command serves the demo model, and the official client gets its answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.server import REPOSITORY, Server, environment, serving

QUESTION = [{"role": "user", "content": "What is Intramural?"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("demo"), ["--model", "demo"]) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0) as made:
        yield made


def test_unary_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="demo", messages=QUESTION, temperature=0)  # type: ignore[arg-type]
    choice = answer.choices[0]
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason == "stop"
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_streamed_chat_says_the_same(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="demo", messages=QUESTION, temperature=0)  # type: ignore[arg-type]
    stream = client.chat.completions.create(
        model="demo",
        messages=QUESTION,  # type: ignore[arg-type]
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert text == whole.choices[0].message.content
    assert reasons[-1] == "stop"
    assert set(reasons[:-1]) == {None}
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage


def test_completions_logprobs_and_seed(client: openai.OpenAI) -> None:
    def ask() -> openai.types.Completion:
        return client.completions.create(
            model="demo", prompt="1 + 1", max_tokens=6, temperature=1, seed=5, logprobs=3, n=2
        )

    first, again = ask(), ask()
    assert [c.text for c in first.choices] == [c.text for c in again.choices]
    logprobs = first.choices[0].logprobs
    assert logprobs
    assert logprobs.token_logprobs
    assert all(value <= 0 for value in logprobs.token_logprobs if value is not None)


def test_thirty_two_at_once_answer_as_one_alone(client: openai.OpenAI) -> None:
    def ask(number: int) -> str:
        messages = [{"role": "user", "content": f"What is {number} + 4?"}]
        answer = client.chat.completions.create(
            model="demo",
            messages=messages,  # type: ignore[arg-type]
            temperature=0,
            max_tokens=16,
        )
        return answer.choices[0].message.content or ""

    alone = [ask(number) for number in range(8)]
    with ThreadPoolExecutor(32) as threads:
        together = list(threads.map(ask, [number % 8 for number in range(32)]))
    # bf16 rounds differently in another batch: near ties may flip, most may not.
    same = sum(text == alone[index % 8] for index, text in enumerate(together))
    assert same >= 28


def test_models_and_errors_in_openais_own_classes(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["demo"]
    assert client.models.retrieve("demo").id == "demo"
    with pytest.raises(openai.NotFoundError, match="demo"):
        client.chat.completions.create(model="gpt-9", messages=QUESTION)  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="demo", messages=QUESTION, temperature=9)  # type: ignore[arg-type]
    assert refused.value.param == "temperature"


def test_tokenize_and_back(server: Server) -> None:
    tokens = httpx.post(server.url + "/tokenize", json={"prompt": "audit log"}).json()["tokens"]
    text = httpx.post(server.url + "/detokenize", json={"tokens": tokens}).json()["prompt"]
    assert text == "audit log"


def test_metrics_count_what_was_served(server: Server, client: openai.OpenAI) -> None:
    client.chat.completions.create(model="demo", messages=QUESTION, temperature=0)  # type: ignore[arg-type]
    families = {f.name: f for f in text_string_to_metric_families(server.get("/metrics").text)}
    running = families["intramural_requests_running"].samples[0].value
    completed = sum(
        sample.value
        for sample in families["intramural_requests"].samples
        if sample.labels.get("route") == "/v1/chat/completions" and sample.labels["status"] == "200"
    )
    assert running == 0
    assert completed >= 1
    assert families["intramural_completion_tokens"].samples[0].value > 0


def test_the_log_holds_counts_and_no_text(server: Server, client: openai.OpenAI) -> None:
    canary = "canary-7f3a9"
    client.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": canary}],
        max_tokens=4,
        temperature=0,
    )
    server.get("/version")  # its line comes after the one we look for
    while '"route":"/version"' not in (log := server.log.read_text()):
        assert server.process.poll() is None
    assert canary not in log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    served = [line for line in lines if line.get("route") == "/v1/chat/completions"]
    assert served[-1]["completion_tokens"] >= 1
    assert served[-1]["status"] == 200


def readme_blocks(language: str) -> list[str]:
    text = (REPOSITORY / "README.md").read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_readmes_python_block_runs(server: Server) -> None:
    (block,) = readme_blocks("python")
    told = run([sys.executable, "-c", block.replace("http://127.0.0.1:8000", server.url)])
    assert told.returncode == 0, told.stderr
    assert "42" in told.stdout


def test_the_readmes_curl_line_runs(server: Server) -> None:
    (block,) = [block for block in readme_blocks("sh") if "curl" in block]
    line = block[block.index("curl") : block.index("\n\n", block.index("curl"))]
    told = run(["bash", "-c", line.replace("http://127.0.0.1:8000", server.url)])
    assert told.returncode == 0, told.stderr
    assert told.stdout.rstrip().endswith("data: [DONE]")


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_terminal_chat_talks_to_it(server: Server) -> None:
    told = run([sys.executable, "-m", "serve", "chat", "--url", server.url, "What is Intramural?"])
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip()


def test_the_banner_says_what_is_served(server: Server) -> None:
    log = server.log.read_text()
    assert "Intramural is ready" in log
    assert f"curl {server.url}/v1/chat/completions" in log


def test_only_loopback_sockets(server: Server) -> None:
    """Every listening socket of the process is on 127.0.0.1."""
    inodes = {
        link.readlink().name
        for link in Path(f"/proc/{server.process.pid}/fd").iterdir()
        if link.is_symlink()
    }
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
            assert fields[1].startswith("0100007F:")
