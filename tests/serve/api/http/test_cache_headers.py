"""A client's words on the response cache, as they are meant."""

from __future__ import annotations

import pytest

from serve.api.http.cache_headers import MAX_AGE_S, _use_of
from serve.errors import InvalidRequest
from serve.service.response_cache.use import USUAL, CacheUse

ANEW = CacheUse(reads=False)


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ("", USUAL),
        ("public, s-maxage=x, x-odd", USUAL),
        ("no-cache", ANEW),
        ("NO-CACHE , max-age=9", ANEW),
        ("max-age=0", CacheUse(reads=False, max_age_s=0)),
        ('max-age="9"', CacheUse(max_age_s=9)),
        ("max-age=9999999999", CacheUse(max_age_s=MAX_AGE_S)),
        ("max-age=9, no-cache", ANEW),
        ("no-cache, no-store", CacheUse(reads=False, writes=False)),
    ],
)
def test_what_is_meant(text: str, use: CacheUse) -> None:
    assert _use_of(text) == use


@pytest.mark.parametrize("value", ["", "-1", "1.5", "x" * 100, "²"])
def test_an_age_is_a_number_of_seconds(value: str) -> None:
    with pytest.raises(InvalidRequest, match="whole number of seconds") as refused:
        _use_of(f"max-age={value}")
    assert refused.value.param == "cache-control"
    assert len(refused.value.message) < 200
