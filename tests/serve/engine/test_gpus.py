"""GPUs are asked in a process of their own; where they cannot be, there is none and it is said."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from serve.engine import gpus
from serve.engine.gpus import Gpu

H100 = Gpu(
    name="H100",
    capability=(9, 0),
    total_bytes=80 * 10**9,
    free_bytes=79 * 10**9,
    is_integrated=False,
)


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for torch.cuda with two cards, the second of them integrated."""
    properties = [
        SimpleNamespace(name="H100", major=9, minor=0),
        SimpleNamespace(name="Orin", major=8, minor=7, is_integrated=1),
    ]
    memory = [(79 * 10**9, 80 * 10**9), (1 * 10**9, 30 * 10**9)]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties.__getitem__)
    monkeypatch.setattr(torch.cuda, "mem_get_info", memory.__getitem__)


def answering(monkeypatch: pytest.MonkeyPatch, text: str) -> list[list[str]]:
    """Have the child say this; its command lines."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(stdout=text)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


@pytest.mark.usefixtures("cards")
def test_what_the_child_says_is_understood(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gpus.main()
    said = capsys.readouterr().out
    commands = answering(monkeypatch, f"a library greets\n{said}")
    first, second = gpus.visible()
    assert first == H100
    assert (second.capability, second.is_integrated) == ((8, 7), True)
    assert commands == [[sys.executable, "-m", "serve.engine.gpus"]]


@pytest.mark.parametrize("text", ["", "nonsense", "{}", "[1]", '[{"name": "x"}]', "null"])
def test_an_answer_that_is_none_is_no_gpu(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, text)
    assert gpus.visible() == ()


@pytest.mark.parametrize(
    "fault",
    [
        OSError("no memory"),
        subprocess.TimeoutExpired("x", 120),
        subprocess.CalledProcessError(1, "x"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_child_that_fails_is_no_gpu_and_is_told(
    fault: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def run(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(subprocess, "run", run)
    assert gpus.visible() == ()
    assert "could not be asked" in caplog.text


def test_no_gpu_is_an_empty_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    gpus.main()
    assert json.loads(capsys.readouterr().out) == []
