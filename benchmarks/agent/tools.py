"""The tools of a written agent, as OpenAI's API takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_FILE = {"type": "string", "description": "Path of the file, relative to the project's root"}
_LIMIT = {"type": "integer", "minimum": 1, "maximum": 500, "description": "Most results to give"}


def _tool(
    name: str, description: str, properties: Mapping[str, Any], required: Sequence[str]
) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": dict(properties),
                "required": list(required),
            },
        },
    }


TOOLS: tuple[dict[str, Any], ...] = (
    _tool(
        "read_file",
        "Read a file of the project and return its lines with their numbers.",
        {
            "path": _FILE,
            "first_line": {"type": "integer", "minimum": 1, "description": "Where to begin"},
            "last_line": {"type": "integer", "minimum": 1, "description": "Where to end"},
        },
        ["path"],
    ),
    _tool(
        "write_file",
        "Write a file as a whole. What was there before is replaced; folders are made.",
        {"path": _FILE, "content": {"type": "string", "description": "The new content"}},
        ["path", "content"],
    ),
    _tool(
        "replace_text",
        "Replace one passage of a file. The old text must occur exactly once.",
        {
            "path": _FILE,
            "old": {"type": "string", "description": "The passage as it stands"},
            "new": {"type": "string", "description": "What is put in its place"},
        },
        ["path", "old", "new"],
    ),
    _tool(
        "list_folder",
        "List the files and folders in a folder, with sizes and times of the last change.",
        {
            "path": {"type": "string", "description": "The folder; the root unless given"},
            "is_recursive": {"type": "boolean", "description": "Folders within it, too"},
        },
        [],
    ),
    _tool(
        "search_text",
        "Search all files for a regular expression and return the lines that match.",
        {
            "pattern": {"type": "string", "description": "A regular expression"},
            "files": {"type": "string", "description": "Only in files of this glob pattern"},
            "limit": _LIMIT,
        },
        ["pattern"],
    ),
    _tool(
        "run_tests",
        "Run the project's tests and return what failed, with the end of each traceback.",
        {
            "path": {"type": "string", "description": "A folder or file; all unless given"},
            "name": {"type": "string", "description": "Only tests whose name holds this"},
            "stop_at_first": {"type": "boolean", "description": "End at the first failure"},
        },
        [],
    ),
    _tool(
        "run_command",
        "Run a command in the project's root and return its exit code and output.",
        {
            "command": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The program and its arguments",
            },
            "timeout_s": {"type": "number", "minimum": 1, "maximum": 600},
        },
        ["command"],
    ),
    _tool(
        "show_history",
        "Show the last changes of a file or of the project: who, when, why.",
        {"path": _FILE, "since": {"type": "string", "format": "date"}, "limit": _LIMIT},
        [],
    ),
    _tool(
        "open_ticket",
        "Open a ticket for something that is out of the present task's scope.",
        {
            "title": {"type": "string", "maxLength": 80},
            "body": {"type": "string"},
            "priority": {"type": "string", "enum": ["low", "normal", "high", "urgent"]},
            "labels": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
        },
        ["title", "priority"],
    ),
    _tool(
        "find_definition",
        "Find where a function, class or constant is defined, and where it is used.",
        {
            "name": {"type": "string", "description": "As it is written in the code"},
            "kind": {"type": "string", "enum": ["function", "class", "constant", "any"]},
            "with_uses": {"type": "boolean", "description": "Places where it is used, too"},
        },
        ["name"],
    ),
)
"""Ten functions that work on a project's files."""
