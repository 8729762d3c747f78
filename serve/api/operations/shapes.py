"""The shapes of answers of probes, versions and tokens, for /openapi.json."""

from __future__ import annotations

from typing import Literal

from serve.api.openai.schemas import Reply


class Condition(Reply):
    status: Literal["alive", "ready"]


class PhaseReply(Reply):
    """A phase of the start. ``done`` and ``total`` are bytes where weights are read or fetched."""

    name: str
    done: int
    total: int
    duration_s: float
    eta_s: float | None
    is_finished: bool


class StartReply(Reply):
    status: Literal["starting", "started", "failed"]
    phases: list[PhaseReply]


class Version(Reply):
    version: str
    commit: str | None


class Tokens(Reply):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class Text(Reply):
    prompt: str
