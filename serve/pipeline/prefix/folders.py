"""A model folder's template, asked whether it is append-only: for `python -m models show`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from serve.errors import RequestError, StartupError
from serve.pipeline.model_dialects.loading import load_dialect
from serve.pipeline.prefix.append_only import append_only
from serve.pipeline.render import Renderer
from serve.pipeline.template import ChatTemplate


def append_only_of(folder: Path) -> dict[str, Any] | None:
    """``AppendOnly`` as JSON, with its line. Takes a second or two, for the tokenizer is read.

    Returns:
        None where the folder has no chat template, or cannot be read: starting it says why.
    """
    try:
        renderer = Renderer.load(folder)
    except StartupError:
        return None
    template, tokenizer = renderer.template, renderer.tokenizer
    if template is None:
        return None
    ended = _ended(template)
    ends = [i for name, i in tokenizer.special_ids.items() if ended.endswith(name)]
    dialect = load_dialect(tokenizer, template, ends).dialect
    found = append_only(template, tokenizer, dialect)
    told = {**found.to_json(), "line": found.line}
    if "enable_thinking" in template.variables:
        without = append_only(template, tokenizer, dialect, {"enable_thinking": False})
        told["without_thinking"] = without.to_json()
        if without.line != found.line:
            told["line"] += f"; with enable_thinking false: {without.line}"
    return told


def _ended(template: ChatTemplate) -> str:
    """A small conversation up to the end of an answer."""
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello"}]
    with suppress(RequestError):
        return str(template.render(messages, (), opens_answer=False)).rstrip()
    return ""
