"""Checks of settings beyond their types: each refuses a value or a combination that means nothing.

They take plain values, and raise ValueError with the flags' names; config.py calls them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

AUDIT_NAMES = frozenset({"cli"})
"""Names of audit logs that no server may have."""


def not_empty(path: object) -> object:
    """The path as it was given. An empty one would be the folder of whoever starts the server."""
    if isinstance(path, str) and not path.strip():
        raise ValueError("it is empty: name a path, or leave the setting out")
    return path


def check_adapters(
    adapters: Iterable[str], model_names: Iterable[str], bounds: Mapping[str, int | None]
) -> None:
    """Check the adapters' names.

    Args:
        adapters: ``NAME=PATH`` each.
        model_names: those of the model itself.
        bounds: of adapters, by their flags.
    """
    seen: set[str] = set()
    for given in adapters:
        name, _, path = given.partition("=")
        if not (name.strip() and path.strip()):
            raise ValueError(f"--lora {given[:80]}: NAME=PATH is needed")
        if name in model_names:
            raise ValueError(f"--lora {given[:80]}: the model itself has that name")
        if name in seen:
            raise ValueError(f"--lora {given[:80]}: the name is given twice")
        seen.add(name)
    for flag, bound in bounds.items():
        if not seen and bound is not None:
            raise ValueError(f"{flag} is for adapters, and there is no --lora")


def check_keys(key_file: Path | None, *, in_database: bool, has_pepper: bool) -> None:
    """Check that keys are in one place."""
    if in_database and key_file is not None:
        raise ValueError(
            "--api-keys database and --api-key-file are two places of keys: leave one out"
        )
    if has_pepper and not in_database and key_file is None:
        raise ValueError(
            "--key-pepper-file is for stored keys: name them with --api-key-file or --api-keys "
            "database"
        )


def check_cache(*, is_given: bool, counts: bool, keeps_answers: bool = False) -> None:
    """Check that a server of counters has something to count, or answers to keep."""
    if is_given and not (counts or keeps_answers):
        raise ValueError(
            "--cache-url-file is for limits, and this server counts none: add --limits-file or "
            "--usage-ledger, or --response-cache shared, or leave it out"
        )


def check_response_cache(
    where: str, given: Mapping[str, bool], *, has_server: bool, has_key: bool
) -> None:
    """Check that answers can be kept where they are to be.

    Args:
        where: ``off``, ``memory`` or ``shared``.
        given: flags that are heeded with a cache only, and whether they were given.
    """
    for flag, is_given in given.items():
        if where == "off" and is_given:
            raise ValueError(f"{flag} is heeded with --response-cache memory or shared: add that")
    if where != "shared" and has_key:
        raise ValueError("--response-cache-key-file is heeded with --response-cache shared only")
    if where == "shared" and not has_server:
        raise ValueError("--response-cache shared needs --cache-url-file: the server to share")
    if where == "shared" and not has_key:
        raise ValueError(
            "--response-cache shared needs --response-cache-key-file: answers that leave the "
            "process are encrypted (make one: openssl rand -hex 32)"
        )


def check_feedback(*, has_key: bool, has_ledger: bool) -> None:
    """Check that there is feedback to encrypt."""
    if has_key and not has_ledger:
        raise ValueError(
            "--feedback-key-file is for feedback on answers of the ledger, and this server keeps "
            "none: add --usage-ledger or --limits-file, or leave it out"
        )


def check_signatures(
    trusted_keys: Path | None, *, is_required: bool, is_verified: bool, has_adapters: bool
) -> None:
    """Check that a signature can be asked for."""
    if trusted_keys is not None and not is_required:
        raise ValueError("--trusted-keys is heeded with --require-signature only: add that")
    if is_required and not is_verified:
        raise ValueError("--require-signature needs the files verified: not --verify off")
    if is_required and has_adapters:
        raise ValueError("--require-signature: adapters (--lora) cannot be signed yet")


def check_prefix_store(
    folder: Path | None, given: Mapping[str, bool], *, is_cached: bool, is_verified: bool
) -> None:
    """Check that a prefix cache can be kept from one run to the next.

    Args:
        given: flags that are heeded with the folder only, and whether they were given.
    """
    for flag, is_given in given.items():
        if folder is None and is_given:
            raise ValueError(f"{flag} is heeded with --prefix-cache-dir only: add that")
    if folder is not None and not is_cached:
        raise ValueError("--prefix-cache-dir keeps a cache: not --no-enable-prefix-caching")
    if folder is not None and not is_verified:
        raise ValueError(
            "--prefix-cache-dir tells models apart by verified digests: not --verify off"
        )


def check_lookup(num_guesses: int | None, *, is_on: bool | None) -> None:
    """Check that nobody bounds guesses that are not made."""
    if num_guesses is not None and is_on is False:
        raise ValueError("--num-speculative-tokens bounds guesses: not --no-prompt-lookup")


def check_step(num_tokens: int | None, num_seqs: int | None) -> None:
    """Check that a step has room for a token of every sequence."""
    if num_tokens is not None and num_seqs is not None and num_tokens < num_seqs:
        raise ValueError(
            f"--max-num-batched-tokens is {num_tokens}, which is less than "
            f"--max-num-seqs {num_seqs}: a step holds a token of every sequence"
        )


def check_tls(given: Mapping[str, bool], *, cert_reqs: int | None, is_behind_proxy: bool) -> None:
    """Check that what is said of TLS goes together.

    Args:
        given: flags of files, and whether each was given: certificate, key, authorities, map.
        cert_reqs: whether clients show a certificate, where that was said.
    """
    certificate, key, authorities, client_map = given
    if given[certificate] is not given[key]:
        missing = key if given[certificate] else certificate
        other = certificate if given[certificate] else key
        raise ValueError(f"{other} needs {missing}, too: certificate and key belong together")
    if given[authorities] and not given[certificate]:
        raise ValueError(f"{authorities} is for TLS, and there is no {certificate}")
    if cert_reqs and not given[authorities]:
        raise ValueError(f"--ssl-cert-reqs {cert_reqs} needs {authorities}: who signs them?")
    if cert_reqs == 0 and given[authorities]:
        raise ValueError(f"{authorities} without effect: --ssl-cert-reqs 0 asks for no certificate")
    if given[client_map] and not given[authorities]:
        raise ValueError(f"{client_map} needs {authorities}: nobody else vouches for a certificate")
    if is_behind_proxy and given[certificate]:
        raise ValueError(
            f"--behind-proxy says that TLS is done in front, and {certificate} that it is done "
            "here: give one of them"
        )


def check_audit(
    folder: Path | None,
    given: Mapping[str, bool],
    *,
    needs_key: str | None,
    name: str | None,
    is_strict_of_nothing: bool = False,
) -> None:
    """Check that what is said of the audit log goes together.

    Args:
        given: flags that are heeded with the folder only, and whether they were given.
        needs_key: the level, where it needs a content key and none is given.
        name: of the replica's log.
        is_strict_of_nothing: pieces of answers are to be recorded, and no call is.
    """
    if is_strict_of_nothing:
        raise ValueError(
            "--audit-strict records pieces of answers, and --audit-level none no calls: take "
            "another level, or leave --audit-strict out"
        )
    if name in AUDIT_NAMES:
        raise ValueError(f"--audit-name {name} is the name of a log that commands write")
    for flag, is_given in given.items():
        if folder is None and is_given:
            raise ValueError(f"{flag} is heeded with --audit-dir only: add that")
    if folder is not None and needs_key is not None:
        raise ValueError(
            f"--audit-level {needs_key} keeps contents, or hashes of them, under subjects' keys: "
            "add --audit-content-key-file (`openssl rand -hex 32`)"
        )
