"""A real server on a socket, asked as a deployment is; each fault is planted in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from serve.doctor import deployment
from serve.doctor.checks import DEPLOYMENT, examine_deployment
from serve.doctor.deployment import Deployment
from serve.doctor.finding import Finding
from serve.errors import StartupError
from serve.governance.identity.keys import create
from tests.serve.api.house import House, house, running


async def examine(home: House, key: str | None = None) -> dict[str, Finding]:
    async with running(home) as (_, url):

        def ask() -> dict[str, Finding]:
            with Deployment(url, key) as asked:
                return dict(examine_deployment(asked))

        return await asyncio.to_thread(ask)


def levels(found: dict[str, Finding]) -> dict[str, str]:
    return {name: finding.level for name, finding in found.items()}


async def test_a_server_that_is_well() -> None:
    home = house(arm="blue")
    home.publish(digest="sha256:" + "0" * 64)
    home.state.metrics.attach_engine(home.pipeline.engine.load)
    found = await examine(home)
    assert levels(found) == {
        **dict.fromkeys(DEPLOYMENT, "ok"),
        "gate": "skipped",
        "transport": "skipped",
    }
    assert "arm blue" in found["models"].summary


async def test_a_server_with_keys_and_a_caller_without(tmp_path: Path) -> None:
    key = create(tmp_path / "keys.json")
    home = house(keys=tmp_path / "keys.json")
    assert (await examine(home, key))["gate"].level == "ok"
    without = await examine(home)
    assert (without["models"].level, without["load"].level) == ("skipped", "skipped")
    assert (await examine(home, "sk-wrong"))["models"].level == "failure"


def plant_draining(home: House) -> None:
    home.service.is_draining = True


def plant_death(home: House) -> None:
    home.pipeline.engine.die("It stopped.")


@pytest.mark.parametrize(
    ("plant", "code"), [(plant_draining, "draining"), (plant_death, "engine_dead")]
)
async def test_a_server_that_takes_no_work(plant: Callable[[House], None], code: str) -> None:
    home = house()
    plant(home)
    found = (await examine(home))["ready"]
    assert found.level == "failure"
    assert code in found.summary
    assert found.advice == deployment.UNREADY[code]


async def test_a_server_that_loads_says_how_far_it_is() -> None:
    home = house(is_loaded=False)
    home.state.startup("load_weights", 5, 10)
    found = await examine(home)
    assert found["started"].level == "warning"
    assert "load_weights 50%" in found["started"].summary
    assert found["ready"].level == "warning"
    assert "failure" not in levels(found).values(), "it starts, and nothing is wrong with it"
    home.state.startup.fail("no")
    assert (await examine(home))["started"].level == "failure"


async def test_weights_that_nobody_has_proven() -> None:
    assert (await examine(house()))["models"].level == "warning"


def answering(**headers: str) -> Callable[[str], Deployment]:
    """A deployment elsewhere, whose answers are made up: this machine's are on loopback."""

    def answer(request: httpx.Request) -> httpx.Response:
        pages = {
            "/metrics": "intramural_requests_running 3.0\nintramural_requests_waiting 9.0\n"
            "intramural_kv_cache_usage_ratio 0.97\n",
            "/v1/models": '{"data": [{"id": "demo"}]}',
        }
        text = pages.get(request.url.path, "{}")
        return httpx.Response(200, text=text, headers=headers)

    return lambda url: Deployment(url, None, httpx.MockTransport(answer))


def test_one_that_asks_no_key_and_encrypts_nothing() -> None:
    asked = answering()("http://llm.example")
    assert deployment.gate(asked).level == "failure"
    assert deployment.transport(asked).level == "warning"
    assert deployment.transport(answering()("https://llm.example")).level == "ok"


def test_one_at_its_limit() -> None:
    found = deployment.load(answering()("http://127.0.0.1:1"))
    assert found.level == "warning"
    assert "3 sequences run, 9 wait" in found.summary


@pytest.mark.parametrize(
    ("date", "level"),
    [
        ("Thu, 01 Jan 1970 00:00:00 GMT", "failure"),
        ("yesterday", "skipped"),
    ],
)
def test_one_whose_clock_is_wrong(date: str, level: str) -> None:
    assert deployment.skew(answering(date=date)("http://127.0.0.1:1")).level == level


def test_one_that_is_not_there() -> None:
    with Deployment("http://127.0.0.1:9/v1", None) as asked:
        found = dict(examine_deployment(asked))
    assert found.pop("alive").level == "failure"
    assert {finding.level for finding in found.values()} == {"skipped"}


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://x", "http://"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(StartupError, match="--url"):
        Deployment(url, None)


@pytest.mark.parametrize(
    ("url", "is_loopback"),
    [
        ("http://localhost:8000", True),
        ("http://127.0.0.9:8000/v1", True),
        ("http://[::1]:8000", True),
        ("http://0.0.0.0:8000", True),
        ("http://127.evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://[::2]:8000", False),
    ],
)
def test_loopback_is_told_by_the_address(url: str, *, is_loopback: bool) -> None:
    with Deployment(url, None) as asked:
        assert asked.is_loopback is is_loopback
