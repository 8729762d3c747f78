"""Questions to a core that answers, fails, or is gone."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from serve.engine.vllm.asking import grammar_fault


def core(answer: Any, *, is_dead: bool = False) -> Any:
    async def call_utility_async(name: str) -> Any:
        assert name == "grammar_fault"
        if isinstance(answer, Exception):
            raise answer
        if answer is Ellipsis:
            await asyncio.Event().wait()
        return answer

    resources = SimpleNamespace(engine_dead=is_dead, output_queue_task=None)
    client = SimpleNamespace(call_utility_async=call_utility_async, resources=resources)
    return SimpleNamespace(engine_core=client)


@pytest.mark.parametrize("answer", [None, "no token ends a completion"])
async def test_the_core_answers(answer: str | None) -> None:
    llm = core(answer)
    assert await grammar_fault(llm) == answer
    assert llm.engine_core.outputs_queue.empty()  # bound anew by the first stream


async def test_no_answer_is_a_reason() -> None:
    assert "cannot answer: broken" in str(await grammar_fault(core(Exception("broken"))))
    assert "does not answer" in str(await grammar_fault(core(..., is_dead=True)))
