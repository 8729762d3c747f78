"""`python -m serve keys`: a key is shown once, and to its owner's stdout alone."""

from __future__ import annotations

import errno
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from serve.cli.main import main
from serve.governance.identity.keys import list_keys

KEY = re.compile(r"sk-[\w-]{12}\.[\w-]{43}")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTRAMURAL_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("INTRAMURAL_API_KEY_FILE", raising=False)
    return tmp_path / "keys.json"


def test_stdout_is_the_key_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create", "--name", "ward-3"]) == 0
    printed = capsys.readouterr()
    assert KEY.fullmatch(printed.out.strip()), "so that KEY=$(...) works"
    assert "only time" in printed.err
    assert not KEY.search(printed.err)
    assert [key.name for key in list_keys(file)] == ["ward-3"]


def test_a_script_gets_the_key_and_its_file(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.json"
    assert main(["keys", "create", "--json", "--file", str(other)]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert KEY.fullmatch(document["key"])
    assert document["file"] == str(other)
    assert printed.err == ""
    assert not file.exists()


def test_the_setting_for_the_file_goes_before_the_state_directory(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTRAMURAL_API_KEY_FILE", str(tmp_path / "set.json"))
    assert main(["keys", "create"]) == 0
    assert not file.exists()
    assert len(list_keys(tmp_path / "set.json")) == 1


@pytest.mark.parametrize(("days", "state"), [("2", "enabled"), ("0", "expired")])
def test_a_key_expires_after_whole_days(file: Path, days: str, state: str) -> None:
    before = datetime.now(UTC)
    assert main(["keys", "create", "--expires-in-days", days]) == 0
    (key,) = list_keys(file)
    assert key.expires_at is not None
    wanted = before + timedelta(days=int(days))
    assert timedelta() <= key.expires_at - wanted < timedelta(minutes=5)
    assert key.state == state


def test_a_listing_shows_states_and_no_secret(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["keys", "create", "--name", "gone"])
    main(["keys", "create", "--name", "here", "--expires-in-days", "9"])
    ids = [key.key_id for key in list_keys(file)]
    capsys.readouterr()
    assert main(["keys", "revoke", ids[0]]) == 0
    assert f"revoked {ids[0]}" in capsys.readouterr().out
    assert main(["keys", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["state"]) for row in rows] == [
        ("gone", "revoked"),
        ("here", "enabled"),
    ]
    assert main(["keys", "list"]) == 0
    table = capsys.readouterr().out
    assert all(word in table for word in (*ids, "never", "revoked", "enabled"))
    assert not KEY.search(table)
    assert not any(
        key.secrets[0].hash[:8] in table or key.secrets[0].salt[:8] in table
        for key in list_keys(file)
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["keys"], "create|list|show|rotate|revoke|limits|preset"),
        (["keys", "make"], "invalid choice: 'make'"),
        (["keys", "list"], "is not there"),
        (["keys", "revoke"], "required: id"),
        (["keys", "create", "--expires-in-days", "soon"], "'soon' is no whole number"),
        (["keys", "create", "--name", "x" * 65], "at most 64 characters"),
    ],
)
@pytest.mark.usefixtures("file")
def test_what_cannot_be_done_says_why(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_id_changes_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys", "create"])
    before = file.read_bytes()
    assert main(["keys", "revoke", "nobody"]) == 2
    assert "No key has the id 'nobody'" in capsys.readouterr().err
    assert file.read_bytes() == before


class Full:
    """A standard output that takes no more."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        pass


def test_a_key_that_cannot_be_shown_is_not_kept(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout", Full())
    assert main(["keys", "create"]) == 2
    assert "taken back" in capsys.readouterr().err
    assert list_keys(file) == ()


def test_no_key_is_made_where_nobody_could_read_it(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("models.command_line.stdout_is_closed", lambda: True)
    assert main(["keys", "create"]) == 2
    assert "none was made" in capsys.readouterr().err
    assert not file.exists()


def test_names_are_shown_as_they_are_and_never_steer_a_terminal(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["keys", "create", "--name", "[/x][red]a"]) == 0
    assert main(["keys", "create", "--name", "other"]) == 0
    file.write_text(file.read_text().replace("other", "b\\u001b[2J"))
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    shown = capsys.readouterr().out
    assert "[/x][red]a" in shown
    assert r"b\x1b[2J" in shown


def test_a_path_with_a_line_feed_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "list", "--file", "a\nb"]) == 2
    assert capsys.readouterr().err == (
        "error: argument --file: the path 'a\\nb' has a control character in it: rename it, or "
        "reach it by a link\n"
    )


def test_the_command_that_is_told_can_be_pasted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "create", "--file", str(tmp_path / "my keys [old].json")]) == 0
    assert f"--api-key-file '{tmp_path}/my keys [old].json'" in capsys.readouterr().err


# Tenants, scopes, limits, new secrets; in a file and in the database


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """What a command prints as JSON."""
    capsys.readouterr()
    assert main(["keys", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


PLACES = ([], ["--database"])


@pytest.mark.parametrize("place", PLACES, ids=["file", "database"])
@pytest.mark.usefixtures("file")
def test_the_life_of_a_key(capsys: pytest.CaptureFixture[str], place: list[str]) -> None:
    wish = ["--tenant", "ward-3", "--owner", "anna", "--scope", "infer", "metrics"]
    wish += ["--model", "demo", "--limit", "tokens_per_day=1000", "money_per_day=2.50"]
    made = told(capsys, "create", *wish, *place)
    assert KEY.fullmatch(made["key"])
    assert ("file" in made) is not bool(place)
    key_id = made["key"][3:15]
    (listed,) = told(capsys, "list", *place)
    assert told(capsys, "show", key_id, *place) == listed
    assert (listed["tenant"], listed["owner"], listed["models"]) == ("ward-3", "anna", ["demo"])
    assert listed["scopes"] == ["infer", "metrics"]
    assert listed["limits"] == {"tokens_per_day": 1000, "money_per_day": "2.50"}
    changed = told(capsys, "limits", key_id, "tokens_per_day=none", "concurrent_requests=2", *place)
    assert changed["limits"] == {"concurrent_requests": 2, "money_per_day": "2.50"}
    assert told(capsys, "limits", key_id, *place) == changed
    turned = told(capsys, "rotate", key_id, "--overlap-hours", "2", *place)
    assert turned["key"].startswith(f"sk-{key_id}.")
    assert turned["key"] != made["key"]
    assert told(capsys, "show", key_id, *place)["old_secret_until"] is not None
    assert told(capsys, "revoke", key_id, *place)["state"] == "revoked"
    assert main(["keys", "rotate", key_id, *place]) == 2
    assert "is revoked, for good" in capsys.readouterr().err
    assert main(["keys", "show", key_id, *place]) == 0
    assert "ward-3" in capsys.readouterr().out


def test_a_pepper_is_asked_for_once_it_was_given(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pepper = tmp_path / "pepper"
    pepper.write_text("p" * 64)
    pepper.chmod(0o600)
    assert main(["keys", "create"]) == 0
    assert main(["keys", "create", "--key-pepper-file", str(pepper)]) == 0
    assert len({key.pepper for key in list_keys(file)} | {None}) == 2, "the older one has gained it"
    capsys.readouterr()
    assert main(["keys", "create"]) == 2
    assert "--key-pepper-file" in capsys.readouterr().err
    assert len(list_keys(file)) == 2


@pytest.mark.parametrize("place", PLACES, ids=["file", "database"])
@pytest.mark.usefixtures("file")
def test_a_key_is_revoked_without_the_pepper(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: list[str]
) -> None:
    pepper = tmp_path / "pepper"
    pepper.write_text("p" * 64)
    pepper.chmod(0o600)
    given = ["--key-pepper-file", str(pepper), *place]
    key_ids = [told(capsys, "create", *given)["key"][3:15] for _ in range(2)]
    pepper.unlink()
    assert main(["keys", "rotate", key_ids[0], *place]) == 2
    assert "--key-pepper-file" in capsys.readouterr().err
    assert told(capsys, "revoke", key_ids[0], *place)["state"] == "revoked"
    assert told(capsys, "revoke", key_ids[1], *given)["state"] == "revoked"


def test_a_new_secret_that_cannot_be_shown_is_not_kept(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "create"]) == 0
    (before,) = list_keys(file)
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", Full())
        assert main(["keys", "rotate", before.key_id]) == 2
    assert list_keys(file) == (before,)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["create", "--scope", "root"], "invalid choice: 'root'"),
        (["create", "--limit", "tokens_per_week=5"], "no limit is called 'tokens_per_week'"),
        (["create", "--limit", "tokens_per_day"], "NAME=VALUE is needed"),
        (["create", "--tenant", "a b"], "A tenant is 1 to 64"),
        (["list", "--database", "--file", "x"], "two places"),
        (["list", "--database-url-file", "x"], "goes with --database"),
        (["list", "--database", "--database-url-file", "missing"], "missing"),
        (["rotate", "x", "--overlap-hours", "-1"], "within 0 to 2160 hours"),
        (["rotate", "x", "--overlap-hours", "nan"], "within 0 to 2160 hours"),
        (["create", "--expires-in-days", "99999999999"], "whole number from 0 to 36500"),
        (["show", "nobody", "--database"], "No key has the id 'nobody'"),
        (["list", "--key-pepper-file", "missing"], "Pepper file missing is not there"),
    ],
)
@pytest.mark.usefixtures("file")
def test_what_there_is_not_says_why(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["keys", "create"]) == 0
    assert main(["keys", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_whole_key_is_taken_for_its_id_and_never_repeated(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who has to end a key that leaked pastes it as it was found."""
    main(["keys", "create"])
    key = capsys.readouterr().out.strip()
    assert main(["keys", "revoke", f" {key}"]) == 0
    assert list_keys(file)[0].disabled
    assert main(["keys", "show", f"sk-unknown_key1.{key[16:]}"]) == 2
    told = "".join(capsys.readouterr())
    assert "unknown_key1" in told
    assert key[16:] not in told


def test_a_limit_that_is_given_twice_is_refused(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ["tokens_per_day=1", "tokens_per_day=2"]
    assert main(["keys", "create", "--limit", *limits]) == 2
    assert "The limit tokens_per_day is given twice" in capsys.readouterr().err
    assert not file.exists()


def test_a_key_has_a_preset_until_it_is_taken_away(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "create", "--preset", "qa"]) == 0
    (key,) = list_keys(file)
    assert (key.preset, key.principal().preset) == ("qa", "qa")
    assert main(["keys", "preset", key.key_id, "creative"]) == 0
    assert list_keys(file)[0].preset == "creative"
    capsys.readouterr()
    assert main(["keys", "preset", key.key_id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["preset"] == "creative"
    assert main(["keys", "preset", key.key_id, "none"]) == 0
    assert list_keys(file)[0].preset == ""
    assert main(["keys", "preset", key.key_id, "a b"]) == 2
    assert "a preset's name" in capsys.readouterr().err.lower()
