"""Hostile hubs: whatever one answers, a pull ends in a clear line, and nothing loadable is left."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session

from models.__main__ import main
from models.hub import bounded_client, fetch, pull, transfer
from tests.house.tree import ROOT
from tests.hub.hostile import REPO, SHAPES, HostileHub, Send

MOST_SENT = 64 << 20
"""Bytes that a hub gets to send before it is left; sockets' buffers are among them."""
QUICK = sorted(SHAPES)[:: max(1, len(SHAPES) // 18)]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No pause between tries, of which there are fewer; no token."""
    monkeypatch.setattr(transfer, "MAX_TRIES", 2)
    monkeypatch.setattr(transfer, "MAX_WAIT_S", 0.01)
    monkeypatch.setattr(pull, "LISTING_TRIES", 1)
    monkeypatch.setattr(fetch, "LISTING_S", 1.0)
    monkeypatch.setenv("HF_TOKEN_PATH", "/dev/null")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    yield
    close_session()


def refused(shape: str, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """See a pull end as it should; returns its message."""
    with HostileHub(SHAPES[shape]) as hub:
        words = [REPO, "--from", hub.url, "--data-dir", str(data_dir)]
        code = main(["pull", *words])
    errors = capsys.readouterr().err
    assert code == 2, errors
    assert "Traceback" not in errors
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(line) > 30
    assert hub.num_bytes < MOST_SENT
    left = [path.name for path in (data_dir / "models").glob("[!.]*")]
    assert left == [], "nothing that could be loaded"
    return line


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All shapes for `make prove`, every fourth for `make test`."""
    if "shape" in metafunc.fixturenames:
        proves = metafunc.config.getoption("--hypothesis-profile") == "prove"
        metafunc.parametrize("shape", sorted(SHAPES) if proves else QUICK)


def test_a_pull_from_a_hostile_hub_ends_in_one_line(
    shape: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(shape, tmp_path, capsys)


def test_a_drip_is_ended_by_its_pace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_client, "pace", bounded_client.Pace(least_bytes=100, window_s=0.05))

    def drip(_: object, send: object) -> None:
        send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")  # type: ignore[operator]
        while True:
            send(b" ")  # type: ignore[operator]
            time.sleep(0.01)

    monkeypatch.setitem(SHAPES, "drip", drip)
    assert "bytes in" in refused("drip", tmp_path, capsys)


@pytest.mark.parametrize("flood", ["only continues", "files of continues"])
def test_what_comes_before_an_answer_is_bounded_in_bytes(
    flood: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "bytes before its answer begins; at most 262,144" in refused(flood, tmp_path, capsys)


@pytest.mark.parametrize("piece", [b"X-A: b\r\n", b"\r\nHTTP/1.1 100 Continue\r\n"])
def test_what_comes_before_an_answer_is_bounded_in_time(
    piece: bytes,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_client, "pace", bounded_client.Pace(least_bytes=1, window_s=0.05))

    def drip(_: object, send: Send) -> None:
        send(b"HTTP/1.1 100 Continue\r\n")
        while True:
            send(piece)
            time.sleep(0.01)

    monkeypatch.setitem(SHAPES, "drip", drip)
    assert "and no answer" in refused("drip", tmp_path, capsys)


def test_a_process_of_its_own_is_bounded_in_time_and_memory(
    tmp_path: Path, is_proving: bool
) -> None:
    if not is_proving:
        pytest.skip("measures time and memory; run by `make prove`")
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "models", "pull", "--help"], cwd=ROOT, check=True)
    start_s = time.monotonic() - begun
    for shape in ("gzip bomb", "siblings without end", "json so deep", "chunks without end"):
        with HostileHub(SHAPES[shape]) as hub:
            words = [REPO, "--from", hub.url, "--data-dir", str(tmp_path)]
            begun = time.monotonic()
            ended = subprocess.run(
                [sys.executable, "-m", "models", "pull", *words],
                cwd=ROOT,
                env=os.environ | {"HF_TOKEN_PATH": "/dev/null"},
                capture_output=True,
                text=True,
                check=False,
            )
            took_s = time.monotonic() - begun - start_s
        assert ended.returncode == 2
        assert "Traceback" not in ended.stderr
        assert took_s < 2
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 500_000  # kB
