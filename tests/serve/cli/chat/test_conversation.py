"""What a conversation keeps, and the file that it is saved to."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from serve.cli.chat.conversation import Conversation, FileError


def talk() -> Conversation:
    made = Conversation()
    made.set_system("Be brief.")
    made.keep("Why?", "So. ☃")
    return made


def test_a_question_is_kept_with_its_answer_only() -> None:
    made = talk()
    assert [m["content"] for m in made.asked("And?")] == ["Be brief.", "Why?", "So. ☃", "And?"]
    assert made.num_turns == 2


def test_reset_forgets_all_but_the_system_message() -> None:
    made = talk()
    made.reset()
    assert made.messages == [{"role": "system", "content": "Be brief."}]
    made.set_system(None)
    assert (made.messages, made.system) == ([], None)


def test_a_saved_conversation_is_loaded_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    before = os.umask(0)
    try:
        talk().save(file, "demo")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    loaded = Conversation()
    assert loaded.load(file) == "demo"
    assert loaded.messages == talk().messages
    assert "☃" in file.read_text("utf-8"), "people may read it"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_is_there_is_replaced_only_when_told(tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    file.write_text("mine")
    file.chmod(0o644)
    with pytest.raises(FileError, match=r"there already\. .*`/save --force"):
        talk().save(file, "demo")
    assert file.read_text() == "mine"
    talk().save(file, "demo", may_replace=True)
    assert json.loads(file.read_text("utf-8"))["model"] == "demo"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    link = tmp_path / "link"
    link.symlink_to(other)
    with pytest.raises(FileError):
        talk().save(link, "demo")
    assert other.read_text() == "mine"


def test_half_of_a_surrogate_pair_survives(tmp_path: Path) -> None:
    made = Conversation()
    made.keep("\ud83d", "x")
    made.save(tmp_path / "a", "demo")
    loaded = Conversation()
    loaded.load(tmp_path / "a")
    assert loaded.messages == made.messages


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("7", "holds no conversation"),
        ('{"messages": 7}', "holds no conversation"),
        ('[{"role": "tool", "content": "x"}]', "holds no conversation"),
        ('[{"role": "user", "content": [1]}]', "holds no conversation"),
        ('[{"role": ["user"], "content": "x"}]', "holds no conversation"),
    ],
)
def test_a_file_that_holds_none_leaves_what_is_there(
    tmp_path: Path, text: str | None, message: str
) -> None:
    file = tmp_path / "talk.json"
    if text is not None:
        file.write_text(text)
    made = talk()
    with pytest.raises(FileError, match=message):
        made.load(file)
    assert made.messages == talk().messages


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be written: No such file"):
        talk().save(tmp_path / "none" / "a", "demo")
