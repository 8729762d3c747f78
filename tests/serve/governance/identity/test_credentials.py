"""The one token of a request, or why there is none."""

from __future__ import annotations

import pytest

from serve.errors import InvalidApiKey
from serve.governance.identity.credentials import MAX_TOKEN_CHARS, Credentials

KEY = "sk-" + "a" * 12 + "." + "b" * 43


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer   {KEY}", f"BEARER {KEY}"])
def test_the_scheme_may_be_written_small_and_with_spaces(header: str) -> None:
    assert Credentials(authorization=(header,)).token == KEY


def test_a_key_comes_in_either_header_or_the_same_in_both() -> None:
    assert Credentials().token is None
    assert Credentials(api_keys=(KEY,)).token == KEY
    assert Credentials(api_keys=(KEY,), authorization=(f"Bearer {KEY}",)).token == KEY


@pytest.mark.parametrize(
    ("authorization", "api_keys", "says"),
    [
        ((f"Bearer {KEY}", f"Bearer {KEY}"), (), "more than one Authorization"),
        ((), (KEY, KEY), "more than one x-api-key"),
        ((f"Bearer {KEY}",), (KEY + "c",), "different keys"),
        ((KEY,), (), "not valid"),
        (("Basic YTpi",), (), "not valid"),
        (("Bearer",), (), "not valid"),
        (("",), (KEY,), "not valid"),
        ((f"Bearer {KEY} {KEY}",), (), "not valid"),
        ((f"Bearer\t{KEY}",), (), "not valid"),
        ((), (f"{KEY}\n",), "not valid"),
        ((), ("é",), "not valid"),
        (("Bearer " + "x" * MAX_TOKEN_CHARS,), (), "not valid"),
    ],
)
def test_anything_else_is_refused(
    authorization: tuple[str, ...], api_keys: tuple[str, ...], says: str
) -> None:
    with pytest.raises(InvalidApiKey, match=says):
        _ = Credentials(authorization=authorization, api_keys=api_keys).token
