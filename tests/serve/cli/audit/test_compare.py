"""`audit compare`: the prompt and the answer that a call had, and no other."""

from __future__ import annotations

import concurrent.futures
import json
import secrets
from pathlib import Path

import pytest

from serve.cli.audit import run_audit
from serve.composition.audit_log import open_server_log
from serve.config import Config
from serve.errors import StartupError
from serve.observe.metrics import Metrics
from tests.serve.api.house import CHAT, chat, house

ASKED = chat(max_tokens=5)


async def site(folder: Path, level: str) -> tuple[str, list[str]]:
    """An audit folder with one call; its answer's text, and the arguments that name it."""
    key = folder / "content.key"
    key.write_text(secrets.token_hex(32))
    key.chmod(0o600)
    config = Config(
        audit_dir=folder / "audit",
        audit_name="a",
        audit_level=level,
        audit_content_key_file=None if level == "metadata" else key,
    )
    async with (
        open_server_log(config, folder / "audit", Metrics()) as log,
        house(audit=log.audit).client() as client,
    ):
        answer = (await client.post(CHAT, json=ASKED)).json()
    (folder / "body.json").write_text(json.dumps(ASKED | {"user": "asks for nothing"}))
    text: str = answer["choices"][0]["message"]["content"]
    (folder / "answer.txt").write_text(f"{text}\n")
    place = ["--dir", str(folder / "audit"), "--content-key-file", str(key)]
    return text, ["compare", answer["id"], *place]


@pytest.mark.parametrize("level", ["hashed", "full"])
async def test_what_was_asked_and_answered_is_the_same_and_all_else_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    text, arguments = await site(tmp_path, level)
    body, answer = tmp_path / "body.json", tmp_path / "answer.txt"
    given = ["--request", str(body), "--answer", str(answer), "--json"]
    assert compare([*arguments, *given]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["same"] == {"request": True, "answer": True}
    assert found["log"] == "a"
    answer.write_text(text[:-1])
    body.write_text(json.dumps(ASKED | {"stop": ["x"]}))
    assert compare([*arguments, *given]) == 1
    assert json.loads(capsys.readouterr().out)["same"] == {"request": False, "answer": False}
    answer.write_text(text)
    assert compare([*arguments, "--answer", str(answer)]) == 0
    assert capsys.readouterr().out == "answer: the same\n"


@pytest.mark.parametrize("level", ["hashed", "full"])
async def test_of_an_erased_subject_nothing_can_be_compared(tmp_path: Path, level: str) -> None:
    _, arguments = await site(tmp_path, level)
    keys = list((tmp_path / "audit" / "a" / "content" / "keys").glob("*.json"))
    assert len(keys) == 1
    keys[0].unlink()
    with pytest.raises(StartupError, match="cannot be compared"):
        compare([*arguments, "--answer", str(tmp_path / "answer.txt")])


async def test_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    _, arguments = await site(tmp_path, "hashed")
    with pytest.raises(StartupError, match="Compare what"):
        compare(arguments)
    (tmp_path / "body.json").write_text('{"model": "demo"}')
    with pytest.raises(StartupError, match="is no request of /v1/chat/completions"):
        compare([*arguments, "--request", str(tmp_path / "body.json")])
    arguments[1] = "req-unknown"
    with pytest.raises(StartupError, match="no begin of a request"):
        compare([*arguments, "--answer", str(tmp_path / "answer.txt")])


async def test_without_contents_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    _, arguments = await site(tmp_path, "metadata")
    with pytest.raises(StartupError, match="contents were not recorded"):
        compare([*arguments, "--answer", str(tmp_path / "answer.txt")])


def compare(arguments: list[str]) -> int:
    """The exit code. A command has no event loop of its own, and these tests have one."""

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(run_audit, arguments).result()
