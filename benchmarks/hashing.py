"""The speed at which a model's files are hashed, beside `openssl dgst -sha256` on the same files.

    python -m benchmarks.hashing [--gb 4] [--files 4] [--rounds 5] [--cold] [--folder DIR]

Both hash every file, one file per core at a time (`xargs -P` for openssl), largest first. Rounds
alternate, ours and openssl's in turn, so that a machine whose speed drifts harms both alike. The
ratio is the median over the rounds: 1.0 is openssl's speed, more is faster. Digests are compared.

Warm, the files are in the page cache, and the cores are measured; --cold drops them from it before
each round, and the disk is. The last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from models.trust.hashing import sha256_files

Way: TypeAlias = Callable[[Sequence[Path]], list[str]]

BLOCK_BYTES = 64 << 20
SHARES = (1.0, 0.8, 0.6, 0.4)
"""Sizes of the files relative to each other, in turn: shards of a model are not all alike."""


def make_files(folder: Path, total_bytes: int, num_files: int) -> list[Path]:
    """Files of random bytes, largest first, so many bytes together."""
    block = os.urandom(BLOCK_BYTES)
    shares = sorted((SHARES[number % len(SHARES)] for number in range(num_files)), reverse=True)
    paths = []
    for number, share in enumerate(shares):
        path = folder / f"model-{number:05}.safetensors"
        left = int(total_bytes * share / sum(shares))
        with path.open("wb") as file:
            file.write(number.to_bytes(8, "little"))
            while left > 0:
                left -= file.write(memoryview(block)[: min(left, BLOCK_BYTES)])
            file.flush()
            os.fsync(file.fileno())
        paths.append(path)
    return paths


def drop_from_cache(paths: Sequence[Path]) -> None:
    """Let the kernel forget what it has of these files; works for files that are on the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def with_openssl(paths: Sequence[Path]) -> list[str]:
    """The digests, by as many openssl processes at a time as there are cores."""
    openssl, xargs = shutil.which("openssl"), shutil.which("xargs")
    if openssl is None or xargs is None:
        raise SystemExit("error: the commands openssl and xargs are needed to compare with.")
    cores = len(os.sched_getaffinity(0))
    result = subprocess.run(  # noqa: S603 - the files are our own
        [xargs, "-0", "-P", str(cores), "-n", "1", openssl, "dgst", "-sha256", "-r"],
        input="\0".join(map(str, paths)),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (line.partition(" *") for line in result.stdout.splitlines())
    digests = {path: digest for digest, _, path in lines}
    return [digests[str(path)] for path in paths]


def timed(work: Way, paths: Sequence[Path]) -> tuple[float, float, list[str]]:
    """Seconds on the clock, seconds of the cores (of child processes too), and the digests."""
    before, began = os.times(), time.perf_counter()
    digests = work(paths)
    took, after = time.perf_counter() - began, os.times()
    return took, sum(after[:4]) - sum(before[:4]), digests


def compare(paths: Sequence[Path], rounds: int, *, is_cold: bool) -> dict[str, float]:
    """Median speeds, the median of the rounds' ratios, and what the cores spent per GB.

    The last is little moved by other work on the machine.
    """
    num_bytes = sum(path.stat().st_size for path in paths)
    ways: dict[str, Way] = {"ours": sha256_files, "openssl": with_openssl}
    seconds_by_way: dict[str, list[float]] = {name: [] for name in ways}
    cpu_s_by_way: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):  # the first warms up
        answers = []
        for name, work in ways.items():
            if is_cold:
                drop_from_cache(paths)
            seconds, cpu_s, digests = timed(work, paths)
            answers.append(digests)
            if number:
                seconds_by_way[name].append(seconds)
                cpu_s_by_way[name].append(cpu_s)
                speed = num_bytes / seconds / 1e9
                print(f"{number} {name:8} {seconds:6.2f} s {speed:5.2f} GB/s {cpu_s:6.2f} cpu s")
        if answers[0] != answers[1]:
            raise SystemExit("error: the digests differ")
    pairs = zip(seconds_by_way["ours"], seconds_by_way["openssl"], strict=True)
    facts = {"ratio": statistics.median(theirs / ours for ours, theirs in pairs)}
    for name in ways:
        facts[f"{name}_gb_s"] = num_bytes / statistics.median(seconds_by_way[name]) / 1e9
        facts[f"{name}_cpu_s_per_gb"] = statistics.median(cpu_s_by_way[name]) / num_bytes * 1e9
    return {key: round(value, 3) for key, value in facts.items()}


def main(argv: Sequence[str]) -> int:
    """Make the files, compare, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hashing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--gb", type=float, default=4.0, help="of files, in 10^9 bytes (default 4)")
    parser.add_argument("--files", type=int, default=4, help="their number (default 4)")
    parser.add_argument("--rounds", type=int, default=5, help="of both, after one to warm up")
    parser.add_argument("--cold", action="store_true", help="read from the disk each time")
    parser.add_argument("--folder", type=Path, help="where the files are made for the while")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="hashing-", dir=options.folder) as folder:
        paths = make_files(Path(folder), int(options.gb * 1e9), options.files)
        facts = compare(paths, options.rounds, is_cold=options.cold)
    settings = {
        "gb": options.gb,
        "files": options.files,
        "rounds": options.rounds,
        "cold": options.cold,
        "cores": len(os.sched_getaffinity(0)),
    }
    print(json.dumps({**facts, **settings}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
