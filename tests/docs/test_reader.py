"""A reader's shell: what one command leaves, the next one finds; and a real server in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.docs.blocks import Command
from tests.docs.reader import Reader, is_server


def sh(text: str) -> Command:
    return Command(1, "sh", text)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with closing(Reader(tmp_path, tmp_path)) as reader:
        yield reader


def test_a_command_finds_what_the_one_before_left(reader: Reader, tmp_path: Path) -> None:
    assert reader.run("a.md", sh("mkdir x && cd x; key=/opt/k")).code == 0
    told = reader.run("a.md", sh('echo "$PWD $key $HOME"; false'))
    assert (told.code, told.output) == (1, f"{tmp_path}/x {tmp_path}/opt/k {tmp_path}/home")
    assert reader.run("a.md", sh("read x; [ -z $x ]")).code == 0, "nobody answers its questions"


def test_what_the_pages_name_is_ours(reader: Reader, tmp_path: Path) -> None:
    chat = reader.localised(sh("/opt/i/bin/python -m serve chat hi; ls /etc/ssl ~/opt/x"))
    assert chat == (
        f"{tmp_path}/opt/i/bin/python -m serve chat --url http://127.0.0.1:{reader.port} hi; "
        "ls /etc/ssl ~/opt/x"
    )
    asked = reader.localised(Command(1, "python", "ask('http://127.0.0.1:8000')"))
    assert str(reader.port) in asked
    assert "8000" not in asked


@pytest.mark.parametrize(
    ("text", "serves"),
    [
        ("make serve   # sets up", True),
        ("python -m serve --model demo", True),
        ("/opt/i/bin/python -m serve --model demo --data-dir /srv/x", True),
        ("python -m serve --print-config", False),
        ("python -m serve chat", False),
        ("python -m serve doctor --model demo", False),
        ("make setup", False),
    ],
)
def test_what_is_a_server(text: str, serves: bool) -> None:
    assert is_server(sh(text)) is serves


def test_a_server_that_does_not_start_is_told_with_its_words(reader: Reader) -> None:
    told = reader.run("a.md", sh("python -m serve --no-such-flag"))
    assert told.code == 1
    assert told.output
