"""The journal in verification: what it must hold, and what a writer at work excuses."""

from __future__ import annotations

import pytest

from serve.governance.audit.log import journal_check
from serve.governance.audit.log.bad_entry import BadEntryFound
from serve.governance.audit.log.journal_check import JournalEntries
from serve.governance.audit.tlog.hashing import leaf_hash
from tests.serve.governance.audit.log.logs import entry, fill, opened, some


def tear(folder):
    path = max((folder / "journal").iterdir())
    path.write_bytes(path.read_bytes() + b"torn")


async def test_a_torn_tail_is_excused_while_somebody_writes(tmp_path):
    await fill(tmp_path, some(3))
    async with opened(tmp_path):
        tear(tmp_path)
        found = journal_check.read(tmp_path)
        assert (found.is_live, found.next_index, found.entries[2]) == (True, 3, entry(2))
    with pytest.raises(BadEntryFound, match="entry 3: 4 bytes behind the last whole entry"):
        journal_check.read(tmp_path)


def test_a_copy_has_no_journal(tmp_path):
    assert journal_check.read(tmp_path) == journal_check.NONE
    assert journal_check.behind(journal_check.NONE, 700) == []


def journal(start: int, end: int) -> JournalEntries:
    entries = dict(enumerate(some(end - start, start), start))
    return JournalEntries(entries, end, is_there=True, is_live=False)


def test_the_rest_of_the_last_bundle_must_be_in_it():
    assert journal_check.behind(journal(256, 300), 300) == []
    assert journal_check.behind(journal(100, 303), 300) == some(3, 300)
    for found, index in ((journal(257, 300), 256), (journal(256, 299), 299), (journal(0, 0), 0)):
        with pytest.raises(BadEntryFound) as raised:
            journal_check.behind(found, 300)
        assert raised.value.bad.index == index


def test_it_has_the_same_entries_as_the_tree():
    leaves = [leaf_hash(one) for one in some(4, 10)]
    journal_check.compare(journal(12, 20), 10, leaves)
    leaves[3] = leaf_hash(b"other")
    with pytest.raises(BadEntryFound, match="entry 13: the journal has another entry"):
        journal_check.compare(journal(12, 20), 10, leaves)
