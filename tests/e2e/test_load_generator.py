"""The load generator against real servers: what it finds is so, and no error is its own.

`make prove` alone: sweeps take a minute each.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from models.store import DEMO_WEIGHTS
from tests.e2e.replicas import configuration, proxy
from tests.e2e.server import REPOSITORY, Server, environment, free_port, serving
from tests.programs import needs

PACE, SLOTS, TOKENS = 50, 16, 16
CAPACITY_S = PACE * SLOTS / TOKENS
FAKE = ("--model", "demo", "--engine", "fake", "--fake-tokens-per-s", str(PACE))
FAKE += ("--max-num-seqs", str(SLOTS), "--max-num-queued-reqs", "2000")
SHAPE = ("--input", "20", "--output", str(TOKENS))


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks", *words]


def benchmark(*words: str) -> dict[str, Any]:
    """The report of a run that ends well."""
    done = subprocess.run(
        command(*words),
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def errors(report: dict[str, Any]) -> list[float]:
    rows = [row["medians"] for row in report["rows"]]
    return [row[name] for row in rows for name in ("own_error_share", "error_share")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, is_proving: bool) -> Iterator[Server]:
    if not is_proving:
        pytest.skip("sweeps take minutes; run by `make prove`")
    with serving(tmp_path_factory.mktemp("server"), FAKE) as running:
        yield running


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_sweep_finds_the_known_capacity(server: Server, seed: int) -> None:
    words = ("--rate", "4", "--sweep", "--seed", str(seed), "--slo", "ttft=300")
    report = benchmark("serving", "--url", server.url, *SHAPE, *words)
    assert report["settings"]["capacity_answers_s"] == pytest.approx(CAPACITY_S, rel=0.1)
    assert not any(errors(report))


@needs("nginx")
def test_the_planned_replicas_hold_the_targets_behind_nginx(server: Server, tmp_path: Path) -> None:
    """Users for two replicas, and one that may be missing: all three, and two of them."""
    sweep = ("--rate", "16", "--sweep", "--slo", "ttft=300", "--out", str(tmp_path))
    benchmark("serving", "--url", server.url, *SHAPE, *sweep)
    plan = benchmark("plan", str(tmp_path / "serving.json"), "--users", "220", "--think-time", "3")
    assert plan["replicas"] == 3, plan
    load = ("--rate", str(round(plan["demand_s"], 1)), "--requests", "1500", "--slo", "ttft=300")
    with ExitStack() as stack:
        ports = [int(server.url.rpartition(":")[2])]
        for number in range(2):
            folder = tmp_path / f"server{number}"
            folder.mkdir()
            running = stack.enter_context(serving(folder, FAKE))
            ports.append(int(running.url.rpartition(":")[2]))
        for count in (3, 2):
            folder, port = tmp_path / f"nginx{count}", free_port()
            text = configuration(folder, port, ports)
            for left_out in ports[count:]:
                text = text.replace(f"    server 127.0.0.1:{left_out} max_fails=0;\n", "")
            front = stack.enter_context(proxy(folder, ports, text=text, port=port))
            report = benchmark("serving", "--url", front.url, "--model", "demo", *SHAPE, *load)
            assert report["rows"][0]["medians"]["attainment"] >= 0.95
            assert not any(errors(report))


VLLM = """
import argparse
from vllm.benchmarks.serve import add_cli_args, main
parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""
"""`vllm bench serve`; the command itself asks for metadata that the build for CPUs has not."""


def test_vllms_client_sees_the_same(tmp_path: Path, is_proving: bool) -> None:
    """One stream at a time, three rounds of both in turn: medians within 5 %.

    At 20 tokens per second, so that a moment of the machine's is not 5 %. Not compared are means of
    TTFT, which one such moment moves, and of ITL: theirs has a sample for each chunk, also those
    without tokens.
    """
    if not is_proving:
        pytest.skip("takes minutes; run by `make prove`")
    slow = ["20" if word == str(PACE) else word for word in FAKE]
    with serving(tmp_path, slow) as server:
        rounds = [(ours(server), theirs(server, tmp_path / f"{n}")) for n in range(3)]
    pairs = {"requests_s": "request_throughput", "output_tokens_s": "output_throughput"}
    for stem, their_stem in (("ttft", "ttft"), ("tpot", "tpot"), ("itl", "itl"), ("e2e", "e2el")):
        pairs[f"{stem}_ms_p50"] = f"median_{their_stem}_ms"
    pairs |= {"tpot_ms_mean": "mean_tpot_ms", "e2e_ms_mean": "mean_e2el_ms"}
    for own, their in pairs.items():
        found = statistics.median(one[own] for one, _ in rounds)
        wanted = statistics.median(other[their] for _, other in rounds)
        assert found == pytest.approx(wanted, rel=0.05), own


def ours(server: Server) -> dict[str, float]:
    words = ("--concurrency", "1", "--requests", "20", "--input", "64", "--output", "16")
    report = benchmark("serving", "--url", server.url, *words)
    medians: dict[str, float] = report["rows"][0]["medians"]
    return medians


def theirs(server: Server, folder: Path) -> dict[str, float]:
    words = ["--backend", "openai-chat", "--endpoint", "/v1/chat/completions", "--ignore-eos"]
    words += ["--base-url", server.url, "--model", "demo", "--tokenizer", str(DEMO_WEIGHTS)]
    words += ["--dataset-name", "random", "--random-input-len", "64", "--random-output-len", "16"]
    words += ["--num-prompts", "20", "--max-concurrency", "1", "--disable-tqdm", "--save-result"]
    words += ["--result-dir", str(folder), "--result-filename", "theirs.json"]
    words += ["--percentile-metrics", "ttft,tpot,itl,e2el", "--temperature", "0"]
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", VLLM, *words],
        cwd=folder,
        env=environment(HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1"),
        capture_output=True,
        timeout=300,
        check=True,
    )
    figures: dict[str, float] = json.loads((folder / "theirs.json").read_text())
    return figures


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_measured_until_a_signal_is_kept(
    server: Server, tmp_path: Path, number: signal.Signals
) -> None:
    words = ("--rate", "8", "--sweep", "--requests", "24", "--out", str(tmp_path))
    running = subprocess.Popen(
        command("serving", "--url", server.url, *SHAPE, *words),
        cwd=REPOSITORY,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    kept = tmp_path / "serving.json"
    deadline = time.monotonic() + 60
    while not kept.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(running.pid, number)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 128 + number, err
    report = json.loads(out.splitlines()[-1])
    assert report["rows"]
    assert json.loads(kept.read_text())["rows"] == report["rows"]
    assert f"ended by {number.name}: this is what was measured until then" in report["notes"]
    assert "Traceback" not in err
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".html", ".png"}


def test_a_folder_that_cannot_be_written_is_told_before_a_request(server: Server) -> None:
    done = subprocess.run(
        command("serving", "--url", server.url, "--out", "/dev/null/x"),
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "/dev/null/x" in done.stderr
    assert "in flight" not in done.stderr
