"""Loading a model's dialect: from its chat template and tokenizer, or by the operator's word."""

from __future__ import annotations

import logging
from collections.abc import Collection

from serve.pipeline.model_dialects.bound import BoundDialect, bind
from serve.pipeline.model_dialects.finding import AUTO, ModelTexts, find_dialect
from serve.pipeline.model_dialects.probing import Messages
from serve.pipeline.template import ChatTemplate
from serve.pipeline.tokenizer import ModelTokenizer

log = logging.getLogger(__name__)


def load_dialect(
    tokenizer: ModelTokenizer,
    template: ChatTemplate | None,
    eos_token_ids: Collection[int],
    override: str = AUTO,
) -> BoundDialect:
    """The dialect of a model. Takes tens of milliseconds.

    Args:
        template: None where the model has none.
        eos_token_ids: of the engine.
        override: see ``find_dialect``.

    Raises:
        StartupError: the override names no dialect.
    """
    texts = None if template is None else _texts(tokenizer, template, eos_token_ids)
    dialect = find_dialect(texts, override)
    if template is not None and template.has_tools and dialect.calls is None:
        log.warning(
            "the chat template tells of tools, and nothing shows how the model calls them: calls "
            "stay in the text. --tool-dialect names the way"
        )
    return bind(dialect, tokens=tokenizer.added_ids, special=tokenizer.special_ids)


def _texts(
    tokenizer: ModelTokenizer, template: ChatTemplate, eos_token_ids: Collection[int]
) -> ModelTexts:
    def render(messages: Messages, tools: Messages, opens_answer: bool) -> str:
        return str(template.render(messages, tools, opens_answer=opens_answer))

    return ModelTexts(
        template=template.tools_source,
        render=render,
        tokens=tokenizer.added_ids,
        end_texts=[tokenizer.token_text(i) for i in sorted(eos_token_ids)],
        response_template=tokenizer.config.get("response_template"),
    )
