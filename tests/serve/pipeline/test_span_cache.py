"""Ids of spans: found again by their owner alone, within a bound of bytes."""

from __future__ import annotations

from serve.pipeline.span_cache import ENTRY_BYTES, SpanCache


def test_ids_are_found_again_by_their_owner_and_tokenizer_alone() -> None:
    cache = SpanCache()
    cache.put(cache.key("a", "plain", "text"), [1, 2, 3])
    assert list(cache.get(cache.key("a", "plain", "text")) or ()) == [1, 2, 3]
    assert cache.get(cache.key("b", "plain", "text")) is None
    assert cache.get(cache.key("a", "other", "text")) is None
    assert cache.get(cache.key("aplain", "", "text")) is None  # lengths go into the key


def test_two_caches_have_other_keys_for_a_text() -> None:
    assert SpanCache().key("a", "k", "text") != SpanCache().key("a", "k", "text")


def test_the_least_recently_used_go_first_and_bytes_are_bounded() -> None:
    cache = SpanCache(max_bytes=5 * (ENTRY_BYTES + 40))
    keys = [cache.key("a", "k", str(number)) for number in range(6)]
    for key in keys[:5]:
        cache.put(key, range(10))
    assert cache.get(keys[0]) is not None  # used again
    cache.put(keys[5], range(10))
    assert cache.get(keys[1]) is None
    assert cache.get(keys[0]) is not None
    assert cache.num_bytes == 5 * (ENTRY_BYTES + 40)
    cache.put(keys[5], range(5))  # the same key anew
    assert cache.num_bytes == 5 * (ENTRY_BYTES + 40) - 20


def test_what_would_push_out_much_is_not_kept() -> None:
    cache = SpanCache(max_bytes=4 * ENTRY_BYTES)
    key = cache.key("a", "k", "long")
    cache.put(key, range(1000))
    assert cache.get(key) is None
    assert cache.num_bytes == 0
