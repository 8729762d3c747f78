"""Files that govern requests: the pepper, limits, the identity provider, alerts, and screens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from serve.config import Config
from serve.doctor.finding import Finding, failure, ok, skipped, warning
from serve.doctor.machine import Machine
from serve.errors import StartupError
from serve.governance.alerts import alerts_file
from serve.governance.filtering.filter_file import read_filter
from serve.governance.identity.jwks_sources import UrlJwks
from serve.governance.identity.jwt_settings import read_jwt_settings
from serve.governance.identity.jwt_tokens import jwks_source
from serve.governance.identity.keys import list_keys
from serve.governance.identity.pepper import opened_pepper
from serve.governance.limits.existence import Known, names_of
from serve.governance.limits.limits_file import read_rules
from serve.governance.limits.rules import BUDGETS
from serve.governance.masking.masking_file import read_rules as read_masking
from serve.governance.presets.preset_rules import BUILT_IN, PresetRules
from serve.governance.presets.presets_file import read_presets
from serve.governance.sealing import read_sealing_key
from serve.suggestion import near


def pepper(machine: Machine) -> Finding:
    """Can the pepper be read, and by nobody else?"""
    if machine.config.key_pepper_file is None:
        return skipped("Keys are stored without a pepper: --key-pepper-file names one.")
    try:
        opened_pepper(machine.config.key_pepper_file)
    except StartupError as error:
        return _failed(error)
    return ok("The pepper can be read, and by nobody else.")


def sealing_keys(machine: Machine) -> Finding:
    """Can the keys of kept answers and of texts of feedback be read, and by nobody else?"""
    config = machine.config
    named = {
        "--response-cache-key-file": config.response_cache_key_file,
        "--feedback-key-file": config.feedback_key_file,
    }
    given = {flag: path for flag, path in named.items() if path is not None}
    if not given:
        return skipped("Nothing is kept under a key of its own: no answers, no texts of feedback.")
    try:
        keys = [read_sealing_key(path, flag) for flag, path in given.items()]
    except StartupError as error:
        return _failed(error)
    if len(keys) == 2 and keys[0] == keys[1]:
        return warning(
            "Kept answers and texts of feedback are under the same key.",
            "Make one for each: kept answers are forgotten by a new key, texts are lost by it.",
        )
    return ok(f"Readable, and by nobody else: {', '.join(given)}.")


def limits(machine: Machine) -> Finding:
    """Does the limits file load, and does each limit name what there is?"""
    config = machine.config
    if config.limits_file is None:
        return skipped("There are no limits: --limits-file names a file of them.")
    try:
        rules = read_rules(config.limits_file, _known(config))
    except StartupError as error:
        return _failed(error)
    num_enforced = sum(limit.is_enforced for limit in rules.limits)
    summary = f"{len(rules.limits)} limits, {num_enforced} of them enforced."
    if config.api_keys == "database":
        return ok(f"{summary} Names of keys, users and tenants are in the database: not looked up.")
    return ok(summary)


def identity_provider(machine: Machine) -> Finding:
    """Can the public keys of the identity provider be read, now?"""
    if machine.config.jwt_file is None:
        return skipped("No identity provider's tokens are taken: --jwt-file names one.")
    try:
        source = jwks_source(read_jwt_settings(machine.config.jwt_file))
    except StartupError as error:
        return _failed(error)
    if isinstance(source, UrlJwks) and not asyncio.run(source.refresh()):
        return failure(
            "The identity provider's keys cannot be fetched: its tokens are refused.",
            "Look at jwks_url and ca_file, and at the network policy; the log has the reason.",
        )
    return ok("The identity provider's keys can be read.")


def alerts(machine: Machine) -> Finding:
    """Does the alerts file load, with its secret and certificates, and is there what it tells of?

    Nothing is sent, and no name is looked up.
    """
    config = machine.config
    if config.alerts_file is None:
        return skipped("Nobody is told of budgets: --alerts-file names a file of whom to tell.")
    try:
        file = alerts_file.load(config.alerts_file)
        channels = alerts_file.channels_of(config.alerts_file, file)
        has_budgets = _has_budgets(config)
    except StartupError as error:
        return _failed(error)
    percents = ", ".join(str(percent) for percent in sorted(set(file.thresholds)))
    summary = f"At {percents} % of a budget, by {' and '.join(channels)}."
    if not has_budgets:
        return warning(
            f"{summary} The limits file has no budget.",
            "Add tokens_per_day, money_per_day or money_per_month to a limit.",
        )
    return ok(summary)


def content_filter(machine: Machine) -> Finding:
    """Does the content filter's file load?"""
    path = machine.config.content_filter_file
    if path is None:
        return skipped("Nothing is filtered: --content-filter-file names a file of rules.")
    try:
        rules = read_filter(path)
    except StartupError as error:
        return _failed(error)
    num_blocking = sum(rule.action == "block" for rule in rules.rules)
    summary = f"{len(rules.rules)} rules, {num_blocking} of them block; version {rules.version}."
    return _of_known_tenants(machine.config, summary, rules.tenants)


def presets(machine: Machine) -> Finding:
    """Does the presets file load, and has it each preset that a key in the key file names?"""
    config = machine.config
    try:
        rules = PresetRules() if config.presets_file is None else read_presets(config.presets_file)
        keys = () if config.api_key_file is None else list_keys(config.api_key_file)
    except StartupError as error:
        return _failed(error)
    for key in keys:
        if key.preset and key.preset not in rules.presets and not key.disabled:
            return failure(
                f"The API key {key.key_id} has the preset {key.preset!r}, which there is not.",
                f"There are {', '.join(sorted(rules.presets))}: `keys preset {key.key_id} NAME`.",
            )
    if config.presets_file is None:
        return skipped("The presets are those that are built in: --presets-file names a file.")
    num_own = len(rules.presets) - len(BUILT_IN)
    summary = f"{num_own} presets beside the built-in ones, {len(rules.answers)} rules for answers."
    return _of_known_tenants(config, summary, rules.tenants)


def masking(machine: Machine) -> Finding:
    """Does the masking file load, and does it mask anything?"""
    if machine.config.masking_file is None:
        return skipped("Nothing is masked: --masking-file names a file of rules.")
    try:
        rules = read_masking(machine.config.masking_file)
    except StartupError as error:
        return _failed(error)
    default = len(rules.default.rules)
    summary = (
        f"Version {rules.version}: {default} rules by default, {len(rules.tenants)} tenants with "
        "rules of their own."
    )
    if not any(own.rules for own in rules.sets):
        return warning(f"{summary} Nothing is masked.", "Name detectors in [default].")
    return _of_known_tenants(machine.config, summary, rules.tenants)


def _of_known_tenants(config: Config, summary: str, tenants: Iterable[str]) -> Finding:
    """A file that loads; a warning where it is for a tenant that no key is of, perhaps misspelt.

    Keys of a database are not looked up, and tenants of tokens and certificates are not known.
    """
    known = _known(config)
    if config.api_key_file is None or known.users is None:
        return ok(summary)
    for tenant in sorted(set(tenants) - known.tenants):
        return warning(
            f"{summary} It names the tenant {tenant!r}, and no key is of it."
            f"{near(tenant, known.tenants)}",
            "A tenant that is misspelt gets the rules of everyone: `keys list` has the names.",
        )
    return ok(summary)


def _has_budgets(config: Config) -> bool:
    """Whether the limits file has a budget; a key may have one of its own, so no file is none."""
    if config.limits_file is None:
        return False
    rules = read_rules(config.limits_file, _known(config))
    return any(BUDGETS & limit.bounds.keys() for limit in rules.limits)


def _known(config: Config) -> Known:
    """Names that limits may use, as far as files have them."""
    if config.api_keys == "database":
        return Known(aliases=names_of(config, None, knows_others=True).aliases)
    keys = None if config.api_key_file is None else list_keys(config.api_key_file)
    knows_others = config.jwt_file is not None or config.client_cert_map is not None
    return names_of(config, keys, knows_others=knows_others)


def _failed(error: StartupError) -> Finding:
    summary, _, advice = str(error).partition(". ")
    return failure(f"{summary.rstrip('.')}.", advice)
