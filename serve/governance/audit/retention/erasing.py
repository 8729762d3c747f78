"""Erasure: the keys of subjects are destroyed, and the log stays as it is and verifies.

A subject is an owner of a tenant, or an API key where nobody is named as its owner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from serve.governance.audit.content.content_keys import ContentKeys
from serve.governance.audit.content.subject_keys import SubjectKeys
from serve.governance.audit.content.subjects import (
    KEY_PREFIX,
    key_subject,
    owner_subject,
    tenant_prefix,
)
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.log.pruning import minimum_index
from serve.governance.audit.reading.contents import FOLDER, KEYS
from serve.governance.audit.reading.joined import BEGIN, joined
from serve.governance.audit.retention.holds import Hold

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """Whom to erase: a whole tenant, one owner of it, or one API key without an owner."""

    tenant: str | None = None
    owner: str | None = None
    key: str | None = None

    def held_by(self, holds: Sequence[Hold]) -> Hold | None:
        """The first hold that may cover any of it, whatever its times.

        A hold of a tenant covers an API key's contents, too: which tenant that has is not asked.
        """
        if self.tenant is None:
            return holds[0] if holds else None
        tenant = self.tenant
        return next((hold for hold in holds if hold.covers_subject(tenant, self.owner)), None)


def subjects(
    log: LogFolder, wanted: Erasure, *, progress: Progress = lambda _done, _total: None
) -> list[str]:
    """The subjects of a log that are meant and have a key.

    For a whole tenant the log is read, as only its entries say which API keys without an owner
    are the tenant's.
    """
    there = set(_keys(log).subjects())
    if wanted.key is not None:
        return sorted({key_subject(wanted.key)} & there)
    tenant = wanted.tenant or ""
    if wanted.owner is not None:
        return sorted({owner_subject(tenant, wanted.owner)} & there)
    own = {subject for subject in there if subject.startswith(tenant_prefix(tenant))}
    if any(subject.startswith(KEY_PREFIX) for subject in there):
        own |= there.intersection(_unowned(log, tenant, progress))
    return sorted(own)


def erase(log: LogFolder, subject: str) -> bool:
    """Destroy a subject's key. Whether there was one.

    Raises:
        OSError: it is not destroyed.
    """
    return _keys(log).destroy(subject)


def _keys(log: LogFolder) -> SubjectKeys:
    """Keys of the log's subjects; none of them is unwrapped."""
    return SubjectKeys(log.path / FOLDER / KEYS, ContentKeys(()))


def _unowned(log: LogFolder, tenant: str, progress: Progress) -> Iterator[str]:
    """The subjects of a tenant's API keys that have no owner, by the log's entries."""
    for entry in joined(log, minimum_index(log.path), log.size):
        if entry.index % 4096 == 0:
            progress(entry.index, log.size)
        if entry.kind != BEGIN or entry.part("who", "tenant") != tenant:
            continue
        if entry.part("who", "owner") is None and (key := entry.part("who", "key")):
            yield key_subject(key)
