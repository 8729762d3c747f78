"""Settings that mean nothing together are refused, with the flags that are at fault."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from serve import config_checks as checks


def test_what_goes_together_passes() -> None:
    checks.check_adapters(["a=/a", "b=/b"], ("m",), {"--max-loras": 2})
    checks.check_adapters([], ("m",), {"--max-loras": None})
    checks.check_signatures(Path("k"), is_required=True, is_verified=True, has_adapters=False)
    checks.check_signatures(None, is_required=False, is_verified=False, has_adapters=True)
    checks.check_prefix_store(Path("d"), {"--k": True}, is_cached=True, is_verified=True)
    checks.check_prefix_store(None, {"--k": False}, is_cached=False, is_verified=False)
    checks.check_step(32, 32)
    checks.check_step(None, 64)


@pytest.mark.parametrize(
    ("adapters", "said"),
    [
        (["a"], "NAME=PATH is needed"),
        (["=/a"], "NAME=PATH is needed"),
        (["m=/a"], "the model itself has that name"),
        (["a=/a", "a=/b"], "the name is given twice"),
        ([], "--max-loras is for adapters, and there is no --lora"),
    ],
)
def test_adapters_that_cannot_be(adapters: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checks.check_adapters(adapters, ("m",), {"--max-loras": 1})


@pytest.mark.parametrize(
    ("keys", "required", "verified", "adapters", "said"),
    [
        (Path("k"), False, True, False, "--trusted-keys is heeded with --require-signature"),
        (None, True, False, False, "not --verify off"),
        (None, True, True, True, "cannot be signed yet"),
    ],
)
def test_signatures_that_cannot_be_asked_for(
    keys: Path | None, *, required: bool, verified: bool, adapters: bool, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        checks.check_signatures(
            keys, is_required=required, is_verified=verified, has_adapters=adapters
        )


def test_a_server_of_counters_has_something_to_count() -> None:
    checks.check_cache(is_given=True, counts=True)
    checks.check_cache(is_given=False, counts=False)
    with pytest.raises(ValueError, match="counts none: add --limits-file"):
        checks.check_cache(is_given=True, counts=False)


def test_a_server_to_share_may_keep_answers_alone() -> None:
    checks.check_cache(is_given=True, counts=False, keeps_answers=True)


@pytest.mark.parametrize(
    ("where", "given", "server", "key", "refusal"),
    [
        ("off", False, True, False, None),
        ("memory", True, False, False, None),
        ("shared", True, True, True, None),
        ("off", True, False, False, "--some-bytes is heeded with --response-cache"),
        ("off", False, False, True, "--response-cache-key-file is heeded with"),
        ("memory", False, True, True, "--response-cache-key-file is heeded with"),
        ("shared", False, False, True, "needs --cache-url-file"),
        ("shared", False, True, False, "needs --response-cache-key-file.*openssl"),
    ],
)
def test_answers_are_kept_where_they_can_be(
    where: str, given: bool, server: bool, key: bool, refusal: str | None
) -> None:
    context = pytest.raises(ValueError, match=refusal) if refusal else contextlib.nullcontext()
    with context:
        checks.check_response_cache(where, {"--some-bytes": given}, has_server=server, has_key=key)


def test_texts_of_feedback_need_a_ledger() -> None:
    checks.check_feedback(has_key=True, has_ledger=True)
    checks.check_feedback(has_key=False, has_ledger=False)
    with pytest.raises(ValueError, match="add --usage-ledger"):
        checks.check_feedback(has_key=True, has_ledger=False)


def test_guesses_that_are_not_made_have_no_bound() -> None:
    checks.check_lookup(4, is_on=True)
    checks.check_lookup(4, is_on=None)
    checks.check_lookup(None, is_on=False)
    with pytest.raises(ValueError, match="not --no-prompt-lookup"):
        checks.check_lookup(4, is_on=False)


def test_a_step_holds_a_token_of_every_sequence() -> None:
    with pytest.raises(ValueError, match="is 31, which is less than --max-num-seqs 32"):
        checks.check_step(31, 32)


@pytest.mark.parametrize(
    ("folder", "given", "cached", "verified", "said"),
    [
        (None, {"--k": True}, True, True, "--k is heeded with --prefix-cache-dir only"),
        (Path("d"), {}, False, True, "not --no-enable-prefix-caching"),
        (Path("d"), {}, True, False, "not --verify off"),
    ],
)
def test_prefixes_that_cannot_be_saved(
    folder: Path | None, given: dict[str, bool], *, cached: bool, verified: bool, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        checks.check_prefix_store(folder, given, is_cached=cached, is_verified=verified)


FILES = ("--ssl-certfile", "--ssl-keyfile", "--ssl-ca-certs", "--client-cert-map")


@pytest.mark.parametrize(
    ("given", "reqs", "is_behind", "said"),
    [
        ("c", None, False, "--ssl-certfile needs --ssl-keyfile, too"),
        ("k", None, False, "--ssl-keyfile needs --ssl-certfile, too"),
        ("a", None, False, "--ssl-ca-certs is for TLS, and there is no --ssl-certfile"),
        ("ck", 2, False, "--ssl-cert-reqs 2 needs --ssl-ca-certs"),
        ("cka", 0, False, "--ssl-ca-certs without effect"),
        ("ckm", None, False, "--client-cert-map needs --ssl-ca-certs"),
        ("ck", None, True, "--behind-proxy says that TLS is done in front"),
    ],
)
def test_tls_that_means_nothing(given: str, reqs: int | None, is_behind: bool, said: str) -> None:
    files = {flag: letter in given for flag, letter in zip(FILES, "ckam", strict=True)}
    with pytest.raises(ValueError, match=said):
        checks.check_tls(files, cert_reqs=reqs, is_behind_proxy=is_behind)


@pytest.mark.parametrize(
    ("given", "reqs", "is_behind"),
    [("", None, True), ("", 0, False), ("ck", None, False), ("cka", 1, False), ("ckam", 2, False)],
)
def test_tls_that_means_something(given: str, reqs: int | None, is_behind: bool) -> None:
    files = {flag: letter in given for flag, letter in zip(FILES, "ckam", strict=True)}
    checks.check_tls(files, cert_reqs=reqs, is_behind_proxy=is_behind)
