"""The parts of a server that has no model yet, joined: who is known, limits, usage, the service.

::

    audit ── stores ── identity ─┬─ limits ── alerts
                                 └─ queues ── directory ── service ── routes' state
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from serve.api.routes import ServerState
from serve.composition.alerts import open_alerts
from serve.composition.audit import AuditParts, open_audit
from serve.composition.feedback import build_feedback
from serve.composition.identity import Identity, open_identity
from serve.composition.limits import open_limits
from serve.composition.queues import directory_for
from serve.composition.response_cache import open_response_cache
from serve.composition.screens import Screening, open_screens
from serve.composition.stores import Stores
from serve.composition.tls import Encryption, build_encryption
from serve.composition.usage import open_usage
from serve.config import Config
from serve.observe import logs
from serve.observe.metrics import Metrics
from serve.observe.startup import Startup
from serve.service.requests import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a server that is about to listen."""

    state: ServerState
    identity: Identity
    encryption: Encryption
    audit: AuditParts
    screening: Screening

    @property
    def service(self) -> Service:
        return self.state.service

    def reload(self) -> None:
        """Read the files of keys, tokens, certificates and screens again, changed or not."""
        self.identity.reload()
        self.screening.reload()
        self.encryption.reload()


async def open_parts(
    config: Config, stores: Stores, metrics: Metrics, stack: AsyncExitStack
) -> Parts:
    """Build the parts; those that have an end have it when the stack is closed.

    Raises:
        StartupError: a file that one of them needs cannot be used.
    """
    audit = await stack.enter_async_context(open_audit(config, metrics))
    identity = await stack.enter_async_context(open_identity(config, stores.database))
    keys = identity.keys
    if keys is not None:
        metrics.attach_key_file(lambda: keys.is_in_force)
    encryption = build_encryption(config, metrics)
    limits = await stack.enter_async_context(
        open_limits(
            config,
            stores,
            metrics,
            keys,
            knows_others=config.jwt_file is not None or config.client_cert_map is not None,
            also=await stack.enter_async_context(open_alerts(config, stores, metrics)),
        )
    )
    usage = await stack.enter_async_context(
        open_usage(config, time_zone=limits.time_zone, is_kept=limits.rules is not None)
    )
    screening = open_screens(config, metrics)
    directory = directory_for(config, metrics, limits.weight_of)
    audit.follow(directory)
    service = Service(
        directory,
        encryption.authenticators(identity.authenticators),
        reservations=limits.reservations,
        audit=audit.audit,
        screen=screening.screens,
        moderator=screening.moderator,
        answers=await stack.enter_async_context(open_response_cache(config, stores, metrics)),
        listeners=(logs.AccessLog(), metrics, *audit.listeners),
    )
    state = ServerState(
        config=config,
        service=service,
        startup=Startup(),
        metrics=metrics,
        usage=usage,
        tokens=identity.tokens,
        feedback=build_feedback(config, stores, metrics.feedback_given),
    )
    return Parts(
        state=state,
        identity=identity,
        encryption=encryption,
        audit=audit,
        screening=screening,
    )
