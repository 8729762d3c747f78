"""Who may ask, from the settings to a caller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve.composition.identity import build_identity, open_identity
from serve.composition.stores import open_stores
from serve.config import Config
from serve.errors import InvalidApiKey, StartupError
from serve.governance.identity import keys
from serve.governance.identity.authenticators import Loopback, authenticate
from serve.governance.identity.credentials import Credentials
from serve.governance.identity.database_keys import DatabaseKeys
from serve.governance.identity.database_ring import DatabaseKeyRing
from serve.governance.identity.key_changes import NewKey, made
from serve.governance.identity.keys import KeyRing
from serve.observe.metrics import Metrics
from tests.serve.governance.token_makers import jwks

TOML = """
issuer = "https://login.example.org"
audience = "intramural"
algorithms = ["RS256"]
jwks_file = "jwks.json"
tenant = "site"
"""


def known(identity: Any, token: str) -> str:
    shown = Credentials(authorization=(f"Bearer {token}",))
    return authenticate(identity.authenticators, shown).key_id


def test_without_keys_loopback_alone_may_ask() -> None:
    identity = build_identity(Config(), None)
    (only,) = identity.authenticators
    assert isinstance(only, Loopback)
    assert (identity.keys, identity.tokens, identity.loops) == (None, None, ())
    identity.reload()


async def test_a_key_file_knows_keys_and_their_tokens(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = keys.create(path)
    async with open_identity(Config(api_key_file=path), None) as identity:
        assert isinstance(identity.keys, KeyRing)
        assert known(identity, key) == key[3:15]
        assert identity.tokens is not None
        short = identity.tokens.make(key[3:15], key[16:], None).text
        assert known(identity, short) == key[3:15]
        keys.revoke(path, key[3:15])
        identity.reload()
        for token in (key, short):
            with pytest.raises(InvalidApiKey):
                known(identity, token)


async def test_keys_of_the_database_are_there_at_the_start(tmp_path: Path) -> None:
    config = Config(api_keys="database", state_dir=tmp_path)
    async with open_stores(config, Metrics()) as stores:
        assert stores.database is not None
        entry, key = made(NewKey(), None)
        await DatabaseKeys(stores.database, None).change(lambda _: (entry,))
        async with open_identity(config, stores.database) as identity:
            assert isinstance(identity.keys, DatabaseKeyRing)
            assert known(identity, key) == entry.key_id
            identity.reload()
    with pytest.raises(StartupError, match="needs the database"):
        build_identity(config, None)


def test_a_provider_stands_beside_keys_or_alone(tmp_path: Path) -> None:
    (tmp_path / "jwt.toml").write_text(TOML)
    (tmp_path / "jwks.json").write_bytes(jwks())
    keys.create(tmp_path / "keys.json")
    jwt_file, key_file = tmp_path / "jwt.toml", tmp_path / "keys.json"
    both = build_identity(Config(jwt_file=jwt_file, api_key_file=key_file), None)
    alone = build_identity(Config(jwt_file=jwt_file), None)
    assert (len(both.authenticators), len(alone.authenticators)) == (3, 1)
    assert alone.tokens is None
    with pytest.raises(InvalidApiKey):
        known(alone, "sk-" + "a" * 12 + "." + "b" * 43)


def test_a_key_for_a_model_that_is_not_served_ends_the_start(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys.create(path, models=("other",))
    with pytest.raises(StartupError, match=r"'other', which is not served. Served: demo"):
        build_identity(Config(api_key_file=path, served_model_name=("demo",)), None)
