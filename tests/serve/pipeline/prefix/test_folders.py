"""A folder's template, asked for `python -m models show`."""

from __future__ import annotations

import json
from pathlib import Path

from serve.pipeline.prefix.folders import append_only_of
from tests.serve.pipeline.forms.answers import tokenizer_of
from tests.serve.pipeline.prefix.asking import form_of


def folder_of(path: Path, name: str) -> Path:
    form = form_of(name)
    (path / "tokenizer.json").write_text(tokenizer_of(form)._tokenizer.to_str(), "utf-8")
    config = {**form.special_tokens, "eos_token": form.ends[0]}
    (path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    (path / "chat_template.jinja").write_text(form.source, "utf-8")
    return path


def test_a_folder_is_asked_as_it_would_be_served(tmp_path: Path) -> None:
    told = append_only_of(folder_of(tmp_path, "qwq"))
    assert told == {
        "is_whole": False,
        "reasons": dict.fromkeys(("chat", "tools"), "the reasoning of earlier turns is left out"),
        "times": [],
        "line": "chat and tools no: the reasoning of earlier turns is left out",
    }


def test_a_folder_without_a_template_or_a_tokenizer_has_nothing_to_say(tmp_path: Path) -> None:
    assert append_only_of(tmp_path) is None
    folder_of(tmp_path, "qwen2_5")
    (tmp_path / "chat_template.jinja").unlink()
    assert append_only_of(tmp_path) is None


def test_a_template_that_can_do_without_thinking_is_asked_twice(tmp_path: Path) -> None:
    told = append_only_of(folder_of(tmp_path, "qwen3"))
    assert told is not None
    assert set(told["without_thinking"]["reasons"]) == {"chat", "tools"}
    assert "; with enable_thinking false: " in told["line"]
