"""Three replicas behind nginx under constant load: none of their ends loses a request.

What may be lost is what no proxy and no client can ask again: a stream that has begun, on a replica
that was killed. Its client is told by an exception.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.e2e.replicas import (
    ARMS,
    Load,
    Nginx,
    Replica,
    nginx_program,
    proxy,
    replicas,
)
from tests.kills import num_kills

pytestmark = pytest.mark.skipif(
    nginx_program() is None, reason="nginx is not installed (apt install nginx-light)"
)
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
