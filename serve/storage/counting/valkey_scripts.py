"""Lua scripts of the counters in Valkey or Redis: one of each verb (lua/)."""

from __future__ import annotations

from importlib.resources import files

from serve.storage.valkey_server import Script

VERBS = ("reserve", "settle", "extend", "balances")


def load() -> dict[str, Script]:
    """The script of each verb, with what all share in front."""
    folder = files("serve.storage.counting") / "lua"
    shared = (folder / "account.lua").read_text("utf-8")
    return {
        verb: Script(f"{shared}\n{(folder / f'{verb}.lua').read_text('utf-8')}") for verb in VERBS
    }
