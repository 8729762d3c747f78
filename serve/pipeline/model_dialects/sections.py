"""Reading the calls of an answer that stand together, from the place where they may begin.

Some can be known by their literals at once. Others look like ordinary text, such as a bare JSON
object or a list in brackets: these have to name a tool that there is, and, unless the answer begins
with them, to be the end of it. Until that is known nothing of them is told.
"""

from __future__ import annotations

from dataclasses import replace

from serve.pipeline.model_dialects.call_reading import ToldCall, Tools, closed_by, read_call
from serve.pipeline.model_dialects.dialect import (
    MAX_CALLS,
    CallSyntax,
    JsonCall,
    NamedCall,
    is_weak,
)
from serve.pipeline.model_dialects.literals import Literals
from serve.pipeline.model_dialects.reading import (
    EndedError,
    MalformedError,
    Reader,
    Wait,
)
from serve.pipeline.model_dialects.telling import Telling

FENCES = ("```json", "```")
MAX_LONG_TRIES = 8
LONG_TRY_CHARS = 1024
"""What was read as a call and turns out to be none is read again as text, in which a call may begin
at any character. So that the work stays in proportion to the text, there are so many tries of more
characters than this in an answer; behind them all is content."""


class SectionReading:
    """Reads calls.

    Args:
        syntax: of the dialect, with marks for special tokens.
        tools: schemas of the arguments of what may be called.
        is_parallel: whether more than one call may come.

    Attributes:
        has_ended: whether nothing may follow what has been read.
        is_cut: whether the last call that was read broke off before its arguments were whole.
        trigger: the text with which calls may begin; empty where none can.
    """

    def __init__(
        self,
        reader: Reader,
        telling: Telling,
        syntax: CallSyntax,
        *,
        tools: Tools,
        is_parallel: bool,
    ) -> None:
        self._reader = reader
        self._telling = telling
        self._syntax = syntax
        self._tools = tools
        self._is_parallel = is_parallel
        self.has_ended = False
        self.is_cut = False
        self._num_long_tries = 0
        self.trigger = _trigger(syntax)
        self._is_weak = is_weak(syntax.trigger)

    def read(self, *, is_first: bool) -> Wait[bool]:
        """Read calls where their trigger stands. Returns whether one was told; else the place is
        as it was.

        Args:
            is_first: whether nothing of the answer's content is before them.
        """
        syntax = self._syntax
        if not self._is_weak:
            return (yield from self._tried(self._section(syntax, only=None)))
        if not syntax.trigger and isinstance(syntax.body, NamedCall):
            syntax = replace(syntax, section_open=syntax.separator)
        return (yield from self._tried(self._tentative(syntax, must_end=not is_first)))

    def read_without_tags(self) -> Wait[bool]:
        """Read calls with which an answer begins, and that miss the tags which they should have."""
        syntax = self._syntax
        if self._is_weak and isinstance(syntax.body, JsonCall | NamedCall):
            return (yield from self._tried(self._tentative(syntax, must_end=False)))
        if not isinstance(syntax.body, JsonCall):
            return False
        bare = replace(syntax, section_open="", open="", close="", section_close="")
        return (yield from self._tried(self._tentative(bare, must_end=True)))

    def _tried(self, reading: Wait[bool]) -> Wait[bool]:
        """Read calls, unless too much has been read for nothing. Returns to the place where there
        are none.
        """
        reader, start = self._reader, self._reader.place
        if self._num_long_tries >= MAX_LONG_TRIES:
            return False
        if (yield from reading):
            self.has_ended = not self._is_parallel or self._telling.num_calls >= MAX_CALLS
            return True
        self._num_long_tries += reader.place - start > LONG_TRY_CHARS
        reader.return_to(start)
        return False

    def _tentative(self, syntax: CallSyntax, *, must_end: bool) -> Wait[bool]:
        """Read what may be calls, and tell of them once it is known that they are."""
        telling = self._telling
        telling.hold(releases_at_call=not must_end)
        fence = yield from self._fence()
        is_told = yield from self._section(syntax, only=self._tools)
        if is_told and must_end:
            if fence:
                yield from self._reader.match("```")
            is_told = yield from self._is_at_end()
        if is_told:
            telling.release()
        else:
            telling.restore()
        return is_told

    def _fence(self) -> Wait[bool]:
        for fence in FENCES:
            if (yield from self._reader.match(fence)):
                return True
        return False

    def _is_at_end(self) -> Wait[bool]:
        try:
            yield from self._reader.skip_space()
        except EndedError:
            return True
        return False

    def _section(self, syntax: CallSyntax, *, only: Tools | None) -> Wait[bool]:
        """Read calls that stand together. Returns whether one was told; else the place is where it
        was seen that there is none.

        Args:
            only: the tools of which each has to name one; None where any name will do.
        """
        reader = self._reader
        if not (yield from reader.match(syntax.section_open)):
            return False
        has_told = False
        while True:
            start = reader.place
            call = ToldCall(self._telling.call(), only)
            try:
                yield from read_call(reader, syntax, call, self._tools)
            except MalformedError as error:
                is_end = isinstance(error, EndedError)
                if is_end and call.name and only is None:
                    call.finish()
                if is_end and not call.is_told and only is None and reader.is_short:
                    # The beginning of a call, which had no room to go on: it is no content.
                    reader.at, self.is_cut = len(reader.text), True
                    return True
                if not call.is_told or (self._telling.is_held and not is_end):
                    if has_told:
                        reader.return_to(start)
                    return has_told
                if is_end:
                    reader.at = len(reader.text)
                else:
                    yield from self._read_broken(syntax, call)
            has_told, self.is_cut = True, not call.is_whole
            if not self._is_parallel or (yield from self._is_over(syntax)):
                return True

    def _is_over(self, syntax: CallSyntax) -> Wait[bool]:
        """Whether no further call follows in this section; the literals between are read."""
        reader = self._reader
        if syntax.section_close.strip() and (yield from reader.match(syntax.section_close)):
            return True
        has_own_trigger = syntax.open.strip() and not syntax.section_open.strip()
        if has_own_trigger and not syntax.separator.strip():
            return True  # the next call is found as the first was
        after = reader.place
        yield from reader.match(syntax.separator)
        mark = reader.place
        try:
            if syntax.open.strip():
                begins = yield from reader.match(syntax.open)
            else:
                is_any = not isinstance(syntax.body, JsonCall)
                begins = (yield from reader.skip_space()) == "{" or is_any
        except EndedError:
            begins = False
        reader.return_to(mark if begins else after)
        if not begins:
            yield from reader.match_close(syntax.section_close)
        return not begins

    def _read_broken(self, syntax: CallSyntax, call: ToldCall) -> Wait[None]:
        """Tell what follows in a call that is not what it should be as it stands, up to its end."""
        reader, close = self._reader, Literals([closed_by(syntax, call).strip()])
        while True:
            found = close.find(reader.text, reader.at, is_over=reader.is_over)
            if found is not None:
                call.argue(reader.text[reader.at : found[0]])
                reader.at = found[0] + len(found[1])
                return
            keep = 0 if reader.is_over else close.held(reader.text, reader.at)
            stop = len(reader.text) - keep
            call.argue(reader.text[reader.at : stop])
            reader.at = stop
            if reader.is_over:
                return
            yield from reader.more()


def _trigger(syntax: CallSyntax) -> str:
    """The text with which calls begin: of a bare call, the first of its own."""
    if syntax.trigger or not syntax.pieces:
        return syntax.trigger
    first = syntax.pieces[0]
    return syntax.separator.strip() if first.is_hole else first.text.strip()
