"""`python -m serve wait`: what a server needs, told once, and never given up."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from models.target import ModelTarget
from models.trust import keys as signing_keys
from models.trust.manifest import QUANTISED_FROM, Manifest
from models.trust.signing import sign
from models.trust.verify import Mode, verify
from quantize.plan.choices import Choice
from serve.cli.main import main
from serve.cli.wait import missing_keys, run_wait
from serve.composition.key_stores import opened_key_store
from serve.config import Config
from serve.errors import StartupError
from serve.governance.identity import keys
from serve.governance.identity.key_changes import NewKey, made
from serve.provenance.quantising import QuantRequest, present
from tests.e2e.server import REPOSITORY, environment
from tests.models.folders import whole

INT8 = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "int", "strategy": "group"}}},
}


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTRAMURAL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("INTRAMURAL_MODEL", "qwen2.5-7b")
    monkeypatch.setenv("INTRAMURAL_QUANT", "int8")
    monkeypatch.setenv("INTRAMURAL_API_KEY_FILE", str(tmp_path / "keys.json"))
    return tmp_path


def waited(*words: str, events: list[Callable[[], object]]) -> int:
    """Run it; at each look that finds nothing, the next event happens. Returns the exit code."""
    left = iter(events)
    return run_wait(words, sleep=lambda _: next(left)() and None)


def put(folder: Path, name: str, *, made_from: str | None = None, **config: object) -> Path:
    path = whole(folder / "models" / name, **config)
    tools = {QUANTISED_FROM: made_from} if made_from else {}
    Manifest.build(path, tools=tools).write(path)
    return path


def test_a_model_is_waited_for_until_it_is_there_as_it_is_served(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def quantised() -> None:
        digest = Manifest.read(settings / "models" / "qwen2.5-7b").digest
        put(settings, "qwen2.5-7b--int8", made_from=digest, quantization_config=INT8)

    advice = "Look at the prefetch."
    events = [lambda: None, lambda: None, lambda: put(settings, "qwen2.5-7b"), quantised]
    assert waited("model", "--advice", advice, events=events) == 0
    said = capsys.readouterr().err
    assert said == (
        f"waiting for the model: qwen2.5-7b--int8 is not in the store.\n{advice}\n"
        "the model is there\n"
    )


def test_full_weights_of_the_catalogue_are_waited_for(
    settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for quant in ("none", "auto"):
        monkeypatch.setenv("INTRAMURAL_QUANT", quant)
        (settings / quant).mkdir()
        monkeypatch.setenv("INTRAMURAL_DATA_DIR", str(settings / quant))
        events = [lambda where=settings / quant: put(where, "qwen2.5-7b")]
        assert waited("model", events=events) == 0
        assert "qwen2.5-7b is not in the store" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (("our-tune", "int8"), "there is no model 'our-tune'"),
        (("qwen2.5-7b", "auto:6GB"), "--quant auto:6000000000 is a size"),
        (("qwen2.5-7b", "int7"), "the settings are refused. --quant"),
    ],
)
def test_what_never_comes_is_said_once(
    settings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    named: tuple[str, str],
    said: str,
) -> None:
    monkeypatch.setenv("INTRAMURAL_MODEL", named[0])
    monkeypatch.setenv("INTRAMURAL_QUANT", named[1])

    def ended() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        waited("model", events=[lambda: None, lambda: None, ended])
    told = capsys.readouterr().err
    assert told.count("waiting for the model") == 1
    assert said in told


def test_a_model_that_is_quantised_otherwise_is_told(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(settings, "qwen2.5-7b", quantization_config=INT8)
    request = QuantRequest(
        target=ModelTarget.parse("qwen2.5-7b"), choice=Choice.parse("int4"), data_dir=settings
    )
    with pytest.raises(StartupError, match="quantised to int8 already"):
        present(request)


def test_what_a_start_would_refuse_is_waited_for(
    settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = put(settings, "qwen2.5-7b")
    made = put(
        settings,
        "qwen2.5-7b--int8",
        made_from=Manifest.read(full).digest,
        quantization_config=INT8,
    )
    monkeypatch.setenv("INTRAMURAL_REQUIRE_SIGNATURE", "true")
    monkeypatch.setenv("INTRAMURAL_MIN_QUALITY", "gate")
    public, _ = signing_keys.generate(settings / "signer.pem")

    def signed() -> None:
        (settings / "trusted-keys").mkdir()
        public.rename(settings / "trusted-keys" / "signer.pub")
        sign(verify(made, Mode.FULL), settings / "signer.pem")

    def unmeasured() -> None:
        monkeypatch.delenv("INTRAMURAL_MIN_QUALITY")

    assert waited("model", events=[signed, unmeasured]) == 0
    said = capsys.readouterr().err
    assert "trusted" in said
    assert "--min-quality gate: NOT KNOWN" in said


def test_keys_are_waited_for_until_one_is_enabled(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = settings / "keys.json"

    def revoked() -> None:
        key = keys.create(file)
        keys.revoke(file, key.removeprefix("sk-").partition(".")[0])

    events = [
        lambda: file.touch(0o600),
        lambda: file.write_text("{"),
        file.unlink,
        revoked,
        lambda: keys.create(file),
    ]
    assert waited("keys", events=events) == 0
    said = capsys.readouterr().err
    for reason in ("is not there", "is empty", "it is no JSON", "None of the 1 keys"):
        assert reason in said
    assert said.endswith("the keys are there\n")


def test_a_file_server_that_is_away_is_waited_for(
    settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(*_: object) -> NoReturn:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), "models")

    monkeypatch.setattr("serve.cli.wait.present", away)
    with pytest.raises(StopIteration):
        waited("model", events=[])
    assert "waiting for the model: models: Stale file handle." in capsys.readouterr().err


def test_settings_without_a_key_file_are_told(
    settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("INTRAMURAL_API_KEY_FILE")
    with pytest.raises(StopIteration):
        waited("keys", events=[])
    assert "set INTRAMURAL_API_KEY_FILE" in capsys.readouterr().err


def test_a_word_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wait", "godot"]) == 2
    assert "godot" in capsys.readouterr().err


def test_it_is_light_and_ends_by_a_signal(settings: Path) -> None:
    """Init containers have 512 MiB; and the first process of one has no default for SIGTERM."""
    program = (
        "import sys, json; from serve.cli import wait; wait.run_wait(['model'], "
        "sleep=lambda _: (print(json.dumps(sorted(sys.modules)), flush=True), wait.time.sleep(60)))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env=environment(INTRAMURAL_MODEL="qwen2.5-7b", INTRAMURAL_DATA_DIR=str(settings)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        modules = json.loads(child.stdout.readline())
        assert not {"torch", "transformers", "vllm", "numpy", "fastapi", "uvicorn"} & set(modules)
        child.terminate()
        assert child.wait(30) == 128 + signal.SIGTERM
    finally:
        child.kill()
        child.communicate()


def test_keys_of_the_database_are_waited_for(tmp_path: Path) -> None:
    config = Config(api_keys="database", state_dir=tmp_path)
    assert missing_keys(config) == (
        "None of the 0 keys in the database is enabled: nobody could ask."
    )
    entry, _ = made(NewKey(), None)

    async def add() -> None:
        async with opened_key_store(config, None, None) as store:
            await store.change(lambda keys: (*keys, entry))

    asyncio.run(add())
    assert missing_keys(config) is None
