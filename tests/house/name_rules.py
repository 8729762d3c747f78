"""Names in texts: which of those that a passage uses are names of nothing.

Each checker is a function from a passage and the repository's names to faults.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from docs.generate import request_errors
from serve.config import Config
from serve.observe.families import FAMILIES, PREFIX
from serve.setting_names import ENV_PREFIX, env_of
from tests.house import commands
from tests.house.passages import Passage
from tests.house.repository_names import Names
from tests.house.tree import PROGRAMS

_PACKAGES = "|".join((*PROGRAMS, "tests"))
_FOLDERS = f"{_PACKAGES}|k8s|requirements"
_PATH = re.compile(
    r"(?<![\w./~$<>{}*-])"
    rf"((?:[\w.*-]+/)*[\w*-]+\.(?:py|md|sh|conf|in|svg)|(?:{_FOLDERS})/(?:[\w.*-]+/)*[\w.*-]*[\w*/])"
    r"(?![\w-]|/\w)"
)
_MODULE = re.compile(rf"(?<![\w./-])((?:{_PACKAGES})(?:\.[A-Za-z_]\w*)+)(?![\w/-])")
_DATA_FILES = frozenset({"lock", "toml", "json", "jsonl", "yaml", "py", "md", "txt", "svg", "png"})
_VARIABLE = re.compile(rf"(?<!\w){ENV_PREFIX}[A-Z_]*[A-Z]\b")
_METRIC = re.compile(rf"(?<![\w$./-]){PREFIX}[a-z_]*[a-z]\b")
_ERROR_CODE = re.compile(r'"code": *"([a-z_]+)"')
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9](?!\w)")
_MAKE = re.compile(
    r"(?:^|[;&(]\s*)make ((?:(?:[a-z-]+|[A-Z]+=(?:\"[^\"]*\"|\S*))(?: |$))+)", re.MULTILINE
)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?:\(\))?")


@dataclass(frozen=True)
class Fault:
    """A name of nothing, and where it stands."""

    file: str
    line: int
    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.name}: {self.why}"


def paths(passage: Passage, names: Names) -> Iterator[Fault]:
    """Files and folders that are not there; in pages also those that could be one of several."""
    for match in _PATH.finditer(passage.text):
        path = match[1].rstrip("./")
        if any(part.isupper() and "." not in part for part in path.split("/")):
            continue  # a placeholder
        places = names.meant(path, passage.file)
        if not places:
            yield _at(passage, match.start(), path, "no such file or folder")
        elif passage.is_page and len(places) > 1 and path.endswith(".py") and "*" not in path:
            yield _at(passage, match.start(), path, f"may be {' or '.join(places)}")


def modules(passage: Passage, names: Names) -> Iterator[Fault]:
    """Dotted names whose module is not there, or whose last parts occur in no program."""
    for match in _MODULE.finditer(passage.text):
        parts = match[1].split(".")
        if parts[-1] in _DATA_FILES:
            continue
        depth = len(parts)
        while depth > 1 and "/".join(parts[:depth]) not in names.places:
            depth -= 1
        if depth == 1 or not names.words.issuperset(parts[depth:]):
            yield _at(passage, match.start(), match[1], "no such module, or not in it")


def python_commands(passage: Passage, names: Names) -> Iterator[Fault]:
    """`python -m` with a module, a command or a flag that is not there."""
    is_shell = passage.language == "sh"
    for offset, command in commands.commands(passage.text):
        for why in commands.faults(command, is_whole=is_shell):
            yield _at(passage, offset, command.split()[0], why)


def make_targets(passage: Passage, names: Names) -> Iterator[Fault]:
    """`make` with a target or a variable that the Makefile does not have."""
    is_shell = passage.language == "sh"
    for line, text in [(passage.line, passage.text)] if is_shell else passage.spans:
        for match in _MAKE.finditer(text):
            for word in re.sub(r'"[^"]*"', "", match[1]).split():
                name = word.partition("=")[0]
                if name not in names.targets:
                    number = line + text.count("\n", 0, match.start())
                    yield Fault(passage.file, number, name, "make has no such target or variable")


def variables(passage: Passage, names: Names) -> Iterator[Fault]:
    """Variables of the environment that are no setting's."""
    settings = {env_of(name) for name in Config.model_fields}
    for match in _VARIABLE.finditer(passage.text):
        if match[0] not in settings:
            yield _at(passage, match.start(), match[0], "no setting has this variable")


def error_codes(passage: Passage, names: Names) -> Iterator[Fault]:
    """Codes of errors, as clients get them, that no error has."""
    known = {error.code for error in request_errors()}
    for match in _ERROR_CODE.finditer(passage.text):
        if match[1] not in known:
            yield _at(passage, match.start(), match[1], "no error has this code")


def metrics(passage: Passage, names: Names) -> Iterator[Fault]:
    """Metrics that /metrics does not have."""
    known = {family.name for family in FAMILIES}
    for match in _METRIC.finditer(passage.text):
        if not {match[0], re.sub(r"_(bucket|sum|count)$", "", match[0])} & known:
            yield _at(passage, match.start(), match[0], "no such metric")


def flags(passage: Passage, names: Names) -> Iterator[Fault]:
    """Flags that no command takes. Those of a program of others stand behind its name."""
    if passage.language is not None:
        return  # a block has whole commands
    for line, span in passage.spans:
        if span.startswith("--"):
            for flag in _FLAG.findall(span):
                if flag not in names.flags:
                    yield Fault(passage.file, line, flag, "no command takes it")
    prose = re.sub(r"`[^`]*`", lambda span: "\n" * span[0].count("\n"), passage.text)
    for match in _FLAG.finditer(prose):
        if match[0] not in names.flags:
            line = passage.line + prose.count("\n", 0, match.start())
            yield Fault(passage.file, line, match[0], "no command takes it")


def identifiers(passage: Passage, names: Names) -> Iterator[Fault]:
    """Identifiers between backticks that occur in no program: settings, codes, fields, classes."""
    for line, span in () if passage.is_message else passage.spans:
        if not _IDENTIFIER.fullmatch(span) or span.startswith((ENV_PREFIX, PREFIX)):
            continue
        for part in span.removesuffix("()").split("."):
            is_name = "_" in part.strip("_") or re.search(r"[a-z][A-Z]", part)
            places = (names.words, names.first_words, names.by_last_part)
            if is_name and not any(part in place for place in places):
                yield Fault(passage.file, line, part, "occurs in no program")


CHECKERS = (
    *(paths, modules, python_commands, make_targets),
    *(variables, error_codes, metrics, flags, identifiers),
)


def faults(passage: Passage, names: Names) -> list[Fault]:
    """Everything that is wrong with a passage. A message of one word is a value and no text."""
    if passage.is_message and " " not in passage.text:
        return []
    return [fault for checker in CHECKERS for fault in checker(passage, names)]


def _at(passage: Passage, offset: int, name: str, why: str) -> Fault:
    return Fault(passage.file, passage.line + passage.text.count("\n", 0, offset), name, why)
