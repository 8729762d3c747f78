"""The stages that a choice's events pass, between its tokens and its reader.

::

    TokenChunk ── detokenise ──▶ TextDelta… Finished ── stage ── stage ──▶ the same, rewritten
                  (choice.py)

A stage is sans-IO: events in, events out, with a state of its own for each choice. What is held
back, because it could still become something else, comes before ``Finished``. Whatever the chunks
in which the engine hands its tokens over, the same tokens come to the same events, reason and usage
(tests/serve/pipeline/test_stages.py holds every stage and every chain to it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from serve.pipeline.events import ChoiceEvent


class Stage(Protocol):
    """One step of a choice's way from tokens to events."""

    def feed(self, events: Sequence[ChoiceEvent]) -> Sequence[ChoiceEvent]:
        """The events that these come to.

        Args:
            events: in order. ``Finished`` is the last that ever comes: the stage gives up what it
                holds back, and passes it on, perhaps with another reason.

        Returns:
            Events in order. A stage may end the choice by a ``Finished`` of its own; nothing is
            fed to it after that.
        """
        ...


StagesOf = Callable[[int], Sequence[Stage]]
"""The stages of one choice of a request, by its index, in the order in which events pass them."""


def no_stages(_index: int) -> Sequence[Stage]:
    """No stage for a choice to pass (a StagesOf)."""
    return ()
