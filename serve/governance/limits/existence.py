"""Names that limits may use: a limit on what does not exist would silently limit nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from serve.config import Config
from serve.governance.identity.key_entry import StoredKey
from serve.governance.limits.rules import EACH, MONEY, Limit
from serve.governance.principal import ANONYMOUS
from serve.suggestion import near


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that exists when a limits file is read.

    Attributes:
        aliases: the model's own name by each name that is served.
        keys: ids of keys; None where callers need none of ours (tokens of the site's own).
        tenants: of keys; the file declares others.
        users: owners of keys; None where the site's own tokens name them.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    keys: frozenset[str] | None = None
    tenants: frozenset[str] = frozenset()
    users: frozenset[str] | None = None


def names_of(config: Config, keys: Collection[StoredKey] | None, *, knows_others: bool) -> Known:
    """All that a limits file may name on a server with these settings.

    Args:
        keys: None where callers need none.
        knows_others: whether callers are known by other means than keys.
    """
    model, *aliases = config.model_names
    names = {model: model, **dict.fromkeys(aliases, model)}
    names |= {adapter: adapter for adapter in config.adapters}
    if keys is None:
        callers = frozenset(() if knows_others else (ANONYMOUS.key_id,))
        users = None if knows_others else callers
        return Known(aliases=names, keys=callers, tenants=callers, users=users)
    return Known(
        aliases=names,
        keys=frozenset(entry.key_id for entry in keys),
        tenants=frozenset(entry.tenant for entry in keys),
        users=None if knows_others else frozenset(entry.owner or entry.key_id for entry in keys),
    )


def strangers(limit: Limit, known: Known, declared: Collection[str]) -> Iterator[str]:
    """Names of one limit that are names of nothing, as sentences.

    Args:
        declared: tenants of the file.
    """
    tenants = known.tenants | frozenset(declared)
    for kind, name, names, remedy in (
        ("model", limit.model, known.aliases, "it is not served here"),
        ("key", limit.key, known.keys, "no key has that id: `keys list` shows those there are"),
        ("user", limit.user, known.users, "no key has that owner"),
        ("tenant", limit.tenant, tenants, "no key is of it, and no [tenants.NAME] declares it"),
    ):
        if name not in (None, EACH) and names is not None and name not in names:
            end = near(name or "", names)
            if kind == "model" and not end:
                end = f" Served: {', '.join(names)}"
            yield f"{kind} is {name!r}, and {remedy}.{end}".rstrip(".")


def unpriced(limit: Limit, known: Known, prices: Collection[str]) -> Iterator[str]:
    """Models whose money a limit counts and that have no price, as sentences."""
    if not MONEY & limit.bounds.keys():
        return
    models = set(known.aliases.values())
    if limit.model not in (None, EACH):
        models &= {known.aliases.get(limit.model or "", "")}
    for model in sorted(models - set(prices)):
        yield f'it counts money, and the model {model!r} has no price: add [prices."{model}"]'
