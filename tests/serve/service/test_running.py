"""One generation on its way: what it passes, in order, and what it gives back at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest

from serve import timeline
from serve.api.openai.chat import ChatCompletions
from serve.errors import QueueFull
from serve.governance.principal import ANONYMOUS
from serve.governance.screening import Screens
from serve.service.running import Running
from serve.timeline import Usage
from tests.serve.api.house import chat
from tests.serve.service.callers import CHAT, Ledger, Slow, Trail, service_of


@contextmanager
def running(ledger: Ledger, trail: Trail) -> Iterator[Running]:
    """A generation of at most 9 tokens, which nobody has begun."""
    service, _ = service_of()
    with service.call(method="POST", route=CHAT) as call:
        yield Running(
            call,
            ANONYMOUS,
            service.directory.find("demo"),
            ChatCompletions().parse(chat(max_tokens=9)).generation(),
            reservations=ledger,
            audit=trail,
            screen=Screens(),
            clock=timeline.now,
        )


async def test_it_is_reserved_then_audited_and_settled_last() -> None:
    lines: list[object] = []
    ledger, trail = Ledger(lines=lines), Trail(lines=lines)  # type: ignore[arg-type]
    with running(ledger, trail) as one:
        await one.check()
        async with AsyncExitStack() as stack:
            events = await one.open(stack)
            assert len(lines) == 2
            async for _ in events:
                pass
        await one.end()
    reserved, begun, ended, used = lines
    assert reserved == ("anonymous", "demo", 9)
    assert str(begun).startswith("begin req-")
    assert str(ended).endswith(" length")
    assert isinstance(used, Usage)
    assert used.completion_tokens == 9


@pytest.mark.parametrize(("limits", "trail"), [(True, False), (False, True)])
async def test_what_is_refused_before_it_begins_has_used_nothing(limits: bool, trail: bool) -> None:
    ledger, told = Ledger(refuses=limits), Trail(refuses=trail)
    with running(ledger, told) as one:
        async with AsyncExitStack() as stack:
            with pytest.raises(QueueFull):
                await one.open(stack)
        await one.end()
    assert ledger.lines[1:] == ([] if limits else [Usage()])
    assert told.lines == []


async def test_an_end_that_is_cancelled_is_settled_all_the_same() -> None:
    ledger, trail = Slow(), Trail()
    with running(ledger, trail) as one:
        async with AsyncExitStack() as stack:
            await one.open(stack)
        end = asyncio.create_task(one.end())
        await ledger.began.wait()
        end.cancel()
        with pytest.raises(asyncio.CancelledError):
            await end
    assert len(ledger.lines) == 2
    assert trail.lines[-1].startswith("end ")
