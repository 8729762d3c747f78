"""Lua scripts of the counters in Valkey or Redis: one of each verb (lua/)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files

VERBS = ("reserve", "settle", "extend", "balances")


@dataclass(frozen=True, slots=True)
class Script:
    """One script, and the name by which a server that has seen it knows it."""

    text: str

    @property
    def sha(self) -> str:
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def load() -> dict[str, Script]:
    """The script of each verb, with what all share in front."""
    folder = files("serve.storage.counting") / "lua"
    shared = (folder / "account.lua").read_text("utf-8")
    return {
        verb: Script(f"{shared}\n{(folder / f'{verb}.lua').read_text('utf-8')}") for verb in VERBS
    }
