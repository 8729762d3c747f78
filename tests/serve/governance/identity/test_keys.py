"""Keys: what is stored, what opens, what does not, and that the ring follows its file."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import re
import stat
import string
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serve.errors import InvalidApiKey, StartupError
from serve.governance.identity import keys
from serve.governance.identity.authenticators import authenticate, authenticators_for
from serve.governance.identity.credentials import Credentials
from serve.governance.identity.keys import KeyRing


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_opens_and_says_whose_it_is(path: Path) -> None:
    key = keys.create(path, name="ci")
    assert re.fullmatch(r"sk-[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]{43}", key)
    principal = KeyRing.load(path).authenticate(key)
    assert principal.name == "ci"
    assert principal.key_id == key[3:15]


def test_the_file_holds_no_secret_and_is_ours_alone(path: Path) -> None:
    key = keys.create(path, name="ci")
    text = path.read_text()
    assert key.partition(".")[2] not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {entry.name for entry in path.parent.iterdir()} == {"keys.json", "keys.json.lock"}
    listed = json.dumps([entry.as_json() for entry in keys.list_keys(path)])
    (stored,) = json.loads(text)["keys"][0]["secrets"]
    assert stored["hash"] not in listed
    assert stored["salt"] not in listed


def test_equal_secrets_would_have_different_hashes(path: Path) -> None:
    for _ in range(3):
        keys.create(path)
    hashed = [entry.secrets[0] for entry in keys.list_keys(path)]
    assert len({each.salt for each in hashed}) == len({each.hash for each in hashed}) == 3


def test_a_revoked_key_opens_no_more(path: Path) -> None:
    first, second = keys.create(path), keys.create(path)
    keys.revoke(path, first[3:15])
    keys.revoke(path, first[3:15])
    ring = KeyRing.load(path)
    with pytest.raises(InvalidApiKey, match="revoked"):
        ring.authenticate(first)
    assert ring.authenticate(second)
    assert [entry.state for entry in keys.list_keys(path)] == ["revoked", "enabled"]


def test_revoking_an_unknown_key_says_so(path: Path) -> None:
    keys.create(path)
    with pytest.raises(StartupError, match="No key has the id"):
        keys.revoke(path, "nobody")


def test_a_key_ends_at_its_time(path: Path) -> None:
    end = datetime(2030, 1, 1, tzinfo=UTC)
    key = keys.create(path, expires_at=end)
    before = KeyRing(path, wall_clock=lambda: end - timedelta(seconds=1))
    after = KeyRing(path, wall_clock=lambda: end)
    assert before.authenticate(key)
    with pytest.raises(InvalidApiKey, match="expired"):
        after.authenticate(key)


@pytest.mark.parametrize("name", ["x" * 65, "a\nb", "a\x00"])
def test_a_name_that_would_spoil_a_listing_is_refused(path: Path, name: str) -> None:
    with pytest.raises(StartupError, match="printable"):
        keys.create(path, name=name)


def test_a_ring_opens_on_a_whole_file_only(path: Path) -> None:
    with pytest.raises(StartupError, match="is not there"):
        KeyRing.load(path)
    keys.create(path)
    path.chmod(0o644)
    with pytest.raises(StartupError, match="mode 0644"):
        KeyRing.load(path)
    path.write_text("{")
    path.chmod(0o600)
    with pytest.raises(StartupError, match="API key file"):
        KeyRing.load(path)


def test_the_ring_follows_its_file_within_a_second(path: Path) -> None:
    first = keys.create(path)
    clock = Clock()
    ring = KeyRing(path, clock=clock)
    second = keys.create(path)
    keys.revoke(path, first[3:15])
    assert ring.authenticate(first)  # not looked yet
    clock.now = 1.0
    assert ring.authenticate(second)
    with pytest.raises(InvalidApiKey):
        ring.authenticate(first)


@pytest.mark.parametrize("harm", ["broken", "gone", "open"])
def test_a_bad_new_file_leaves_the_old_keys_in_force(
    path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = keys.create(path)
    clock = Clock()
    ring = KeyRing(path, clock=clock)
    good = path.read_text()
    if harm == "gone":
        path.unlink()
    elif harm == "open":
        path.chmod(0o644)
    else:
        path.write_text("{")
    assert ring.is_in_force
    clock.now = 1.0
    assert ring.authenticate(key)
    assert not ring.is_in_force
    clock.now = 2.0
    assert ring.authenticate(key)
    assert not ring.is_in_force
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1, "one line per bad file, not one per second"
    path.write_text(good)
    path.chmod(0o600)
    other = keys.create(path)
    clock.now = 3.0
    assert ring.authenticate(other)
    assert ring.is_in_force


def test_writers_do_not_lose_each_others_keys(path: Path) -> None:
    threads = [threading.Thread(target=keys.create, args=(path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys.list_keys(path)) == 8


def _forgeries(real: str, number: int) -> list[str | None]:
    """Headers that are near the real one, and some that are near nothing."""
    source = random.Random(20261120)
    alphabet = string.ascii_letters + string.digits + "-_"
    key_id, secret = real[3:].split(".")

    def text(length: int, letters: str = alphabet) -> str:
        return "".join(source.choices(letters, k=length))

    def changed(word: str) -> str:
        at = source.randrange(len(word))
        return word[:at] + source.choice(alphabet.replace(word[at], "")) + word[at + 1 :]

    makers: list[Callable[[], str | None]] = [
        lambda: f"Bearer sk-{key_id}.{text(43)}",
        lambda: f"Bearer sk-{key_id}.{changed(secret)}",
        lambda: f"Bearer sk-{changed(key_id)}.{secret}",
        lambda: f"Bearer sk-{text(12)}.{text(43)}",
        lambda: f"Bearer sk-{key_id}.{secret[: source.randrange(43)]}",
        lambda: f"Bearer sk-{key_id}.{secret}{text(source.randrange(1, 5))}",
        lambda: f"Bearer sk-{key_id}.{secret}" + source.choice(" \t\n\r\x00,;"),
        lambda: source.choice(["Basic", "Token", "Bearer:", "", "Bearer\t"]) + f" {real}",
        lambda: f"Bearer {real},Bearer {real}",
        lambda: f"Bearer {source.choice(['changeme', 'sk-1234', 'null', 'undefined', '*', ''])}",
        lambda: f"Bearer sk-{key_id}.",
        lambda: f"Bearer sk-.{secret}",
        lambda: f"Bearer sk-{text(32)}.{text(source.randrange(0, 4000))}",
        lambda: real,
        lambda: text(source.randrange(0, 300), "".join(map(chr, range(256)))),
        lambda: f"Bearer sk-{key_id}.{text(43, 'àéîøü¹²³٤')}",
        lambda: "",
        lambda: None,
    ]
    return [source.choice(makers)() for _ in range(number)]


def test_ten_thousand_forgeries_open_nothing(path: Path) -> None:
    real = keys.create(path)
    chain = authenticators_for(KeyRing.load(path))
    assert authenticate(chain, Credentials(authorization=(f"Bearer {real}",)))
    for number, header in enumerate(_forgeries(real, 12_000)):
        headers = () if header is None else (header,)
        shown = Credentials(authorization=headers) if number % 4 else Credentials(api_keys=headers)
        if shown.api_keys == (real,):
            continue
        with pytest.raises(InvalidApiKey):
            authenticate(chain, shown)


def test_a_reload_that_is_asked_for_does_not_wait_for_its_time(path: Path) -> None:
    keys.create(path)
    clock = Clock()
    ring = KeyRing(path, clock=clock)
    key = keys.create(path)
    with pytest.raises(InvalidApiKey):
        ring.authenticate(key)
    ring.reload()
    assert ring.authenticate(key)
    path.unlink()
    os.mkfifo(path, 0o600)
    ring.reload()
    assert ring.authenticate(key), "what cannot be read leaves the keys that are known"


def test_a_key_of_a_model_not_served_does_not_hold_off_a_revocation(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = keys.create(path)
    clock = Clock()
    ring = KeyRing(path, clock=clock, models=frozenset({"demo"}))
    mistyped = keys.create(path, models=("demp",))
    keys.revoke(path, key[3:15])
    clock.now = 2.0
    with pytest.raises(InvalidApiKey, match="revoked"):
        ring.authenticate(key)
    assert ring.authenticate(mistyped).models == {"demp"}
    assert "names a model not served: demp" in caplog.text
    with pytest.raises(StartupError, match="not served"):
        KeyRing(path, models=frozenset({"demo"}))


def test_a_file_that_could_not_be_read_for_a_moment_is_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without descriptors a file is there and cannot be opened; later it is as it was."""
    key = keys.create(path)
    clock = Clock()
    ring = KeyRing(path, clock=clock)
    keys.revoke(path, key[3:15])
    with monkeypatch.context() as patch:
        patch.setattr(keys, "read_keys", _fails_for_want_of_descriptors)
        for clock.now in (2.0, 4.0, 13.0):
            assert ring.authenticate(key)
    assert (ring.is_in_force, caplog.text.count("not reloaded")) == (False, 1)
    clock.now = 24.0
    with pytest.raises(InvalidApiKey, match="revoked"):
        ring.authenticate(key)
    assert ring.is_in_force


def _fails_for_want_of_descriptors(*_: object) -> None:
    raise StartupError(os.strerror(errno.EMFILE))


async def test_a_ring_that_runs_reads_its_file_on_a_thread_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of keys take a second to read: no request and no stream waits for that."""
    monkeypatch.setattr(keys, "RELOAD_INTERVAL_S", 0.0)
    key = keys.create(path)
    ring = KeyRing(path)
    readers = []
    read_keys = keys.read_keys

    def noted(*arguments: object) -> object:
        readers.append(threading.current_thread())
        return read_keys(*arguments)

    monkeypatch.setattr(keys, "read_keys", noted)
    task = asyncio.create_task(ring.run())
    await asyncio.sleep(0)
    keys.revoke(path, key[3:15])
    async with asyncio.timeout(20):
        while not ring.keys()[0].disabled:
            ring.limits_of(key[3:15])
            await asyncio.sleep(0)
    with pytest.raises(InvalidApiKey, match="revoked"):
        ring.authenticate(key)
    assert readers
    assert threading.main_thread() not in readers
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    keys.create(path)
    with pytest.raises(InvalidApiKey, match="revoked"):
        ring.authenticate(key)
    assert len(ring) == 2  # nothing else looks now, so a request does
