"""Which template and which special tokens a folder has, in every place where folders keep them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serve.errors import InvalidRequest, StartupError
from serve.pipeline.template import load_template
from serve.pipeline.template_meter import Bounds
from serve.pipeline.template_source import special_tokens_of, templates_of

TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
USER = [{"role": "user", "content": "x"}]
LOOP = "{% for t in tools %}{{ t.function.name }}{% endfor %}TOOLS"


def entry(name: Any, template: Any) -> dict[str, Any]:
    return {"name": name, "template": template}


def put(folder: Path, **files: Any) -> Path:
    """Files by name, with ``__`` for a dot; objects as JSON."""
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.parent.mkdir(exist_ok=True, parents=True)
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize(
    ("templates", "plain", "with_tools"),
    [
        ("one {{ tools | length if tools }}", "one ", "one 1"),
        ([entry("default", "plain"), entry("tool_use", LOOP)], "plain", "fTOOLS"),
        ([entry("tool_use", LOOP), entry("default", "plain")], "plain", "fTOOLS"),
        ({"default": "plain", "tool_use": LOOP}, "plain", "fTOOLS"),
        ([entry("default", "d{{ tools and 1 }}"), entry("rag", "r")], "dNone", "d1"),
        ([entry("default", "a"), entry("default", "b{{ tools and 1 }}")], "bNone", "b1"),
        ([entry("chat", "lone {{ tools and 1 }}")], "lone None", "lone 1"),
        ({"Default": "lone {{ tools and 1 }}"}, "lone None", "lone 1"),
        ([entry("", "lone {{ tools and 1 }}")], "lone None", "lone 1"),
        ([entry("default", "d{{ tools and 1 }}"), entry("tool_use", "")], "dNone", "d1"),
    ],
)
def test_default_is_taken_unless_there_are_tools(
    tmp_path: Path, templates: Any, plain: str, with_tools: str
) -> None:
    template = load_template(tmp_path, {"chat_template": templates})
    assert template is not None
    assert template.render(USER, []) == plain
    assert template.has_tools
    assert template.render(USER, [TOOL]) == with_tools


@pytest.mark.parametrize(
    ("templates", "has_tools"),
    [
        ([entry("default", "{{ tools }}"), entry("tool_use", "nothing")], False),
        ([entry("default", "nothing"), entry("tool_use", "{{ tools }}")], True),
        ([entry("default", "nothing"), entry("rag", "{{ tools }}")], False),
        ("{% if not tools is defined %}{% set tools = none %}{% endif %}{{ tools }}", True),
        ("{% macro f(tools) %}{{ tools }}{% endmacro %}{{ f(tools) }}", True),
        ("{% macro f(tools) %}{{ tools }}{% endmacro %}{{ f(1) }}", False),
    ],
)
def test_has_tools_follows_the_template_that_tools_would_get(
    tmp_path: Path, templates: Any, has_tools: bool
) -> None:
    template = load_template(tmp_path, {"chat_template": templates})
    assert template is not None
    assert template.has_tools is has_tools


def test_without_a_default_chats_are_told_and_tools_are_served(tmp_path: Path) -> None:
    rows = [entry("tool_use", LOOP), entry("rag", "r")]
    template = load_template(tmp_path, {"chat_template": rows})
    assert template is not None
    assert template.render(USER, [TOOL]) == "fTOOLS"
    with pytest.raises(InvalidRequest, match="no chat template named 'default'"):
        template.render(USER, [])


@pytest.mark.parametrize(
    "value",
    [
        *(5, True, ["text"], [None], [[]], [{}], [entry("default", 1)], [entry(None, "x")]),
        *([{"name": "default"}], [{"template": "x"}], {"default": 1}, {"default": None}),
        [entry("default", "x"), "y"],
    ],
)
def test_entries_that_are_no_templates_end_the_start_with_the_way_out(
    tmp_path: Path, value: Any
) -> None:
    with pytest.raises(StartupError, match=r"chat_template is neither .* Correct it"):
        load_template(tmp_path, {"chat_template": value})


@pytest.mark.parametrize("value", [None, "", " \n", [], {}, [entry("default", "")]])
def test_nothing_is_no_template(tmp_path: Path, value: Any) -> None:
    assert load_template(tmp_path, {"chat_template": value}) is None


def test_files_stand_before_the_configuration(tmp_path: Path) -> None:
    config = {"chat_template": [entry("default", "config"), entry("tool_use", "config tools")]}
    put(tmp_path, chat_template__json={"chat_template": "older"})
    assert templates_of(tmp_path, {}) == {"default": "older"}
    assert templates_of(tmp_path, config)["default"] == "config"
    put(tmp_path, chat_template__jinja="file")
    assert templates_of(tmp_path, config) == {"default": "file"}
    put(tmp_path / "additional_chat_templates", tool_use__jinja="tools", notes__txt="no")
    assert templates_of(tmp_path, config) == {"default": "file", "tool_use": "tools"}


def test_a_byte_order_mark_is_no_part_of_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"\xef\xbb\xbfplain")
    template = load_template(tmp_path, {})
    assert template is not None
    assert template.render(USER, []) == "plain"


def test_a_file_that_is_no_text_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(StartupError, match="not UTF-8"):
        load_template(tmp_path, {})


@pytest.mark.parametrize(
    ("config", "further", "tokens"),
    [
        ({}, {"bos_token": "<s>"}, {"bos_token": "<s>"}),
        ({}, {"bos_token": {"content": "<s>"}}, {"bos_token": "<s>"}),
        ({"bos_token": "<a>"}, {"bos_token": "<b>"}, {"bos_token": "<b>"}),
        (
            {"bos_token": "<a>", "added_tokens_decoder": {}},
            {"bos_token": "<b>", "eos_token": "</b>"},
            {"bos_token": "<a>", "eos_token": "</b>"},
        ),
        ({"bos_token": None, "added_tokens_decoder": {}}, {"bos_token": "<b>"}, {}),
        ({"bos_token": None}, {"bos_token": "<b>"}, {"bos_token": "<b>"}),
        ({"add_bos_token": True, "eos_token": "</s>"}, {}, {"eos_token": "</s>"}),
        ({"extra_special_tokens": {"image_token": "<i>"}}, {}, {"image_token": "<i>"}),
        ({"eos_token": "</s>"}, {"additional_special_tokens": ["<x>"]}, {"eos_token": "</s>"}),
        ({"mask_token": {"__type": "AddedToken", "content": "[M]"}}, {}, {"mask_token": "[M]"}),
    ],
)
def test_special_tokens_come_from_both_files(
    tmp_path: Path, config: dict[str, Any], further: dict[str, Any], tokens: dict[str, str]
) -> None:
    put(tmp_path, special_tokens_map__json=further)
    assert special_tokens_of(tmp_path, config) == tokens


def test_a_template_may_name_a_token_of_the_map(tmp_path: Path) -> None:
    put(tmp_path, special_tokens_map__json={"bos_token": "<s>"})
    template = load_template(tmp_path, {"chat_template": "{{ bos_token }}x"})
    assert template is not None
    assert template.render([], []) == "<s>x"


@pytest.mark.parametrize("content", ["[]", "{", "5", '{"bos_token": {}}', '{"bos_token": 5}'])
def test_a_damaged_map_ends_the_start(tmp_path: Path, content: str) -> None:
    put(tmp_path, special_tokens_map__json=content)
    with pytest.raises(StartupError, match=r"special_tokens_map\.json is not|bos_token"):
        load_template(tmp_path, {"chat_template": "x"})


def test_a_template_that_no_message_can_pass_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_proving: bool
) -> None:
    if not is_proving:
        few = Bounds(steps=20_000, value_chars=1 << 20, made_chars=1 << 23, seconds=60.0)
        monkeypatch.setattr(Bounds, "of", lambda _num_chars: few)
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(StartupError, match=r"steps.* for any message"):
        load_template(tmp_path, {"chat_template": endless})
    only_long = "{% if messages | length > 1 %}" + endless + "{% endif %}"
    assert load_template(tmp_path, {"chat_template": only_long}) is not None


def test_a_template_that_refuses_every_sample_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = "{{ raise_exception('a special field is missing') if not messages[0].special }}"
    assert load_template(tmp_path, {"chat_template": source}) is not None
    assert "a special field is missing" in caplog.text
