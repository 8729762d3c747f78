"""Links that break, hubs that are busy, bytes that are wrong: the real client, planned faults."""

from __future__ import annotations

import errno
import hashlib
import io
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import DiskFullError, HashMismatchError, OriginError, TransientOriginError
from models.hub import transfer as module
from models.hub.fetch import HubOrigin
from models.hub.origins import Listing, OriginFile
from models.hub.transfer import Transfer
from models.progress import Progress
from models.refs import ModelRef
from tests.hub.emulator import Hub
from tests.hub.pulls import REPO, Watch

WEIGHTS = bytes(range(256)) * 1200
FILES = {"config.json": b'{"a": 1}', "model.safetensors": WEIGHTS, "empty.txt": b""}


@pytest.fixture
def hub(monkeypatch) -> Iterator[Hub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with Hub() as started:
        started.add(REPO, FILES)
        yield started


@pytest.fixture
def watch() -> Watch:
    return Watch()


def transfer_from(hub: Hub, parts: Path, watch: Watch) -> tuple[Transfer, Listing]:
    parts.mkdir(exist_ok=True)
    origin = HubOrigin(endpoint=hub.url, token=False)
    listing = origin.listing(ModelRef(repo=REPO))
    progress = Progress(watch)
    progress.phase("fetch", sum(file.size for file in listing.files))
    return Transfer(origin=origin, ref=listing.ref, parts=parts, progress=progress), listing


def fetch(hub: Hub, parts: Path, watch: Watch) -> dict[str, bytes]:
    """Fetch all, and give what lies on the disk. The hashes must be those of that."""
    transfer, listing = transfer_from(hub, parts, watch)
    hashes = transfer.fetch(listing.files)
    found = {file.path: transfer.part(file).read_bytes() for file in listing.files}
    assert hashes == {path: hashlib.sha256(data).hexdigest() for path, data in found.items()}
    return found


def ranges(hub: Hub) -> list[str | None]:
    return [seen.range for seen in hub.seen if seen.is_cdn]


def test_plain_files_and_lfs_files_arrive(hub, tmp_path, watch):
    assert fetch(hub, tmp_path / "parts", watch) == FILES
    assert watch.seen[-1].done_bytes == watch.seen[-1].total_bytes


def test_a_link_that_breaks_is_gone_on_with_from_the_byte(hub, tmp_path, watch):
    hub.fault("model.safetensors", cut_after=100_000)
    hub.fault("model.safetensors", cut_after=50_000)
    assert fetch(hub, tmp_path / "parts", watch) == FILES
    assert ranges(hub) == [None, "bytes=100000-", "bytes=150000-"]
    assert watch.seen[-1].done_bytes == watch.seen[-1].total_bytes


def test_a_new_process_goes_on_where_the_last_one_stopped(hub, tmp_path, watch):
    transfer, listing = transfer_from(hub, tmp_path / "parts", watch)
    (weights,) = (file for file in listing.files if file.sha256)
    transfer.part(weights).write_bytes(WEIGHTS[:123_456])
    assert transfer.num_bytes_here(listing.files) == 123_456
    assert fetch(hub, tmp_path / "parts", watch) == FILES
    assert ranges(hub) == ["bytes=123456-"]
    hub.seen.clear()
    assert fetch(hub, tmp_path / "parts", watch) == FILES
    assert ranges(hub) == []


def test_a_hub_that_does_no_ranges_starts_the_file_anew(hub, tmp_path, watch):
    hub.fault("model.safetensors", cut_after=1000)
    hub.fault("model.safetensors", ignore_range=True)
    assert fetch(hub, tmp_path / "parts", watch) == FILES
    assert watch.seen[-1].done_bytes == watch.seen[-1].total_bytes


def test_a_link_that_stalls_counts_as_broken(hub, tmp_path, watch, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    hub.fault("model.safetensors", bytes_per_s=100)
    assert fetch(hub, tmp_path / "parts", watch) == FILES
    assert any("ReadTimeout" in text for text in watch.notices)
    assert ranges(hub)[1] is not None  # what had arrived was kept


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_hub_is_waited_for(hub, tmp_path, watch, status):
    hub.fault("config.json", status=status, retry_after="0", times=2)
    hub.fault("model.safetensors", status=status, retry_after="0")
    assert fetch(hub, tmp_path / "parts", watch) == FILES
    assert sum(f"answers {status}" in text for text in watch.notices) == 3


def test_a_hub_that_stays_busy_is_given_up(hub, tmp_path, watch):
    hub.fault("config.json", status=503, retry_after="0", times=99)
    with pytest.raises(TransientOriginError, match="answers 503"):
        fetch(hub, tmp_path / "parts", watch)
    assert len(hub.paths("config.json")) == module.MAX_TRIES


def test_a_wait_of_an_hour_is_for_the_user_to_decide(hub, tmp_path, watch):
    hub.fault("config.json", status=429, retry_after="3600")
    with pytest.raises(TransientOriginError, match="answers 429"):
        fetch(hub, tmp_path / "parts", watch)


def test_waits_grow_and_are_bounded(hub, tmp_path, watch):
    waits: list[float] = []

    class Event(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return False

    transfer, _ = transfer_from(hub, tmp_path / "parts", watch)
    transfer._stop = Event()
    waits.clear()
    for num_tries in range(1, 12):
        transfer._pause("f", TransientOriginError("busy"), num_tries)
    assert 0.3 < waits[0] < 0.7
    assert waits[0] < waits[2] < waits[4]
    assert max(waits) <= module.MAX_WAIT_S * 1.3


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_wrong_bytes_are_thrown_away_and_fetched_anew(hub, tmp_path, watch, name):
    hub.fault(name, flip_at=3)
    assert fetch(hub, tmp_path / "parts", watch) == FILES
    assert any("damaged" in text for text in watch.notices)
    assert watch.seen[-1].done_bytes == watch.seen[-1].total_bytes


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_bytes_that_stay_wrong_are_refused_and_gone(hub, tmp_path, watch, name):
    hub.fault(name, flip_at=3, times=2)
    with pytest.raises(HashMismatchError, match=name):
        fetch(hub, tmp_path / "parts", watch)
    assert fetch(hub, tmp_path / "parts", watch) == FILES


def test_a_damaged_half_is_found_at_the_end(hub, tmp_path, watch):
    transfer, listing = transfer_from(hub, tmp_path / "parts", watch)
    (weights,) = (file for file in listing.files if file.sha256)
    transfer.part(weights).write_bytes(b"x" * 1000)
    assert fetch(hub, tmp_path / "parts", watch) == FILES


def test_a_half_that_is_too_long_is_dropped(hub, tmp_path, watch):
    transfer, listing = transfer_from(hub, tmp_path / "parts", watch)
    (weights,) = (file for file in listing.files if file.sha256)
    transfer.part(weights).write_bytes(WEIGHTS + b"x")
    assert fetch(hub, tmp_path / "parts", watch) == FILES


def test_the_first_error_stops_the_others(hub, tmp_path, watch):
    hub.fault("model.safetensors", bytes_per_s=20_000)  # a quarter of a minute, if it went on
    hub.fault("config.json", status=404)
    with pytest.raises(OriginError, match="404"):
        fetch(hub, tmp_path / "parts", watch)
    sizes = [path.stat().st_size for path in (tmp_path / "parts").iterdir()]
    assert max(sizes) < len(WEIGHTS)


class Endless:
    """An origin that sends more than it said. No real one is needed: it is about our side."""

    def listing(self, ref: ModelRef | None) -> Listing:
        return Listing(files=())

    def open(
        self, ref: ModelRef | None, file: OriginFile, offset: int
    ) -> AbstractContextManager[tuple[int, Iterator[bytes]]]:
        return nullcontext((offset, iter(lambda: b"x" * 100, None)))

    def parties(self, file: OriginFile) -> tuple[str, str]:
        return "here", "there"


def endless(parts: Path, watch: Watch) -> Transfer:
    parts.mkdir(exist_ok=True)
    return Transfer(origin=Endless(), ref=None, parts=parts, progress=Progress(watch))


def test_no_more_is_written_than_the_file_has(tmp_path, watch):
    file = OriginFile(path="a.txt", size=1050)
    transfer = endless(tmp_path / "parts", watch)
    transfer.fetch([file])
    assert transfer.part(file).read_bytes() == b"x" * 1050


def test_a_full_disk_says_so(tmp_path, watch, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_write_all", full)
    with pytest.raises(DiskFullError, match=r"a\.txt.*goes on with what is there"):
        endless(tmp_path / "parts", watch).fetch([OriginFile(path="a.txt", size=10)])


def test_short_writes_are_continued():
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += bytes(data[:7])
            return min(len(data), 7)

    pipe = Pipe()
    module._write_all(pipe, WEIGHTS[:1000])
    assert pipe.data == WEIGHTS[:1000]


@pytest.fixture(scope="module")
def shared_hub() -> Iterator[Hub]:
    with Hub() as started:
        started.add(REPO, FILES)
        yield started


FAULTS = st.one_of(
    st.builds(dict, cut_after=st.integers(0, len(WEIGHTS))),
    st.builds(dict, cut_after=st.integers(0, len(WEIGHTS)), ignore_range=st.just(value=True)),
    st.builds(dict, status=st.sampled_from([429, 503]), retry_after=st.just("0")),
)


@given(st.integers(0, len(WEIGHTS)), st.lists(FAULTS, max_size=6))
@settings(max_examples=20)
def test_whatever_breaks_the_bytes_are_those_of_the_hub(shared_hub, num_here, faults):
    """From any half, through any faults that pass, by ranges that meet without gap or overlap."""
    offline = mock.patch("huggingface_hub.constants.HF_HUB_OFFLINE", new=False)
    at_once = mock.patch.object(Transfer, "_pause", autospec=True)
    with tempfile.TemporaryDirectory() as folder, offline, at_once:
        parts = Path(folder) / "parts"
        transfer, listing = transfer_from(shared_hub, parts, Watch())
        (weights,) = (file for file in listing.files if file.sha256)
        transfer.part(weights).write_bytes(WEIGHTS[:num_here])
        shared_hub.faults.clear()
        for fault in faults:
            shared_hub.fault("model.safetensors", **fault)
        assert fetch(shared_hub, parts, Watch()) == FILES


@pytest.mark.parametrize(
    ("sha1", "is_taken"),
    [
        (hashlib.sha1(b"blob 5\0xxxxx").hexdigest(), True),
        (hashlib.sha1(b"xxxxx").hexdigest(), True),
        (hashlib.sha1(b"other").hexdigest(), False),
    ],
)
def test_a_sha1_may_be_gits_or_the_contents(tmp_path, watch, sha1, is_taken):
    file = OriginFile(path="a.txt", size=5, sha1=sha1)
    transfer = endless(tmp_path / "parts", watch)
    if is_taken:
        transfer.fetch([file])
        return
    with pytest.raises(HashMismatchError, match=f"here says .* {sha1}, and there sent"):
        transfer.fetch([file])
