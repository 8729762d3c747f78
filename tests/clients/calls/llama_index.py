"""llama-index, as its openai-like model."""

from __future__ import annotations

from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel


class City(BaseModel):
    """A city of the world."""

    name: str
    country: str


def _add(left: int, right: int) -> int:
    """The sum of two whole numbers."""
    return left + right


ADD = FunctionTool.from_defaults(_add, name="add")
HELLO = [ChatMessage(role="user", content="Say hello.")]
DESCRIBE = PromptTemplate("Describe the city of {city}.")


def _model(server, **more):
    return OpenAILike(
        **{"model": server.model, "api_base": server.url, "api_key": "unused", "temperature": 0}
        | {"is_chat_model": True, "is_function_calling_model": True, "context_window": 2048}
        | {"max_tokens": 24}
        | more
    )


def complete(server):
    assert _model(server).complete("Say hello.").text


def complete_without_chat(server):
    assert _model(server, is_chat_model=False).complete("1, 2, 3,").text


def stream_complete(server):
    assert "".join(chunk.delta for chunk in _model(server).stream_complete("Say hello."))


async def acomplete(server):
    assert (await _model(server).acomplete("Say hello.")).text


def chat(server):
    assert _model(server).chat(HELLO).message.content


def stream_chat(server):
    assert "".join(chunk.delta for chunk in _model(server).stream_chat(HELLO))


async def achat(server):
    assert (await _model(server).achat(HELLO)).message.content


async def astream_chat(server):
    stream = await _model(server).astream_chat(HELLO)
    assert "".join([chunk.delta async for chunk in stream])


def chat_with_tools(server):
    model = _model(server, max_tokens=96)
    answer = model.chat_with_tools([ADD], user_msg="What is 17 + 25?", tool_required=True)
    (call, *_) = model.get_tool_calls_from_response(answer)
    assert call.tool_name == "add"
    assert {"left", "right"} <= call.tool_kwargs.keys()


def stream_chat_with_tools(server):
    model = _model(server, max_tokens=96)
    stream = model.stream_chat_with_tools([ADD], user_msg="What is 17 + 25?", tool_required=True)
    *_, last = stream
    (call, *_) = model.get_tool_calls_from_response(last)
    assert call.tool_name == "add"


def predict_and_call(server):
    """It asks with `auto`, and fails where the model does not call."""
    told = _model(server, max_tokens=96).predict_and_call(
        [ADD], user_msg="Call the tool add to compute 17 + 25.", error_on_no_tool_call=False
    )
    assert told.response
    return {"called": bool(told.sources)}


def predict_and_call_required(server):
    told = _model(server, max_tokens=96).predict_and_call(
        [ADD], user_msg="What is 17 + 25?", tool_required=True
    )
    assert told.sources[0].tool_name == "add"


async def apredict_and_call(server):
    told = await _model(server, max_tokens=96).apredict_and_call(
        [ADD], user_msg="What is 17 + 25?", tool_required=True
    )
    assert told.sources[0].tool_name == "add"


def structured_predict(server):
    assert isinstance(
        _model(server, max_tokens=160).structured_predict(City, DESCRIBE, city="Paris"), City
    )


async def astructured_predict(server):
    assert isinstance(
        await _model(server, max_tokens=160).astructured_predict(City, DESCRIBE, city="Paris"),
        City,
    )


def structured_predict_by_json_schema(server):
    model = _model(server, max_tokens=160, should_use_structured_outputs=True)
    assert isinstance(model.structured_predict(City, DESCRIBE, city="Paris"), City)


def as_structured_llm(server):
    answer = _model(server, max_tokens=160).as_structured_llm(City).complete("Describe Paris.")
    assert isinstance(answer.raw, City)
