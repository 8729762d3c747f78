"""The logs that a command is about, and the keys that they are held to."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from serve.cli.audit import logs
from serve.cli.audit.logs import LogPlace, one_place, places
from serve.errors import StartupError
from serve.governance.audit.tlog.key_files import read_verifiers
from tests.serve.cli.audit.site import NAME, Site, calls


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTRAMURAL_AUDIT_DIR", raising=False)


def arguments(*words: str | Path, command: str = "search") -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    logs.add_place(parser)
    logs.add_holds(parser)
    return parser.parse_args([str(word) for word in words], argparse.Namespace(command=command))


def held(site: Site, *words: str | Path) -> LogPlace:
    return one_place(arguments(*words, "--log-key", site.public))


@pytest.fixture
def filled(site: Site) -> Site:
    site.write(calls(1))
    return site


def add_log(site: Site, name: str) -> None:
    (site.audit / name).mkdir()
    (site.audit / name / "checkpoint").write_bytes((site.log / "checkpoint").read_bytes())


def test_a_log_is_found_by_its_folder_or_the_one_above(filled: Site) -> None:
    assert held(filled, filled.log) == held(filled, filled.audit)
    place = held(filled, filled.audit)
    assert (place.name, place.path) == (NAME, filled.log)
    assert place.opened().size == 2


def test_a_log_is_known_by_its_name_from_within(
    filled: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(filled.log)
    assert held(filled, ".") == held(filled, filled.log)
    (filled.log / "deeper").mkdir()
    monkeypatch.chdir(filled.log / "deeper")
    assert held(filled, "..") == held(filled, filled.log)


def test_of_several_one_is_named(filled: Site) -> None:
    add_log(filled, "llm-1")
    with pytest.raises(StartupError, match=r"several logs \(llm-0, llm-1\): name one with --log"):
        held(filled, filled.audit)
    assert held(filled, filled.audit, "--log", "llm-1").name == "llm-1"
    with pytest.raises(StartupError, match="has no log llm-2: it has llm-0, llm-1"):
        held(filled, filled.audit, "--log", "llm-2")


def test_a_folder_without_a_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="is no audit log and has none below it"):
        places(arguments(tmp_path))


@pytest.mark.parametrize(
    ("command", "told"), [("search", "Name their folder, or"), ("prove", "folder by --dir, or")]
)
def test_no_folder_at_all_is_asked_for_as_the_command_takes_it(command: str, told: str) -> None:
    with pytest.raises(StartupError, match=told):
        places(arguments(command=command))


def test_a_key_beside_the_log_is_taken_and_told(filled: Site, capsys) -> None:
    with pytest.raises(StartupError, match="Which key signed llm-0"):
        one_place(arguments(filled.audit))
    (filled.audit / f"{NAME}.key.pub").write_bytes(filled.public.read_bytes())
    found = one_place(arguments(filled.audit))
    assert found.verifiers == tuple(read_verifiers(filled.public, ""))
    assert "held to the key that lies beside it" in capsys.readouterr().err


def test_a_key_that_is_given_is_the_only_one(filled: Site, capsys) -> None:
    (filled.audit / f"{NAME}.key.pub").write_bytes(filled.witness_public.read_bytes())
    assert held(filled, filled.audit).verifiers == tuple(read_verifiers(filled.public, ""))
    assert capsys.readouterr().err == ""


def test_keys_of_one_kind_are_not_taken_for_the_other(site: Site) -> None:
    with pytest.raises(StartupError, match=r"--log-key: .* is a witness's key, not a log's"):
        logs.log_keys([site.public, site.witness_public])
    with pytest.raises(StartupError, match=r"--witness-key: .* is a log's key, not a witness's"):
        logs.witness_keys([site.public])
    assert len(logs.log_keys([site.public, site.public])) == 1
    assert len(logs.witness_keys([site.witness_public])) == 1


def test_holds_are_of_the_flag_s_file_or_none(tmp_path: Path) -> None:
    assert logs.holds_of(arguments()) == ()
    file = tmp_path / "holds.toml"
    file.write_text('[[hold]]\nname = "case"\ntenant = "legal"\n')
    (hold,) = logs.holds_of(arguments("--holds", file))
    assert hold.tenant == "legal"
