"""Loading a dialect from a tokenizer and a template."""

from __future__ import annotations

import pytest

from serve.errors import StartupError
from serve.pipeline.model_dialects.loading import load_dialect
from serve.pipeline.template import ChatTemplate
from serve.pipeline.tokenizer import ModelTokenizer
from tests.serve.pipeline.model_dialects.test_deriving import CALLS, HEAD, TAIL

PLAIN = f"{HEAD}{{{{ m.content }}}}{TAIL}"


def test_a_template_with_calls(byte_level: ModelTokenizer) -> None:
    template = ChatTemplate(f"{HEAD}{{{{ m.content }}}}{CALLS}{TAIL}", {})
    bound = load_dialect(byte_level, template, [0])
    assert bound.dialect.calls is not None
    assert bound.tokens == byte_level.added_ids


def test_without_a_template(byte_level: ModelTokenizer) -> None:
    assert load_dialect(byte_level, None, []).is_plain


def test_marks_are_for_special_tokens_alone(byte_level: ModelTokenizer) -> None:
    thought = "{% if m.reasoning_content %}<|im_start|>{{ m.reasoning_content }}<|im_end|>"
    template = ChatTemplate(f"{HEAD}{thought}{{% endif %}}{{{{ m.content }}}}{TAIL}", {})
    bound = load_dialect(byte_level, template, [])
    assert {*bound.marks} == {"<|im_start|>", "<|im_end|>"}


def test_a_template_whose_calls_nothing_shows_is_warned_of(
    byte_level: ModelTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    source = f"{{% if tools %}}You have tools.{{% endif %}}{PLAIN}"
    template = ChatTemplate(source, {})
    assert template.has_tools
    load_dialect(byte_level, template, [])
    assert "--tool-dialect" in caplog.text
    caplog.clear()
    load_dialect(byte_level, template, [], "hermes")
    assert caplog.text == ""


def test_an_unknown_name_is_refused(byte_level: ModelTokenizer) -> None:
    with pytest.raises(StartupError):
        load_dialect(byte_level, None, [], "nothing")
