"""Channels: ways by which an alert leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # an audit log's witnesses are reached by these, and need no database
    from serve.storage.alert_outbox import Outgoing


class DeliveryError(Exception):
    """Nobody took an alert. The message is a short reason: no address, no URL, no answer's text."""


class Channel(Protocol):
    """One way out. It may be asked to send the same alert again, with the same id."""

    @property
    def timeout_s(self) -> float:
        """Seconds that one delivery may take."""
        ...

    async def send(self, outgoing: Outgoing) -> None:
        """Deliver an alert.

        Raises:
            DeliveryError: it was not taken, or that is not known.
        """
        ...
