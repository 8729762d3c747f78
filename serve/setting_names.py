"""Names of settings: as a flag, and in the environment."""

from __future__ import annotations

ENV_PREFIX = "INTRAMURAL_"


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def env_of(name: str) -> str:
    return ENV_PREFIX + name.upper()
