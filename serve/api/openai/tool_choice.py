"""``tool_choice`` in its shapes, and ``function_call``, which came before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import WithJsonSchema

from models.rules.names import quoted
from serve.api.openai.constraints import check_names, object_of, text_of
from serve.api.openai.refusals import MAX_ECHO_CHARS, shown
from serve.errors import InvalidRequest
from serve.suggestion import near

MAX_NAMES_SHOWN: Final = 12

_NAMED: Final = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
}
_NAMED_TOOL: Final = {
    "type": "object",
    "properties": {"type": {"const": "function"}, "function": _NAMED},
    "required": ["type", "function"],
}
_ALLOWED: Final = {
    "type": "object",
    "properties": {
        "mode": {"enum": ["auto", "required"]},
        "tools": {"type": "array", "minItems": 1, "items": _NAMED_TOOL},
    },
    "required": ["mode", "tools"],
}
_ALLOWED_TOOLS: Final = {
    "type": "object",
    "properties": {"type": {"const": "allowed_tools"}, "allowed_tools": _ALLOWED},
    "required": ["type", "allowed_tools"],
}
ToolChoice = Annotated[
    Any,  # checked by _choice_of(): three shapes, each with its own fields
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["none", "auto", "required", "any", None]},
                _NAMED_TOOL,
                _ALLOWED_TOOLS,
            ]
        }
    ),
]
FunctionChoice = Annotated[
    Any, WithJsonSchema({"anyOf": [{"enum": ["none", "auto", None]}, _NAMED]})
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The way in which a client lets a model choose among its tools.

    Attributes:
        names: of the tools that may be called; None is all.
        is_one: a tool is named, so that it is called once.
    """

    mode: Literal["none", "auto", "required"]
    names: tuple[str, ...] | None = None
    is_one: bool = False


def choice_of(value: Any, param: str) -> Choice:
    """The meaning of ``tool_choice``; ``any`` is Mistral's ``required``. Raises InvalidRequest."""
    if value in ("none", "auto"):
        return Choice(mode=value)
    if value in ("required", "any"):
        return Choice(mode="required")
    if isinstance(value, dict) and value.get("type") == "function":
        return Choice(mode="required", names=(_name_of(value, param),), is_one=True)
    if isinstance(value, dict) and value.get("type") == "allowed_tools":
        return _allowed(value, param)
    kind = value.get("type") if isinstance(value, dict) else None
    given = shown(value)
    if isinstance(kind, str):
        given = f"an object of type {quoted(kind[:MAX_ECHO_CHARS])}"
    elif isinstance(value, str):
        given = quoted(value[:MAX_ECHO_CHARS])
    raise InvalidRequest(
        f'{param} must be "none", "auto", "required", or an object of type "function" or '
        f'"allowed_tools", not {given}.',
        param=param,
    )


def check_known(choice: Choice, names: Sequence[str], param: str) -> None:
    """Raises InvalidRequest where a tool is chosen that is none of these."""
    for name in choice.names or ():
        if name not in names:
            raise _unknown(name, names, param)


def _allowed(value: dict[str, Any], param: str) -> Choice:
    """OpenAI's ``allowed_tools``, also without the object within, as its newer route has it."""
    where = param
    if "allowed_tools" in value:
        check_names(value, param, ("type", "allowed_tools"))
        where = f"{param}.allowed_tools"
        value = object_of(value["allowed_tools"], where)
    check_names(value, where, ("type", "mode", "tools"))
    mode, tools = value.get("mode", "auto"), value.get("tools")
    if mode not in ("auto", "required"):
        raise InvalidRequest(
            f'{where}.mode must be "auto" or "required", not {shown(mode)}.', param=f"{where}.mode"
        )
    if not isinstance(tools, list) or not tools:
        raise InvalidRequest(
            f"{where}.tools must be an array with at least 1 tool.", param=f"{where}.tools"
        )
    names = [_name_of(tool, f"{where}.tools[{index}]") for index, tool in enumerate(tools)]
    return Choice(mode=mode, names=tuple(names))


def older_choice_of(value: Any, param: str) -> Choice:
    """The meaning of ``function_call``. Raises InvalidRequest."""
    if value in ("none", "auto"):
        return Choice(mode=value)
    if isinstance(value, dict):
        check_names(value, param, ("name",))
        return Choice(mode="required", names=(_own_name(value, param),), is_one=True)
    raise InvalidRequest(
        f'{param} must be "none", "auto" or an object with a name, not {shown(value)}.', param=param
    )


def _name_of(value: Any, param: str) -> str:
    """The name in ``{"type": "function", "function": {"name": ...}}``, or in its flat form."""
    tool = object_of(value, param)
    if tool.get("type", "function") != "function":
        raise InvalidRequest(
            f'{param}.type must be "function": there are no other tools.', param=f"{param}.type"
        )
    if "function" not in tool:
        check_names(tool, param, ("type", "name"))
        return _own_name(tool, param)
    check_names(tool, param, ("type", "function"))
    inner = f"{param}.function"
    function = object_of(tool["function"], inner)
    check_names(function, inner, ("name",))
    return _own_name(function, inner)


def _own_name(value: dict[str, Any], param: str) -> str:
    where = f"{param}.name"
    if value.get("name") is None:
        raise InvalidRequest(f"{where} is required.", param=where)
    return text_of(value["name"], where)


def _unknown(name: str, names: Sequence[str], param: str) -> InvalidRequest:
    shown_name = name[:MAX_ECHO_CHARS]
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    there_are = ", ".join(names[:MAX_NAMES_SHOWN]) or "none"
    return InvalidRequest(
        f"{param} names the tool {quoted(shown_name)}, and there is none of that name. There are: "
        f"{there_are}{more}.{near(shown_name, names)}",
        param=param,
    )
