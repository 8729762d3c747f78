"""The server's side of witnesses: each new checkpoint is submitted, and its cosignatures are kept.

A witness that is away holds up nothing: requests are served, and the next checkpoint is submitted
later. A witness that refuses is the alarm that all this is for, and is logged as critical.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal, Protocol

from serve.errors import StartupError
from serve.governance.audit.tlog.checkpoints import Checkpoint
from serve.governance.audit.tlog.notes import InvalidNote, Note
from serve.governance.audit.witness.client import (
    WitnessAwayError,
    WitnessClient,
    WitnessHasError,
    WitnessRefusedError,
)
from serve.governance.audit.witness.cosigned_notes import CosignedNotes

log = logging.getLogger(__name__)

Outcome = Literal["cosigned", "away", "refused"]


class WitnessedLog(Protocol):
    """A log as it is published (serve/governance/audit/log/folder.py). All of it blocks."""

    note: bytes

    def reload(self) -> Checkpoint:
        """Read the checkpoint anew, also into ``note``."""
        ...

    def consistency(self, old_size: int) -> list[bytes]:
        """The proof that the tree of that checkpoint continues the one of a size."""
        ...


class WitnessListener(Protocol):
    """A listener that is told what became of a checkpoint."""

    def audit_witness_asked(self, outcome: str) -> None:
        """An Outcome."""
        ...

    def audit_cosigned(self, size: int) -> None:
        """Told the entries that every witness has cosigned."""
        ...


class Submitter:
    """Submits a log's checkpoints to its witnesses.

    Args:
        kept: where cosigned checkpoints are kept.
        every_s: seconds between two rounds.
        listener: told of each round.
    """

    def __init__(
        self,
        published: WitnessedLog,
        kept: CosignedNotes,
        clients: Sequence[WitnessClient],
        *,
        every_s: float,
        listener: WitnessListener | None = None,
    ) -> None:
        self._published = published
        self._kept = kept
        self._clients = clients
        self._every_s = every_s
        self._listener = listener
        self._sizes = {client.name: 0 for client in clients}  # that the witnesses have
        self._signed = {client.name: -1 for client in clients}  # that we have signatures of
        self._outcomes: dict[str, Outcome] = {}

    async def run(self) -> None:
        """Submit until cancelled; the last checkpoint is submitted by ``submit_all``."""
        while True:
            await self.submit_all()
            await asyncio.sleep(self._every_s)

    async def submit_all(self) -> None:
        """Submit the checkpoint of now to each witness that has not signed it."""
        try:
            checkpoint = await asyncio.to_thread(self._published.reload)
        except (StartupError, OSError) as error:
            log.error("no checkpoint for the witnesses: %s", error)  # noqa: TRY400  its own words
            return
        note = self._published.note
        for client in self._clients:
            if self._signed[client.name] == checkpoint.size:
                continue
            outcome = await self._submit(client, checkpoint, note)
            if self._listener is not None:
                self._listener.audit_witness_asked(outcome)
            if outcome == "cosigned" and self._outcomes.get(client.name, outcome) != outcome:
                log.info("a witness signs again", extra={"witness": client.name})
            self._outcomes[client.name] = outcome
        if self._listener is not None:
            self._listener.audit_cosigned(max(0, min(self._signed.values(), default=0)))

    async def _submit(self, client: WitnessClient, checkpoint: Checkpoint, note: bytes) -> Outcome:
        try:
            cosigned = await self._cosigned(client, checkpoint, note)
            await asyncio.to_thread(self._kept.keep, client.verifier, cosigned)
        except WitnessRefusedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                if self._outcomes.get(client.name) != "away":
                    log.warning(
                        "a witness does not know this log: give it the log's public key",
                        extra={"witness": client.name, "origin": checkpoint.origin},
                    )
                return "away"
            log.critical(
                "a witness refuses this audit log",
                extra={"witness": client.name, "status": error.status, "reason": str(error)},
            )
            return "refused"
        except WitnessHasError as error:
            log.critical(
                "a witness has cosigned more entries than this audit log has: entries are lost, or "
                "another log has its name",
                extra={"witness": client.name, "cosigned": error.size, "size": checkpoint.size},
            )
            return "refused"
        except (WitnessAwayError, StartupError, InvalidNote, OSError) as error:
            if self._outcomes.get(client.name) != "away":
                log.warning(
                    "a witness did not sign; it is asked again",
                    extra={"witness": client.name, "reason": str(error)},
                )
            return "away"
        self._sizes[client.name] = self._signed[client.name] = checkpoint.size
        return "cosigned"

    async def _cosigned(self, client: WitnessClient, checkpoint: Checkpoint, note: bytes) -> Note:
        """The cosigned note; asked again at once where the witness has another size."""
        try:
            return await self._asked(client, self._sizes[client.name], note)
        except WitnessHasError as error:
            if error.size > checkpoint.size:
                raise
            if error.size < self._sizes[client.name]:
                log.critical(
                    "a witness has forgotten what it signed: its state was set back, or is another",
                    extra={
                        "witness": client.name,
                        "cosigned": self._sizes[client.name],
                        "held": error.size,
                    },
                )
            self._sizes[client.name] = error.size
        return await self._asked(client, self._sizes[client.name], note)

    async def _asked(self, client: WitnessClient, old_size: int, note: bytes) -> Note:
        proof = await asyncio.to_thread(self._published.consistency, old_size)
        return await client.cosigned(old_size, proof, note)
