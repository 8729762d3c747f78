"""A chain of authenticators: each knows a caller, refuses it, or leaves it to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from serve.errors import Forbidden, InvalidApiKey
from serve.governance.identity import keys
from serve.governance.identity.authenticators import (
    ApiKeys,
    Loopback,
    authenticate,
    authenticators_for,
)
from serve.governance.identity.credentials import Credentials
from serve.governance.identity.key_changes import DEFAULT_SCOPES
from serve.governance.identity.keys import KeyRing
from serve.governance.principal import ANONYMOUS, Principal

NOTHING = Credentials()


@dataclass
class Knows:
    """Knows whoever shows its word, and leaves all others to the next."""

    word: str

    def authenticate(self, credentials: Credentials) -> Principal | None:
        if credentials.authorization != (self.word,):
            return None
        return replace(ANONYMOUS, key_id=self.word)


def test_the_first_that_knows_the_caller_decides() -> None:
    chain = (Knows("a"), Knows("b"), Knows("b"))
    assert authenticate(chain, Credentials(authorization=("b",))).key_id == "b"


@pytest.mark.parametrize("chain", [(), (Knows("a"),), (Knows("a"), Knows("b"))])
def test_whom_nobody_knows_is_refused(chain: tuple[Knows, ...]) -> None:
    with pytest.raises(InvalidApiKey, match="No API key"):
        authenticate(chain, NOTHING)


def test_a_refusal_ends_the_chain() -> None:
    with pytest.raises(Forbidden):
        authenticate((Loopback(), Knows("a")), Credentials(authorization=("a",)))


@pytest.mark.parametrize("hosts", [(), ("localhost", "localhost"), ("localhost.evil.example",)])
def test_loopback_lets_nobody_in_by_another_name(hosts: tuple[str, ...]) -> None:
    assert Loopback().authenticate(Credentials(hosts=("localhost:8000",))) == ANONYMOUS
    with pytest.raises(Forbidden, match="--api-key-file"):
        Loopback().authenticate(Credentials(hosts=hosts))


def test_a_server_has_keys_or_is_open_to_loopback_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = keys.create(path, name="ci")
    (by_key,) = authenticators_for(KeyRing.load(path))
    (by_host,) = authenticators_for(None)
    assert isinstance(by_key, ApiKeys)
    assert isinstance(by_host, Loopback)
    principal = by_key.authenticate(Credentials(authorization=(f"Bearer {key}",)))
    assert principal is not None
    assert (principal.tenant, principal.name) == (principal.key_id, "ci")
    assert (principal.scopes, principal.models) == (set(DEFAULT_SCOPES), None)


def test_two_keys_are_none(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    bearer = f"Bearer {keys.create(path)}"
    with pytest.raises(InvalidApiKey, match="more than one"):
        ApiKeys(KeyRing.load(path)).authenticate(Credentials(authorization=(bearer, bearer)))


class Fails:
    """An authenticator with a defect."""

    def authenticate(self, credentials: Credentials) -> Principal | None:
        raise KeyError(credentials.authorization[0])


def test_a_defect_lets_nobody_in_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidApiKey, match="not valid"):
        authenticate((Fails(), Knows("Bearer x")), Credentials(authorization=("Bearer x",)))
    (record,) = caplog.records
    assert record.getMessage() == "authentication failed by a defect: KeyError"


def test_what_is_no_key_is_left_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys.create(path)
    chain = (*authenticators_for(KeyRing.load(path)), Knows("Bearer a.b.c"))
    assert authenticate(chain, Credentials(authorization=("Bearer a.b.c",))).key_id
    with pytest.raises(InvalidApiKey, match="not valid"):
        authenticate(chain, Credentials(authorization=("Bearer other",)))
