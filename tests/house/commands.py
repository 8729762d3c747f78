"""The commands `python -m MODULE`, held against the parsers that they build themselves."""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import inspect
import io
import itertools
import re
import shlex
from collections.abc import Iterator, Sequence
from unittest import mock

from serve.errors import StartupError
from tests.house.tree import PROGRAMS, ROOT

OURS = (*PROGRAMS, "tests")
_END = re.compile(r"\s+#|\s{2,}|\s\||[`;>&]|\s[·→]\s")
_GUARD = re.compile(r'^if __name__ == "__main__":$', re.MULTILINE)
_PLACEHOLDER = re.compile(r"[A-Z][A-Z_@/|=…\[\]]*|\W+|X\S*")


class _ParserBuilt(BaseException):
    """Carries a parser out of the command that was about to use it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


@functools.cache
def runnable(module: str) -> str | None:
    """The module that ``python -m`` runs; None where there is none of that name."""
    for name in (module, f"{module}.__main__"):
        path = ROOT / (name.replace(".", "/") + ".py")
        if path.is_file() and _GUARD.search(path.read_text("utf-8")):
            return name
    return None


@functools.cache
def parser_of(module: str, *words: str) -> argparse.ArgumentParser | None:
    """The parser that the command builds when given the words; None if it takes no arguments.

    The command runs until it parses, and no further.
    """
    name = runnable(module)
    if name is None:
        return None
    is_package = name.endswith("__main__")
    if not (is_package or "ArgumentParser(" in (ROOT / f"{name.replace('.', '/')}.py").read_text()):
        return None
    main = importlib.import_module(name).main

    def stop(parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise _ParserBuilt(parser)

    with mock.patch.object(argparse.ArgumentParser, "parse_known_args", stop):
        try:
            main(list(words)) if inspect.signature(main).parameters else main()
        except _ParserBuilt as built:
            return built.parser
    raise LookupError(f"python -m {module} parses nothing")


def commands(text: str) -> Iterator[tuple[int, str]]:
    """The commands of ours that a text names, each with its offset, comments and pipes cut off."""
    for match in re.finditer(r"python3? -m ((?:[^`\n\\]|\\\n|\\.)+)", text):
        command = re.sub(r"\\\n\s*", " ", match[1])
        command = re.sub(r"<\w+>", "X", command)
        command = _END.split(command, maxsplit=1)[0].strip()
        if command.split(".")[0].split(" ")[0] in OURS:
            yield match.start(), _without_prose(command)


def faults(command: str, *, is_whole: bool = False) -> Iterator[str]:
    """What is wrong with a command, given without ``python -m``.

    Args:
        is_whole: nothing is left out of it, so that it has to parse.
    """
    module, *words = _words(command)
    if runnable(module) is None:
        yield f"no module {module} can be run"
        return
    first = words[:1] if module == "serve" else []
    parser = parser_of(module, *first)
    if parser is None:
        return
    if first and parser.prog.endswith(f" {first[0]}"):  # a command of the server's, not a subparser
        words = words[1:]
    complaints = list(_unknown(parser, words))
    if complaints:
        yield f"python -m {module}: {complaints[0]}"
    elif is_whole and not any("..." in word for word in words):
        yield from (f"python -m {module}: {refusal}" for refusal in _refusals(parser, words))


def flags(*modules: str) -> set[str]:
    """The flags of these commands and of all commands below them."""
    parsers = [parser for module in modules if (parser := parser_of(module))]
    declared: set[str] = set()
    while parsers:
        parser = parsers.pop()
        declared.update(parser._option_string_actions)
        parsers += _children(parser).values()
    return declared


def _unknown(parser: argparse.ArgumentParser, words: Sequence[str]) -> Iterator[str]:
    """The first command, and the flags, that the parser does not know."""
    rest = list(words)
    while (children := _children(parser)) and rest and not rest[0].startswith("-"):
        names = re.split(r"[|,]", rest.pop(0))
        if _PLACEHOLDER.fullmatch(names[0]):
            return
        if not children.keys() >= set(names):
            yield f"no command {'|'.join(names)}"
            return
        parser = children[names[0]]
    takes_words = any(not action.option_strings for action in parser._actions)
    if rest and not takes_words and not rest[0].startswith("-"):
        if not _PLACEHOLDER.fullmatch(rest[0]):
            yield f"no command {rest[0]}"
        return
    for word in itertools.takewhile(lambda word: word != "--", rest):
        for flag in word.split("|"):
            name = flag.partition("=")[0]
            if re.fullmatch(r"--[a-z][\w-]*", name) and name not in parser._option_string_actions:
                yield f"no flag {name}"


def _refusals(parser: argparse.ArgumentParser, words: Sequence[str]) -> Iterator[str]:
    """Why the parser does not take the words, with 1 for each variable of the shell."""
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            parser.parse_args([re.sub(r"\$\w+", "1", word) for word in words])
    except StartupError as error:
        yield str(error)
    except SystemExit:
        yield stderr.getvalue().strip().rpartition("\n")[2]


def _children(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _without_prose(command: str) -> str:
    """The command without what the sentence around it goes on with: quotes that it opened stay."""
    bare = command.rstrip(".,:)")
    while bare.endswith(("'", '"')) and bare.count(bare[-1]) % 2:
        bare = bare[:-1].rstrip(".,:)")
    return bare


def _words(command: str) -> list[str]:
    plain = command.replace("[", " ").replace("]", " ")
    try:
        return shlex.split(plain)
    except ValueError:
        return plain.split()
