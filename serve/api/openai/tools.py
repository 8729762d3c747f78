"""Tools of a chat: which the prompt tells of, and which the answer may or must call.

OpenAI's ``tools`` and ``tool_choice``, and the two fields that came before them, ``functions`` and
``function_call``, which are mapped and whose answers are mapped back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field

from serve.api.openai.bodies import Body
from serve.api.openai.messages import MARKS
from serve.api.openai.tool_choice import (
    Choice,
    FunctionChoice,
    ToolChoice,
    check_known,
    choice_of,
    older_choice_of,
)
from serve.errors import InvalidRequest
from serve.pipeline.events import CallableTool, ToolUse

MAX_TOOLS: Final = 128

_NO_OBJECTS: Final = frozenset({"array", "boolean", "integer", "null", "number", "string"})

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
"""OpenAI's own rule for the tools of a request."""


class Function(Body):
    """``parameters`` is a JSON schema of the arguments. It goes into the prompt."""

    ignored_fields: ClassVar = MARKS
    kept_fields: ClassVar = frozenset({"description", "parameters"})
    name: FunctionName
    description: str | None = None
    parameters: (
        Annotated[dict[str, Any], BeforeValidator(lambda given: {} if given == [] else given)]
        | None
    ) = None
    strict: bool | None = None

    def plain(self) -> dict[str, Any]:
        """The tool as chat templates expect it."""
        function: dict[str, Any] = {"name": self.name}
        if self.description is not None:
            function["description"] = self.description
        if self.parameters is not None:
            function["parameters"] = self.parameters
        return {"type": "function", "function": function}


class Tool(Body):
    """A function that the model may call."""

    ignored_fields: ClassVar = MARKS
    type: Literal["function"] = "function"
    function: Function


Tools = Annotated[list[Tool], Field(max_length=MAX_TOOLS, fail_fast=True)]
"""fail_fast: with a megabyte of bad entries, listing all their errors would take seconds."""
Functions = Annotated[list[Function], Field(max_length=MAX_TOOLS, fail_fast=True)]


class ToolFields(Body):
    """The fields by which a chat brings tools."""

    flags: ClassVar = frozenset({"tools", "tool_choice", "functions", "function_call"})

    tools: Tools | None = None
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool | None = None
    functions: Functions | None = None
    function_call: FunctionChoice = None

    @property
    def has_functions(self) -> bool:
        """Whether the tools come under their older name, so that the answer's call does, too."""
        return bool(self.functions)

    def told_tools(self) -> tuple[dict[str, Any], ...]:
        """The tools that the prompt tells of: all, whichever may be called, so that it stays the
        same. None of them where none may be.
        """
        if self._choice().mode == "none":
            return ()
        return tuple(function.plain() for function in self._functions())

    def tool_use(self) -> ToolUse | None:
        """The calls that the answer may make; None where it may make none.

        Raises:
            InvalidRequest: a choice that is misshapen, or of a tool that is not there; two tools of
                one name; tools under both of their names.
        """
        functions = self._functions()
        choice = self._choice()
        if not functions or choice.mode == "none":
            return None
        names = [function.name for function in functions]
        allowed = set(names if choice.names is None else choice.names)
        is_parallel = self.parallel_tool_calls is not False
        if choice.is_one or self.has_functions:
            is_parallel = bool(self.parallel_tool_calls) and not self.has_functions
        return ToolUse(
            tools=tuple(
                CallableTool(
                    name=function.name,
                    parameters=function.parameters,
                    is_strict=bool(function.strict),
                )
                for function in functions
                if function.name in allowed
            ),
            is_required=choice.mode == "required",
            is_parallel=is_parallel,
        )

    def forbids_calls(self) -> bool:
        """Whether there are tools, and none of them may be called."""
        return bool(self.tools or self.functions) and self._choice().mode == "none"

    def _functions(self) -> list[Function]:
        """The functions of all tools, whatever field they come in. Raises InvalidRequest."""
        if self.tools and self.functions:
            raise InvalidRequest(
                "functions is the older name of tools: send one of them.", param="functions"
            )
        if self.functions:
            _check_unique(self.functions, "functions[{}].name")
            _check_objects(self.functions, "functions[{}].parameters")
            return self.functions
        tools = [tool.function for tool in self.tools or ()]
        _check_unique(tools, "tools[{}].function.name")
        _check_objects(tools, "tools[{}].function.parameters")
        return tools

    def _choice(self) -> Choice:
        """The choice among the tools, all of which are there. Raises InvalidRequest."""
        field, other = ("function_call", "tool_choice")
        if not self.functions:
            field, other = other, field
        if getattr(self, other) not in (None, "none", "auto"):
            tools = "functions" if self.functions else "tools"
            raise InvalidRequest(
                f"{other} does not go with {tools}: send {field} in its place.", param=other
            )
        value = getattr(self, field)
        read = choice_of if field == "tool_choice" else older_choice_of
        choice = Choice(mode="auto") if value is None else read(value, field)
        names = [function.name for function in self._functions()]
        if choice.mode == "required" and not names:
            raise InvalidRequest(
                f"{field} asks for a call, and there are no tools: send tools, or leave it out.",
                param=field,
            )
        check_known(choice, names, field)
        return choice


def _check_unique(functions: Sequence[Function], param: str) -> None:
    """Raises InvalidRequest where two functions have one name."""
    seen: dict[str, int] = {}
    for index, function in enumerate(functions):
        first = seen.setdefault(function.name, index)
        if first != index:
            where = param.format(index)
            raise InvalidRequest(
                f"{where} is {function.name}, as {param.format(first)} is: a call could not tell "
                "them apart. Give each tool a name of its own.",
                param=where,
            )


def _check_objects(functions: Sequence[Function], param: str) -> None:
    """Raises InvalidRequest where the arguments are to be anything but an object."""
    for index, function in enumerate(functions):
        given = (function.parameters or {}).get("type")
        kinds = given if isinstance(given, list) else [given]
        if kinds and all(isinstance(kind, str) and kind in _NO_OBJECTS for kind in kinds):
            where = f"{param.format(index)}.type"
            raise InvalidRequest(
                f'{where} must be "object": arguments have names. Make it a property of one.',
                param=where,
            )
