"""Checkers of Python source, as pure functions: text in, breaches out ("line: what")."""

from __future__ import annotations

import ast
from collections.abc import Iterator

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

FORBIDDEN_MODULES = frozenset({"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"})
FORBIDDEN_CALLS = frozenset({"eval", "exec", "__import__"})
FORBIDDEN_ATTRIBUTES = frozenset(
    {"torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "joblib.load", "os.system"}
)
BOUNDED_READERS = frozenset({"plain_file", "host_memory", "network"})
"""Modules with functions of these names; the last is of sizes."""
BROAD = frozenset({"Exception", "BaseException"})


RIDDLES = frozenset(
    {
        *("Of", "What", "How", "Where", "Who", "Whose", "Why", "When"),
        *("So", "For", "At", "From", "As", "By", "In", "That"),
    }
)
"""Words that begin a clause, not a statement of what a thing is or does."""


def docstrings(source: str) -> Iterator[str]:
    """Docstrings that do not begin with a noun or a verb."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(_parse(source)):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            first = text.split()[0].strip(",.:")
            if first in RIDDLES:
                yield f"{getattr(node, 'lineno', 1)}: a docstring begins with {first!r}"


def lengths(source: str) -> Iterator[str]:
    """Files and functions over budget."""
    num_lines = len(source.splitlines())
    if num_lines > MAX_FILE_LINES and "400 lines" not in (ast.get_docstring(_parse(source)) or ""):
        yield f"1: the file has {num_lines} lines: at most {MAX_FILE_LINES}, or say why there"
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > MAX_FUNCTION_LINES:
                yield f"{node.lineno}: {node.name}() has {size} lines: at most {MAX_FUNCTION_LINES}"


def unsafe_code(source: str) -> Iterator[str]:
    """Anything that could run what a file or a client says."""
    for node in ast.walk(_parse(source)):
        match node:
            case ast.Import(names=names):
                found = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names):
                found = [module, *(f"{module}.{alias.name}" for alias in names)]
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                yield f"{node.lineno}: {name}()"
                continue
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                found = [f"{owner}.{name}"]
            case _:
                continue
        for name in found:
            if name.partition(".")[0] in FORBIDDEN_MODULES or name in FORBIDDEN_ATTRIBUTES:
                yield f"{getattr(node, 'lineno', 1)}: {name}"


def broad_excepts(source: str) -> Iterator[str]:
    """``except:``, ``except Exception`` and ``except BaseException``, alone or in a tuple."""
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            for kind in caught:
                if kind is None or (isinstance(kind, ast.Name) and kind.id in BROAD):
                    yield f"{node.lineno}: except {kind.id if isinstance(kind, ast.Name) else ''}"


def readers(source: str) -> Iterator[str]:
    """Files that are read whole by other means than models/plain_file.py, which waits for none."""
    for node in ast.walk(_parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="open")):
                yield f"{node.lineno}: open()"
            case ast.Call(func=ast.Attribute(attr="read_text" | "read_bytes" as name, value=value)):
                if not (isinstance(value, ast.Name) and value.id in BOUNDED_READERS):
                    yield f"{node.lineno}: .{name}()"


def asserts(source: str) -> Iterator[str]:
    """``assert``, which ``python -O`` removes."""
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.Assert):
            yield f"{node.lineno}: assert"


def _parse(source: str) -> ast.Module:
    return ast.parse(source)
