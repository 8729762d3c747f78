"""Every hostile folder ends in a clear message: no traceback, no hang, little read, nothing left.

`make test` takes each shape and some more, in this process, and counts the bytes that it reads.
`make prove` takes 500 through the commands, and a sample through processes of their own, whose
processor time and memory are compared with the same command's on a whole folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.__main__ import main
from models.errors import ModelError
from models.store import resolve
from serve.errors import StartupError
from serve.provenance import proof
from tests.models.folders import whole
from tests.models.hostile import configs, generate

COMMANDS = ("show", "fit", "verify", "sign", "serve")
NUM_SAMPLE, NUM_PROVE, NUM_PROCESSES = 60, 500, 48
MAX_READ_BYTES, MAX_LIGHT_BYTES = 300_000_000, 20_000_000
"""Of one folder by one command: a vocabulary of 128 MiB is looked through, and hashed."""
MAX_SECONDS, MAX_RSS_BYTES = 2.0, 500_000_000


def bytes_read() -> int:
    """Bytes that this process has read so far, cached or not (proc(5), io)."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


def serve(path: Path, data_dir: Path) -> int:
    """What a start does with the folder before an engine may have it."""
    try:
        artifact = resolve(str(path), data_dir)
        claim = proof.claim(artifact, data_dir, how="auto", trusted_keys=None)
        proof.prove(claim, data_dir, lambda *_: None)
    except (ModelError, StartupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(command: str, path: Path, data_dir: Path) -> int:
    if command == "serve":
        return serve(path, data_dir)
    words = ["--key", str(data_dir / "k.pem")] if command == "sign" else []
    return main([command, str(path), *words, "--data-dir", str(data_dir)])


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    assert main(["keygen", str(path / "k.pem")]) == 0
    return path


def check(number: int, place: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Take one folder through the commands."""
    shape = generate.shape_of(number)
    most = MAX_READ_BYTES if shape.is_heavy else MAX_LIGHT_BYTES
    with generate.folder(place, number) as path:
        for command in COMMANDS:
            before = bytes_read()
            code = run(command, path, data_dir)
            told = capsys.readouterr()
            case = f"{command} of {shape.name} ({number}): {code}, {told.err[:2000]}"
            assert bytes_read() - before < most, case
            assert code in (0, 1, 2), case
            if shape.is_refused and command in ("show", "serve"):
                assert code == 2, case
            assert code == 0 or told.err.strip(), case
            assert len(told.err) < 20_000, case
            assert all(line.isprintable() for line in told.err.split("\n")), case


@pytest.mark.parametrize("number", generate.light(NUM_SAMPLE))
def test_it_ends_in_a_message(number, tmp_path, data_dir, capsys):
    check(number, tmp_path, data_dir, capsys)


@pytest.mark.parametrize("tens", range(NUM_PROVE // 10))
def test_so_do_all_others(tens, tmp_path, data_dir, capsys, is_proving):
    """Nothing but this many numbers where nobody proves."""
    for number in range(10 * tens, 10 * tens + 10) if is_proving else ():
        check(number, tmp_path, data_dir, capsys)


def measured(words: list[str]) -> tuple[int, float, int, bytes]:
    """Exit code, seconds of the processor, most memory in bytes, and stderr of a process."""
    with subprocess.Popen(
        [sys.executable, "-m", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as child:
        assert child.stderr is not None
        told = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10, told


def test_processes_stay_within_time_and_memory(tmp_path, data_dir, is_proving, capsys):
    if not is_proving:
        return
    plain = whole(tmp_path / "plain")
    (plain / "config.json").write_text(json.dumps(configs.WHOLE))
    tails = {
        "show": lambda path: ["models", "show", path],
        "fit": lambda path: ["models", "fit", path],
        "verify": lambda path: ["models", "verify", path],
        "quantize": lambda path: ["quantize", path, "--scheme", "int8", "--out", f"{path}-q"],
    }
    worst_s, worst_rss = dict.fromkeys(tails, 0.0), dict.fromkeys(tails, 0)
    for name, words in tails.items():
        start_s = measured([*words(str(plain)), "--data-dir", str(data_dir)])[1]
        for number in range(NUM_PROCESSES):
            with generate.folder(tmp_path, number) as path:
                code, seconds, rss, told = measured(
                    [*words(str(path)), "--data-dir", str(data_dir)]
                )
                is_left = Path(f"{path}-q").exists()
            case = f"{name} of {generate.shape_of(number).name} ({number})"
            assert code in (0, 1, 2), case
            assert b"Traceback" not in told, case
            assert not is_left or not generate.shape_of(number).is_refused, case
            worst_s[name] = max(worst_s[name], seconds - start_s)
            worst_rss[name] = max(worst_rss[name], rss)
    with capsys.disabled():
        print(f"\nworst beyond start: {worst_s}, most memory: {worst_rss}")
    assert max(worst_s.values()) <= MAX_SECONDS
    assert max(worst_rss.values()) <= MAX_RSS_BYTES
