"""A conversation with two rounds of tools, and how often models call by themselves."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from tests.clients.auto import QUESTIONS, tally
from tests.clients.environments import NotInstalled, modules_of_javascript
from tests.clients.served import Served
from tests.clients.two_steps import Conversation
from tests.programs import needs

WAYS = pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
SAMPLE = QUESTIONS[::8]
NODE_TIMEOUT_S = 600


@contextmanager
def client_of(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0) as made:
        yield made


def two_steps(served: Served, is_streamed: bool) -> Conversation:
    with client_of(served) as client:
        conversation = Conversation(client, served.model, is_streamed)
        assert conversation.run()
    assert len(conversation.calls) == 2
    first, second, _ = conversation.prompt_tokens  # the last is without tools, so maybe shorter
    assert first < second
    print(f"{served.model}: {conversation.num_auto} of 2 steps by auto, {conversation.calls}")
    return conversation


@WAYS
def test_demo_model_in_two_steps(demo: Served, is_streamed: bool) -> None:
    two_steps(demo, is_streamed)


@WAYS
def test_real_model_in_two_steps(real: Served, is_streamed: bool) -> None:
    two_steps(real, is_streamed)


def test_how_often_the_demo_model_calls_by_itself(demo: Served, is_proving: bool) -> None:
    with client_of(demo) as client:
        print(f"demo, {tally(client, demo.model, QUESTIONS if is_proving else SAMPLE)}")


def test_how_often_a_real_model_calls_by_itself(real: Served) -> None:
    with client_of(real) as client:
        print(f"{real.model}, {tally(client, real.model, QUESTIONS)}")


@needs("node", "npm")
@WAYS
def test_javascripts_run_tools(real: Served, is_streamed: bool) -> None:
    told = run_tools(real, is_streamed)
    assert [step["role"] for step in told["messages"][:3]] == ["user", "assistant", "tool"]
    assert told["num_steps"] == 2
    assert told["num_called"] >= 2
    assert told["answer"]


@needs("node", "npm")
@WAYS
def test_javascripts_run_tools_on_the_demo_model(
    demo: Served, is_streamed: bool, is_proving: bool
) -> None:
    if not is_proving:
        pytest.skip("installs the JavaScript client; run by `make prove`")
    told = run_tools(demo, is_streamed)
    assert told["num_steps"] == 2
    assert told["num_called"] >= 2


def run_tools(served: Served, is_streamed: bool) -> dict[str, Any]:
    """What `run_tools.mjs` prints."""
    try:
        folder = modules_of_javascript()
    except NotInstalled as error:
        pytest.skip(f"openai for JavaScript could not be installed: {error}")
    ended = subprocess.run(
        ["node", "run_tools.mjs", f"{served.url}/v1", served.model, json.dumps(is_streamed)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=NODE_TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found
