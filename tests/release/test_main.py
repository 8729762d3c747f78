"""The command: mistakes before the long work, and what is printed at its end."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from release import __main__ as command
from release.bundle import Released
from release.errors import ReleaseError


@pytest.fixture
def steps(monkeypatch) -> list[str]:
    """The steps of a run that fetches and writes nothing."""
    seen: list[str] = []
    released = Released(
        folder=Path("/media/usb"),
        num_wheels=3,
        num_bytes=2_500_000,
        model=SimpleNamespace(model="demo", digest="sha256:12"),
        key_id=None,
    )

    def plan(options, _meter) -> SimpleNamespace:
        seen.append("plan")
        return SimpleNamespace(run=lambda: seen.append("run") or released)

    monkeypatch.setattr(command, "_plan", plan)
    monkeypatch.setattr(command.lock, "read", lambda _: seen.append("lock"))
    monkeypatch.setattr(command.wheels, "fetch", lambda *_: seen.append("fetch"))
    return seen


def test_mistakes_are_looked_for_before_packages_are_fetched(steps, capsys) -> None:
    assert command.main(["--out", "/media/usb"]) == 0
    assert steps == ["plan", "lock", "fetch", "plan", "run"]
    out = capsys.readouterr().out
    assert "3 wheels and the model demo" in out
    assert "not signed (--sign KEY)" in out


def test_json_is_one_object_of_what_was_made(steps, capsys) -> None:
    assert command.main(["--out", "/media/usb", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["path"] == "/media/usb"
    assert (facts["num_wheels"], facts["size_bytes"]) == (3, 2_500_000)
    assert (facts["digest"], facts["key_id"]) == ("sha256:12", None)


def test_a_bundle_that_cannot_be_made_is_a_message_and_exit_code_2(
    steps, monkeypatch, capsys
) -> None:
    def fail(_: Path) -> None:
        raise ReleaseError("x.lock is no lock")

    monkeypatch.setattr(command.lock, "read", fail)
    assert command.main(["--out", "/media/usb"]) == 2
    assert capsys.readouterr().err == "error: x.lock is no lock\n"
    assert steps == ["plan"]


def test_an_interrupted_run_says_that_it_can_go_on(steps, monkeypatch, capsys) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command.wheels, "fetch", interrupt)
    assert command.main(["--out", "/media/usb"]) == 130
    assert "run it again" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--out"], ["--ou", "x"]])
def test_a_place_must_be_given_in_full(words, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == 2
