"""Questions to vLLM's processes before the server's event loop runs. No vLLM in here."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from serve.engine.vllm import lora

_ANSWER_S = 120.0
_SILENT, _FAILED = "vLLM's core does not answer", "vLLM's core cannot answer"
Answer = TypeVar("Answer")


class NoAnswerError(Exception):
    """The reason why there is no answer, in words for a log."""


async def grammar_fault(llm: Any) -> str | None:
    """The reason why the core can hold no completion to a grammar, or None.

    Args:
        llm: vLLM's ``AsyncLLM``, which has served nothing yet.
    """
    question = llm.engine_core.call_utility_async("grammar_fault")
    try:
        fault: str | None = await answer(llm, question, _SILENT, _FAILED, _ANSWER_S)
    except NoAnswerError as error:
        return str(error)
    return fault


async def answer(
    llm: Any, question: Coroutine[Any, Any, Answer], silent: str, failed: str, timeout_s: float
) -> Answer:
    """The answer to a question. Takes back what vLLM bound to this event loop.

    Args:
        silent: the words where there is none.
        failed: the words where asking failed; the error follows them.

    Raises:
        NoAnswerError: there is none in time, the engine died, or it failed.
    """
    asking = asyncio.create_task(question)
    client = llm.engine_core
    remaining_s = timeout_s
    while not asking.done() and remaining_s > 0 and not client.resources.engine_dead:
        await asyncio.wait({asking}, timeout=lora.POLL_S)
        remaining_s -= lora.POLL_S
    is_silent = not asking.done()
    if is_silent:
        asking.cancel()
    await lora.unbind(client)
    if is_silent:
        raise NoAnswerError(silent)
    if (error := asking.exception()) is not None:  # a bare Exception, by vLLM's design
        raise NoAnswerError(f"{failed}: {str(error)[:800]}")
    return asking.result()
