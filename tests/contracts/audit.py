"""The audit's contract with whatever brings calls: HTTP, a caller within, and what comes later.

Subclass ``AuditContract`` for each way in which calls come, and give it ``call``: one call to its
end. A protocol that answers in the background, or line by line, gives what its caller would get.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from serve.governance.audit.records.recorded_audit import RecordedAudit
from serve.governance.audit.records.refusals import Refusals
from tests.serve.api.house import ANSWER, House, house, is_free, pipeline_of, until
from tests.serve.governance.audit.records.logs import MemoryLog, audit_of, ends_of

SILENT_TURNS = 200
"""Turns of the event loop in which something would have happened."""


@dataclass
class Given:
    """All that a caller was given.

    Attributes:
        text: of the answer, as far as it came.
        is_whole: the caller knows that it has all of it.
        code: of the error that it was given.
    """

    text: str = ""
    is_whole: bool = False
    code: str | None = None


@dataclass
class Watched:
    """A server with a log in memory.

    Attributes:
        given: filled while a call runs.
        at_release: entries of the log when each piece of text came.
    """

    home: House
    log: MemoryLog
    audit: RecordedAudit
    given: Given = field(default_factory=Given)
    at_release: list[int] = field(default_factory=list)

    def came(self, text: str) -> None:
        """Note a piece of text that has reached the caller."""
        self.given.text += text
        self.at_release.append(self.log.size)

    @property
    def num_engine_tokens(self) -> int:
        return sum(record["tokens"]["completion"] for record in self.log.of_type("end"))


@asynccontextmanager
async def watched(*, fake: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Watched]:
    log = MemoryLog()
    audit = await audit_of(log, **options)
    refusals = Refusals(audit.keeper, audit._stamps)
    home = house(pipeline_of(**(fake or {})), audit=audit, listeners=(refusals,))
    yield Watched(home, log, audit)
    await refusals.finish()
    assert is_free(home.pipeline)


class AuditContract(ABC):
    """Every way in which calls come passes these."""

    is_stream = False

    @abstractmethod
    async def call(self, watch: Watched) -> None:
        """One call, to whatever end; what its caller gets goes into ``watch``."""

    async def test_a_call_begins_before_it_runs_and_ends_before_its_last_byte(self) -> None:
        async with watched() as watch:
            await self.call(watch)
            assert watch.given == Given(text=ANSWER, is_whole=True)
            begin, end = watch.log.of_type("begin", "end")
            assert (begin["type"], end["type"]) == ("begin", "end")
            assert (end["id"], end["begin"], end["outcome"]) == (begin["id"], 0, "done")
            assert begin["who"]["key"] == "anonymous"
            assert begin["call"]["stream"] is self.is_stream
            assert end["tokens"]["completion"] > 1
            assert watch.home.records.last.audit_index == 0

    async def test_nothing_runs_while_its_begin_is_not_durable(self) -> None:
        async with watched() as watch:
            watch.log.stalls = asyncio.Event()
            task = asyncio.create_task(self.call(watch))
            await until(lambda: watch.log.num_appends == 1)
            for _ in range(SILENT_TURNS):
                await asyncio.sleep(0)
            load = watch.home.pipeline.engine.load()
            assert (load.num_running, load.num_steps, watch.given.text) == (0, 0, "")
            watch.log.stalls.set()
            await task
            assert watch.given.is_whole

    async def test_what_cannot_be_recorded_does_not_run(self) -> None:
        async with watched() as watch:
            watch.log.fails = True
            for _ in range(2):
                await self.call(watch)
                assert watch.given == Given(code="audit_unavailable")
            assert watch.home.pipeline.engine.load().num_steps == 0
            assert watch.log.size == 0

    async def test_an_answer_whose_end_is_not_durable_is_not_whole(self) -> None:
        async with watched() as watch:
            real = watch.audit._end

            async def failing(*arguments: Any) -> None:
                watch.log.fails = True
                await real(*arguments)

            watch.audit._end = failing  # type: ignore[method-assign]
            await self.call(watch)
            assert not watch.given.is_whole
            assert watch.given.code == "audit_unavailable"
            watch.log.fails = False
            await watch.audit.keeper.come_back()
            (end,) = watch.log.of_type("end")
            assert end["late"]

    async def test_a_caller_that_leaves_is_recorded_as_that_and_once(self) -> None:
        async with watched(fake={"tokens_per_s": 20}) as watch:
            task = asyncio.create_task(self.call(watch))
            await until(lambda: watch.home.pipeline.engine.load().num_running == 1)
            task.cancel()
            await asyncio.wait({task})
            await until(lambda: len(watch.log.of_type("end")) == 1)
            assert set(ends_of(watch.log).values()) == {1}
            assert watch.log.of_type("end")[0]["outcome"] == "disconnected"

    async def test_an_engine_that_fails_is_recorded_as_that(self) -> None:
        async with watched(fake={"die_after": 3}) as watch:
            await self.call(watch)
            assert not watch.given.is_whole
            (end,) = watch.log.of_type("end")
            assert (end["outcome"], end["error"]) == ("error", watch.given.code)

    async def test_what_drains_ends_what_runs(self) -> None:
        async with watched() as watch:
            watch.home.service.is_draining = True
            await self.call(watch)
            assert watch.given.code == "draining"
            await watch.audit.keeper.append([b'{"type":"x"}'])
            assert "begin" not in watch.log.types

    async def test_strictly_no_text_is_released_before_its_record(self) -> None:
        async with watched(is_strict=True) as watch:
            await self.call(watch)
            assert watch.given == Given(text=ANSWER, is_whole=True)
            assert "chunks" not in watch.log.types, "all of it leaves behind its end"


class StreamedAuditContract(AuditContract):
    """What comes as a stream passes these, too."""

    is_stream = True

    async def test_strictly_no_text_is_released_before_its_record(self) -> None:
        async with watched(is_strict=True) as watch:
            await self.call(watch)
            assert watch.given == Given(text=ANSWER, is_whole=True)
            chars = 0
            for num_entries in watch.at_release:
                told = watch.log.records[:num_entries]
                chars = sum(
                    item[2] for each in told if each["type"] == "chunks" for item in each["of"]
                )
                assert chars > 0
            assert chars == len(ANSWER)
            assert len(watch.at_release) > 1

    async def test_strictly_what_cannot_be_recorded_is_not_released(self) -> None:
        async with watched(is_strict=True) as watch:
            real = watch.audit._begin

            async def then_failing(*arguments: Any) -> None:
                await real(*arguments)
                watch.log.fails = True

            watch.audit._begin = then_failing  # type: ignore[method-assign]
            await self.call(watch)
            assert watch.given.text == ""
            assert watch.given.code == "audit_unavailable"
            watch.log.fails = False
            await watch.audit.keeper.come_back()
            assert set(ends_of(watch.log).values()) == {1}
