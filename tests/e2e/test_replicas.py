"""Three replicas behind nginx under constant load: none of their ends loses a request.

What may be lost is what no proxy and no client can ask again: a stream that has begun, on a replica
that was killed. Its client is told by an exception.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from models.store import DEMO_WEIGHTS
from serve.api.http.body_bound import BASE_BYTES, BYTES_PER_TOKEN
from tests.e2e.alone import UNSHARE
from tests.e2e.replicas import (
    ARMS,
    Load,
    Nginx,
    Replica,
    configuration,
    proxy,
    replicas,
)
from tests.e2e.server import REPOSITORY, free_port
from tests.kills import num_kills
from tests.programs import needs, skip_without_own_network

pytestmark = needs("nginx")
FAKE = ["--model", "demo", "--engine", "fake", "--fake-tokens-per-s", "80"]
REAL = ["--model", "demo", "--engine", "transformers", "--device", "cpu"]


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, is_proving: bool
) -> Iterator[dict[str, Replica]]:
    """On the fake engine, which starts in a second; `make prove` has time for the real one."""
    arguments = REAL if is_proving else FAKE
    with replicas(tmp_path_factory.mktemp("replicas"), arguments) as running:
        yield running


@pytest.fixture(scope="module")
def nginx(fleet: dict[str, Replica], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("proxy") / "nginx"
    with proxy(folder, [replica.port for replica in fleet.values()]) as running:
        yield running


def test_a_rolling_restart_loses_nothing(fleet: dict[str, Replica], nginx: Nginx) -> None:
    with Load(nginx.url) as load:
        for replica in fleet.values():
            load.wait_for_streams(replica.arm)
            assert replica.drain() == 0, "every stream was finished in time"
            load.wait_for_more(4)
            replica.back()
    print(load.counts(), f"asked again by nginx: {sum(len(t) > 1 for t in nginx.tries())}")
    assert [outcome for outcome in load.outcomes if outcome.error] == []
    assert {outcome.arm for outcome in load.outcomes} == set(ARMS)
    assert any(len(answers) > 1 for answers in nginx.tries()), "nginx had to ask elsewhere"


def test_what_a_kill_breaks_is_what_ran_there(
    fleet: dict[str, Replica], nginx: Nginx, pytestconfig: pytest.Config
) -> None:
    """`make prove`: 40 ends of replicas at random moments, by SIGKILL and SIGTERM."""
    choice = random.Random(7)
    num_rounds = num_kills(pytestconfig, quick=1, prove=40)
    for number in range(num_rounds):
        replica = fleet[choice.choice(ARMS)]
        is_killed = number % 4 != 3
        with Load(nginx.url) as load:
            load.wait_for_more(choice.randrange(1, 12))
            if is_killed:
                load.wait_for_streams(replica.arm)
                replica.kill()
            else:
                assert replica.drain() == 0
            load.wait_for_more(8)
            replica.back()
        print(number, "kill" if is_killed else "drain", load.counts())
        broken = [outcome for outcome in load.outcomes if outcome.error]
        assert [outcome for outcome in broken if outcome.is_lost] == []
        assert {outcome.arm for outcome in broken} <= ({replica.arm} if is_killed else set())
        if num_rounds == 1:
            assert broken, "a stream ran on the replica that was killed"


def test_what_nginx_refuses_itself_is_in_our_words(fleet: dict[str, Replica], nginx: Nginx) -> None:
    """And it bounds nothing more tightly than the server does, whose bound follows the context."""
    ask = {"model": "demo", "messages": [{"role": "user", "content": ""}], "max_tokens": 1}
    context = httpx.get(nginx.url + "/v1/models").json()["data"][0]["max_model_len"]
    frame = len(json.dumps(ask))
    room = BASE_BYTES + BYTES_PER_TOKEN * context - frame
    url = nginx.url + "/v1/chat/completions"
    json_type = {"Content-Type": "application/json"}

    def post(size: int) -> httpx.Response:
        ask["messages"] = [{"role": "user", "content": "x" * size}]
        return httpx.post(url, content=json.dumps(ask), headers=json_type, timeout=60)

    assert post(room).json()["error"]["code"] == "context_length_exceeded", "the server's answer"
    for size in (room + 1, 16 * 2**20 - frame + 1):  # the server's bound, and that of nginx
        refused = post(size)
        assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")
    assert "16777216" in refused.json()["error"]["message"]
    assert list((nginx.folder / "body").rglob("*.*")) == [], "no prompt is on disk"

    headers = {f"x-{number}": "x" * 3000 for number in range(5)}
    assert httpx.get(nginx.url + "/v1/models", headers=headers).status_code == 200
    ids = {"X-Request-Id": "mine-1"}
    answer = httpx.get(nginx.url + "/v1/models", headers=ids)
    assert answer.headers["x-client-request-id"] == "mine-1"
    assert answer.headers["x-request-id"].startswith("req-")
    assert answer.headers["server"] == "nginx"
    assert answer.headers["x-intramural-arm"] in fleet
    assert httpx.get(nginx.url + "/metrics").status_code == 404
    elsewhere = httpx.get(nginx.url + "/v1/models", headers={"Host": "evil.example"})
    assert elsewhere.status_code == 403, "replicas without keys see the client's own Host"


def test_without_a_replica_the_client_is_told_to_come_back(tmp_path: Path) -> None:
    with proxy(tmp_path / "nginx", [free_port() for _ in ARMS]) as nginx:
        answer = httpx.post(nginx.url + "/v1/chat/completions", json={"model": "demo"})
        assert nginx.tries()[-1] == ["502"] * 3
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


def test_an_experiment_keeps_each_key_with_its_arm(
    fleet: dict[str, Replica], tmp_path: Path
) -> None:
    """The two lines that the configuration's comment asks for."""
    stable, canary, _ = (replica.port for replica in fleet.values())
    port = free_port()
    text = configuration(tmp_path / "nginx", port, [stable] * 3)
    text = text.replace("    * intramural;", "    40% canary;\n    * intramural;")
    text += f"upstream canary {{ server 127.0.0.1:{canary} max_fails=0; }}\n"
    with (
        proxy(tmp_path / "nginx", [], text=text, port=port) as nginx,
        httpx.Client(base_url=nginx.url) as client,
    ):

        def arm_of(key: str) -> str:
            answer = client.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
            return answer.headers["x-intramural-arm"]

        arms = {f"sk-{number}": arm_of(f"sk-{number}") for number in range(40)}
        assert set(arms.values()) == {"a", "b"}
        assert {key: arm_of(key) for key in arms} == arms


def test_three_replicas_across_an_air_gap(tmp_path: Path, is_proving: bool) -> None:
    """From a bundle, where no interface but loopback is up."""
    skip_without_own_network(UNSHARE)
    bundle(DEMO_WEIGHTS, tmp_path)
    program = [*UNSHARE, sys.executable, "-m", "tests.e2e.replicas_alone", tmp_path]
    program += ["transformers" if is_proving else "fake"]
    ended = subprocess.run(
        program, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["interfaces"] == ["lo"]
    assert told["lost"] == 0
    assert told["arms"] == list(ARMS)
    assert told["codes"] == [0, 0, 0]
    assert told["elsewhere"] == "Network is unreachable"


def bundle(folder: Path, into: Path) -> None:
    """The model, in the store of this side and then on a medium."""
    command = [sys.executable, "-m", "models"]
    here = ["--data-dir", into / "here"]
    pull = ["pull", "acme/demo", "--from", folder, *here]
    subprocess.run([*command, *pull], cwd=REPOSITORY, check=True, capture_output=True)
    words = ["bundle", "acme--demo", "--out", into / "usb", *here]
    subprocess.run([*command, *words], cwd=REPOSITORY, check=True, capture_output=True)
