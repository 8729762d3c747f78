"""Short tokens: of a key, for a while, and never more than the key."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from serve.errors import InvalidApiKey, InvalidScope
from serve.governance.identity.credentials import Credentials
from serve.governance.identity.key_table import KeyTable
from serve.governance.identity.pepper import Pepper
from serve.governance.identity.short_tokens import LIFETIME, ShortTokens
from serve.governance.principal import Principal
from tests.serve.governance.stored_keys import stored_key, stored_secret

ID, SECRET, NEW = "abcdefghijkl", "s" * 43, "n" * 43
START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = stored_key(SECRET, key_id=ID, tenant="ward-3", owner="anna")


class Clock:
    now = START

    def __call__(self) -> datetime:
        return self.now


class Site:
    def __init__(self, pepper: Pepper | None = None) -> None:
        self.clock = Clock()
        self.table = KeyTable((KEY,), wall_clock=self.clock)
        self.tokens = ShortTokens(self.table, pepper, wall_clock=self.clock)

    def make(self, *scopes: str) -> str:
        return self.tokens.make(ID, SECRET, scopes or None).text

    def shown(self, text: str) -> Principal | None:
        return self.tokens.authenticate(Credentials(authorization=(f"Bearer {text}",)))


def test_a_token_stands_for_its_key() -> None:
    site = Site()
    principal = site.shown(site.make())
    assert principal == KEY.principal()
    narrow = site.shown(site.make("infer"))
    assert narrow is not None
    assert narrow.scopes == {"infer"}


def test_it_ends_at_its_time() -> None:
    site = Site()
    made = site.tokens.make(ID, SECRET, None)
    assert made.expires_in_s == LIFETIME.total_seconds() == 600
    site.clock.now = START + LIFETIME - timedelta(seconds=1)
    assert site.shown(made.text)
    site.clock.now = START + LIFETIME
    with pytest.raises(InvalidApiKey):
        site.shown(made.text)


def test_it_does_not_outlast_the_key_or_the_secret() -> None:
    site = Site()
    end = START + timedelta(seconds=60)
    for key in (
        replace(KEY, expires_at=end),
        replace(KEY, secrets=(stored_secret(NEW), stored_secret(SECRET, valid_until=end))),
    ):
        site.clock.now = START
        site.table.replace((key,))
        made = site.tokens.make(ID, SECRET, None)
        assert made.expires_in_s == 60
        site.clock.now = end
        with pytest.raises(InvalidApiKey):
            site.shown(made.text)


@pytest.mark.parametrize(
    "keys",
    [
        (),
        (replace(KEY, disabled=True),),
        (replace(KEY, expires_at=START),),
        (replace(KEY, secrets=(stored_secret(NEW),)),),
    ],
    ids=["gone", "revoked", "expired", "its secret replaced"],
)
def test_it_ends_with_what_it_was_made_for(keys) -> None:
    site = Site()
    text = site.make()
    site.table.replace(keys)
    with pytest.raises(InvalidApiKey):
        site.shown(text)


def test_it_loses_what_the_key_loses() -> None:
    site = Site()
    text = site.make("infer", "metrics")
    site.table.replace((replace(KEY, scopes=frozenset({"metrics", "admin"})),))
    principal = site.shown(text)
    assert principal is not None
    assert principal.scopes == {"metrics"}
    with pytest.raises(InvalidScope, match=r"'infer'.*admin, metrics"):
        site.make("infer")


@pytest.mark.parametrize(("client", "secret"), [("x" * 12, SECRET), (ID, NEW), ("", ""), (ID, "é")])
def test_only_a_key_gets_one(client: str, secret: str) -> None:
    with pytest.raises(InvalidApiKey):
        Site().tokens.make(client, secret, None)


def test_a_token_is_good_where_its_pepper_is() -> None:
    one, same, other = Site(Pepper(b"p" * 32)), Site(Pepper(b"p" * 32)), Site(Pepper(b"q" * 32))
    text = one.make()
    assert same.shown(text)
    for site in (other, Site(), Site()):
        with pytest.raises(InvalidApiKey):
            site.shown(text)


def test_no_other_text_is_one() -> None:
    site = Site()
    good = site.make("infer")
    body, signature = good.removeprefix("st-").split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    wide = json.dumps(claims | {"s": ["admin"]}).encode()
    forged = base64.urlsafe_b64encode(wide).decode().rstrip("=")
    for text in (
        f"st-{forged}.{signature}",
        f"st-{body}.{signature[:-1]}",
        f"st-{body}.{'A' * 43}",
        f"st-{body}",
        f"st-{body}.{signature}.x",
        "st-.",
        f"st-{'A' * 2000}.{signature}",
        f"st-{body[:-1]}.{signature}",
    ):
        with pytest.raises(InvalidApiKey):
            site.shown(text)
    assert site.shown("sk-a.b") is None
    assert site.tokens.authenticate(Credentials()) is None
