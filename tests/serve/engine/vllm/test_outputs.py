"""The router between vLLM's steps and the mailboxes.

The steps are invented here, in the shape of vLLM's EngineCoreOutput; test_engine.py runs the
router in the real AsyncLLM.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from serve.engine.delivery import Mailbox
from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import TokenLogprob
from serve.engine.vllm.outputs import FAILED, RequestFailed, TokenRouter, failure, of_prompt
from serve.errors import EngineDeadError, InternalError, InvalidRequest
from tests.contracts.engine import request


@dataclass
class Output:
    request_id: str
    new_token_ids: list[int]
    new_logprobs: Any = None
    new_prompt_logprobs_tensors: Any = None
    finish_reason: int | None = None
    prefill_stats: Any = None


@dataclass
class Request:
    request_id: str
    external_req_id: str


def opened(router: TokenRouter, name: str, num_logprobs: int | None = None) -> Mailbox:
    mailbox = router.open(name, num_logprobs)
    router.add_request(Request(f"{name}-1f", name), None, None, 0, None)
    return mailbox


@pytest.fixture
def router() -> TokenRouter:
    return TokenRouter(0.0)


async def test_tokens_go_to_their_stream(router: TokenRouter) -> None:
    a, b = opened(router, "a"), opened(router, "b")
    prefill = SimpleNamespace(num_cached_tokens=16)
    router.process_outputs(
        [Output("a-1f", [1], prefill_stats=prefill), Output("b-1f", [2]), Output("gone", [3])], 1.0
    )
    router.process_outputs([Output("a-1f", [4], finish_reason=1)], 2.0)
    first = await a.take()
    assert (list(first.token_ids), first.cached_tokens, first.finish_reason) == (
        [1, 4],
        16,
        "length",
    )
    assert list((await b.take()).token_ids) == [2]
    assert not router.has_request("a-1f")
    assert router.get_num_unfinished_requests() == 1
    assert router.close("a") is None
    assert router.close("b") == "b-1f"
    assert router.close("b") is None
    assert router.get_num_unfinished_requests() == 0


async def test_a_stop_token_is_a_token(router: TokenRouter) -> None:
    box = opened(router, "a")
    router.process_outputs([Output("a-1f", [7], finish_reason=0)], 1.0)
    chunk = await box.take()
    assert (list(chunk.token_ids), chunk.finish_reason) == ([7], "stop")


@pytest.mark.parametrize(
    "output", [Output("a-1f", [7], finish_reason=2), Output("a-1f", [], finish_reason=1)]
)
async def test_what_vllm_gives_up_ends_with_an_error(router: TokenRouter, output: Output) -> None:
    box = opened(router, "a")
    router.process_outputs([output], 1.0)
    with pytest.raises(EngineDeadError):
        await box.take()
    assert router.close("a") is None


async def test_logprobs_are_the_chosen_ones_and_as_many_as_asked(router: TokenRouter) -> None:
    box = opened(router, "a", num_logprobs=2)
    lists = SimpleNamespace(
        logprob_token_ids=np.array([[5, 9, 5], [6, 6, 2]]),
        logprobs=np.array([[-2.0, -0.5, -2.0], [-0.25, -0.25, -3.0]]),
    )
    router.process_outputs([Output("a-1f", [5, 6], lists)], 1.0)
    assert (await box.take()).logprobs == [
        TokenLogprob(5, -2.0, ((9, -0.5), (5, -2.0))),
        TokenLogprob(6, -0.25, ((6, -0.25), (2, -3.0))),
    ]


@pytest.mark.parametrize("token_ids", [[], [7]])
async def test_what_failed_alone_ends_alone(router: TokenRouter, token_ids: list[int]) -> None:
    a, b = opened(router, "a"), opened(router, "b")
    router.process_outputs([Output("a-1f", token_ids, finish_reason=FAILED)], 1.0)
    with pytest.raises(RequestFailed):
        await a.take()
    router.process_outputs([Output("b-1f", [2])], 2.0)
    assert list((await b.take()).token_ids) == [2]
    assert router.close("a") is None


def test_a_failure_is_the_grammars_where_there_is_one() -> None:
    held = request(grammar=Grammar(kind="regex", text="[ab]+"))
    for has_begun in (False, True):
        error = failure(held, has_begun=has_begun)
        assert isinstance(error, InvalidRequest)
        assert "(regex)" in str(error)
        assert isinstance(failure(request(), has_begun=has_begun), InternalError)


async def test_tokens_that_a_grammar_rules_out_are_no_likely_ones(router: TokenRouter) -> None:
    box = opened(router, "a", num_logprobs=2)
    lists = SimpleNamespace(
        logprob_token_ids=np.array([[5, 5, 0]]), logprobs=np.array([[0.0, 0.0, -np.inf]])
    )
    router.process_outputs([Output("a-1f", [5], lists)], 1.0)
    assert (await box.take()).logprobs == [TokenLogprob(5, 0.0, ((5, 0.0),))]


async def test_logprobs_of_the_prompt_are_kept_for_the_first_chunk(router: TokenRouter) -> None:
    opened(router, "a")
    parts = [
        SimpleNamespace(
            logprob_token_ids=np.array([[token, 9, 8]]),
            logprobs=np.array([[-2.0, -0.5, -1.0]]),
            selected_token_ranks=np.array([rank]),
        )
        for token, rank in ((5, 3), (6, 4))
    ]
    for part in parts:
        router.process_outputs([Output("a-1f", [], new_prompt_logprobs_tensors=part)], 1.0)
    assert router.prompt_logprobs("a") == parts
    assert router.prompt_logprobs("a") == []
    assert of_prompt(parts, 1) == [
        None,
        TokenLogprob(5, -2.0, ((9, -0.5),), rank=3),
        TokenLogprob(6, -2.0, ((9, -0.5),), rank=4),
    ]


async def test_an_abort_by_vllm_itself_ends_the_stream(router: TokenRouter) -> None:
    a, b = opened(router, "a"), opened(router, "b")
    assert router.abort_requests(["a", "unknown"], internal=False) == ["a-1f"]
    assert router.abort_requests(["b-1f"], internal=True) == ["b-1f"]
    for box in (a, b):
        with pytest.raises(EngineDeadError):
            await box.take()


async def test_an_error_of_the_engine_ends_every_stream(router: TokenRouter) -> None:
    boxes = [opened(router, "a"), router.open("not yet known to vLLM", None)]
    router.propagate_error(ZeroDivisionError())
    for box in boxes:
        with pytest.raises(ZeroDivisionError):
            await box.take()
    assert router.get_num_unfinished_requests() == 0


def test_steps_before_the_first_stream_are_nobodys(router: TokenRouter) -> None:
    assert not router.process_outputs([Output("x", [1])], 1.0).reqs_to_abort
