"""Names of answers: a keyed digest of all that an answer depends on, its tenant first.

Two requests have one name where the same tenant asks the same weights, with the same adapter and
settings, for the same generation, as the screens have left it, on the same day of the local
calendar, which chat templates may write into a prompt. Without the key nobody can compute a name,
so a name tells nothing of a request, not even to whoever guesses it.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from serve.governance.canonical_bytes import canonical
from serve.governance.screening import Screened
from serve.pipeline.events import Generation
from serve.service.directory import Served

UNNAMED: Final = frozenset({"format_param"})
"""Fields that change no answer: the client's word for a field, which errors name."""
KEY_BYTES: Final = 32


def is_repeatable(generation: Generation) -> bool:
    """Whether the same request may have the same answer again: greedy, or with a seed.

    Not where it asks what the prefix cache did: that is told of each run.
    """
    sampling = generation.sampling
    is_determined = sampling.temperature == 0 or sampling.seed is not None
    return is_determined and not generation.explains_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerNames:
    """Names under one key.

    Attributes:
        key: secret, of KEY_BYTES; that of a process by itself is made here.
        settings: digest of the settings that change answers (composition/response_cache.py).
        adapters: a digest of the files of each adapter, by its name.
        process: stands for the digest of weights that have none: no two processes share those.
    """

    key: bytes = field(default_factory=lambda: secrets.token_bytes(KEY_BYTES), repr=False)
    settings: bytes = b""
    adapters: Mapping[str, str] = field(default_factory=dict)
    process: bytes = field(default_factory=lambda: secrets.token_bytes(KEY_BYTES), repr=False)

    def of(self, tenant: str, served: Served, screened: Screened, today: date) -> bytes:
        """The name of an answer, of 32 bytes."""
        adapter = served.adapter
        weights = (
            served.weights.digest or self.process,
            served.fingerprint,
            adapter,
            None if adapter is None else self.adapters.get(adapter, self.process),
            self.settings,
        )
        whole = (tenant, weights, screened.rules, today.isoformat(), screened.generation)
        return hmac.digest(self.key, canonical(whole, UNNAMED), "sha256")
