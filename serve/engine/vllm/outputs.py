"""Routes tokens of vLLM's steps to our mailboxes, in the place of vLLM's own OutputProcessor.

That one would make two objects per token, for text that nobody here wants, and wake the stream for
each. This one looks up the stream and hands the token ids over (docs/lab-notes.md has what it
saves). It offers what ``AsyncLLM`` asks of an output processor, read in 0.32 and 0.33 (ADR 0007);
imports nothing of vLLM.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from serve.engine.delivery import Delivery, Mailbox
from serve.engine.protocol import EngineRequest, TokenLogprob
from serve.errors import EngineDeadError, InternalError, InvalidRequest, RequestError
from serve.timeline import FinishReason

log = logging.getLogger(__name__)

FINISH: Mapping[int, FinishReason] = {0: "stop", 1: "length"}
"""vLLM's numbers; any other means that it gave up on the request."""
FAILED = 3
"""vLLM's number for a request that alone failed, such as by its grammar."""


class RequestFailed(Exception):
    """vLLM ended this request with an error, and goes on."""


class StepOutput(Protocol):
    """The part of vLLM's EngineCoreOutput that is read here."""

    request_id: str
    new_token_ids: list[int]
    new_logprobs: Any
    new_prompt_logprobs_tensors: Any
    finish_reason: int | None
    prefill_stats: Any


class NewRequest(Protocol):
    """The part of vLLM's EngineCoreRequest that is read here.

    Attributes:
        request_id: vLLM's own, unique.
        external_req_id: as it was given to ``add_request``.
    """

    request_id: str
    external_req_id: str


@dataclass(frozen=True, slots=True)
class Processed:
    """The answer that vLLM's output handler expects: outputs, here none, and requests to abort."""

    request_outputs: Sequence[object] = ()
    reqs_to_abort: Sequence[str] = ()


_NOTHING = Processed()


@dataclass(slots=True)
class _Route:
    mailbox: Mailbox
    num_logprobs: int | None
    internal_id: str | None = None
    prompt_logprobs: list[Any] = field(default_factory=list)


class TokenRouter:
    """Open requests and their mailboxes. Touched on one event loop only.

    Args:
        max_hold_s: see ``Delivery``.
    """

    def __init__(self, max_hold_s: float) -> None:
        self._max_hold_s = max_hold_s
        self._delivery: Delivery | None = None
        self._by_request_id: dict[str, _Route] = {}
        self._by_internal_id: dict[str, _Route] = {}

    def open(self, request_id: str, num_logprobs: int | None) -> Mailbox:
        """The mailbox of a request that is about to be given to vLLM."""
        if self._delivery is None:
            self._delivery = Delivery(asyncio.get_running_loop(), self._max_hold_s)
        route = _Route(self._delivery.mailbox(), num_logprobs)
        self._by_request_id[request_id] = route
        return route.mailbox

    def close(self, request_id: str) -> str | None:
        """Forget a request. Returns vLLM's own id of it, if vLLM still works on it."""
        route = self._by_request_id.pop(request_id, None)
        if route is None or route.internal_id not in self._by_internal_id:
            return None
        del self._by_internal_id[route.internal_id]
        return route.internal_id

    def prompt_logprobs(self, request_id: str) -> list[Any]:
        """Parts that came with the first token, for ``of_prompt``. Given once."""
        route = self._by_request_id[request_id]
        parts, route.prompt_logprobs = route.prompt_logprobs, []
        return parts

    # What follows is asked by AsyncLLM.

    def add_request(self, request: NewRequest, *_: object) -> None:
        route = self._by_request_id[request.external_req_id]
        route.internal_id = request.request_id
        self._by_internal_id[request.request_id] = route

    def has_request(self, internal_id: str) -> bool:
        return internal_id in self._by_internal_id

    def get_num_unfinished_requests(self) -> int:
        return len(self._by_internal_id)

    def get_num_queued_tokens(self) -> int:
        return 0  # the queue is bounded before requests come here

    def process_outputs(
        self, outputs: Sequence[StepOutput], stepped_at: float, *_: object, **__: object
    ) -> Processed:
        """Hand out a step's tokens, or a part of them.

        Args:
            stepped_at: when the step was made, in monotonic seconds.
        """
        delivery = self._delivery
        if delivery is None:
            return _NOTHING
        delivery.begin(stepped_at)
        for output in outputs:
            route = self._by_internal_id.get(output.request_id)
            if route is not None:  # else its stream has been closed
                self._hand_out(delivery, output, route)
        delivery.end()
        return _NOTHING

    def _hand_out(self, delivery: Delivery, output: StepOutput, route: _Route) -> None:
        mailbox = route.mailbox
        if output.prefill_stats is not None:
            mailbox.cached_tokens = output.prefill_stats.num_cached_tokens
        reason = None
        if output.finish_reason is not None:
            del self._by_internal_id[output.request_id]
            reason = FINISH.get(output.finish_reason)
            if output.finish_reason == FAILED:
                mailbox.fail(RequestFailed())
                return
            if reason is None or not output.new_token_ids:
                mailbox.fail(EngineDeadError("The engine gave up on this request."))
                return
        if output.new_prompt_logprobs_tensors is not None:
            route.prompt_logprobs.append(output.new_prompt_logprobs_tensors)
        logprobs = None
        if output.new_logprobs is not None and route.num_logprobs is not None:
            logprobs = _logprobs(output.new_logprobs, route.num_logprobs)
        if output.new_token_ids:
            delivery.put(mailbox, output.new_token_ids, logprobs, reason)

    def abort_requests(self, request_ids: Iterable[str], internal: bool) -> list[str]:
        """Internal ids of the requests that vLLM has to abort.

        Their streams end with EngineDeadError, where they are still open: vLLM aborts requests on
        its own account when it stops.
        """
        internal_ids = list(request_ids)
        if not internal:
            routes = [self._by_request_id.get(request_id) for request_id in internal_ids]
            internal_ids = [route.internal_id for route in routes if route and route.internal_id]
        for internal_id in internal_ids:
            route = self._by_internal_id.pop(internal_id, None)
            if route is not None:
                route.mailbox.fail(EngineDeadError("The engine gave up on this request."))
        return internal_ids

    def propagate_error(self, error: Exception) -> None:
        """End every open stream with this error."""
        self._by_internal_id.clear()
        for route in self._by_request_id.values():
            route.mailbox.fail(error)

    def update_scheduler_stats(self, _: object) -> None:
        """Nothing: the heartbeat has them."""


def failure(request: EngineRequest, *, has_begun: bool) -> RequestError:
    """The error of a request that vLLM ended with one."""
    grammar = request.sampling.grammar
    if grammar is None:
        log.error("a request failed in the engine", extra={"request_id": request.request_id})
        return InternalError(f"The engine failed on this request ({request.request_id}).")
    if has_begun:
        what = "takes too much work at this point, or allows no next token"
    else:
        what = "does not compile, or allows no first token"
    return InvalidRequest(
        f"The engine cannot hold the completion to this grammar ({grammar.kind}): it {what} that "
        "the request's other rules allow too. Simplify it, or leave out allowed_token_ids and "
        "bad_words."
    )


def of_prompt(parts: Sequence[Any], num_logprobs: int) -> list[TokenLogprob | None]:
    """One per prompt token, of which the first has none; takes a while for a long prompt.

    Args:
        parts: vLLM's tensors ``logprob_token_ids`` and ``logprobs``, both [tokens, 1 + asked], the
            prompt's own token first, and ``selected_token_ranks``, [tokens], from 1.
    """
    results: list[TokenLogprob | None] = [None]
    for part in parts:
        ranks = part.selected_token_ranks.tolist()
        values = _logprobs(part, num_logprobs)
        results += [replace(one, rank=rank) for one, rank in zip(values, ranks, strict=True)]
    return results


def _logprobs(lists: Any, num_logprobs: int) -> list[TokenLogprob]:
    """One per token, from vLLM's arrays. What a grammar rules out is no likely token.

    Args:
        lists: ``logprob_token_ids`` and ``logprobs``, both [tokens, 1 + asked]: the chosen token
            first, then the most likely ones.
    """
    results = []
    for token_ids, values in zip(
        lists.logprob_token_ids.tolist(), lists.logprobs.tolist(), strict=True
    ):
        top = zip(token_ids[1 : num_logprobs + 1], values[1 : num_logprobs + 1], strict=True)
        likely = tuple(pair for pair in top if pair[1] > -math.inf)
        results.append(TokenLogprob(token_ids[0], values[0], likely))
    return results
