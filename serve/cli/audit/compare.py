"""`audit compare`: whether a call was asked this, or answered this, at `hashed` and at `full`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, get_args

from models import plain_file
from models.command_line import words_of
from serve.api.dialect import Dialect
from serve.api.http.strict_json import parse_object
from serve.api.openai.chat import ChatCompletions
from serve.api.openai.completions import Completions
from serve.cli.audit.acts import add_record_dir, reading
from serve.cli.audit.logs import add_place, places
from serve.cli.audit.queries import request_id
from serve.errors import RequestError, StartupError
from serve.governance.audit.content.content_keys import read_content_keys
from serve.governance.audit.log.pruning import minimum_index
from serve.governance.audit.reading.comparing import is_same
from serve.governance.audit.reading.contents import ContentGoneError, Contents
from serve.governance.audit.reading.proving import indices_of
from serve.governance.audit.records.canonical import Record, decoded
from serve.governance.audit.records.contents import answer_document, prompt_document
from serve.pipeline.answer import CollectedChoice
from serve.timeline import FinishReason

MAX_BYTES: Final = 64 << 20
DIALECTS: Final[Mapping[str, Dialect]] = {
    dialect.path: dialect for dialect in (ChatCompletions(), Completions())
}
EPILOG = """\
BODY is the request's body, as the client sent it, of /v1/chat/completions or /v1/completions. TEXT
is the text of an answer with one choice and no calls; one line break at its end is passed over.

What is compared is what the engine had: where the prompt was masked, where a preset added stop
strings, or where the answer was masked before it was recorded, the client's own text is another.
That a text is read for it is recorded before, as `audit export --help` says.

examples:
  python -m serve audit compare req-5f1c --request body.json --content-key-file content.key
  python -m serve audit compare chatcmpl-5f1c --answer answer.txt --content-key-file content.key

exit codes: 0 all that was given is the same; 1 something differs; 2 it cannot be compared
"""


def add(commands: Any) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "compare",
        help="compare a prompt or an answer with what was recorded",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("what", metavar="REQUEST", type=request_id, help="a request, or an answer")
    add_place(command, is_positional=False)
    command.add_argument("--request", type=Path, metavar="BODY", help="JSON that was asked")
    command.add_argument("--answer", type=Path, metavar="TEXT", help="text that was answered")
    command.add_argument("--content-key-file", type=Path, metavar="FILE", required=True)
    add_record_dir(command)
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.request is None and arguments.answer is None:
        raise StartupError("Compare what? Give --request BODY, --answer TEXT, or both.")
    for place in places(arguments):
        log = place.opened()
        indices = indices_of(log, arguments.what, minimum_index(log.path))
        if "begin" in indices:
            break
    else:
        raise StartupError(f"There is no begin of a request {arguments.what!r}.")
    entries = {kind: decoded(log.entry(index)) for kind, index in indices.items()}
    given = _documents(arguments, entries["begin"])
    contents = Contents(place.path, read_content_keys(arguments.content_key_file))
    details = {"log": place.name, "id": arguments.what, "compared": sorted(given)}
    with reading(place.path.parent, arguments.record_dir, "audit.compare", details):
        found = {
            name: _is_any(contents, entries, kind, documents)
            for name, (kind, documents) in given.items()
        }
    if arguments.json:
        print(json.dumps({"id": arguments.what, "log": place.name, "same": found}))
    else:
        for name, same in found.items():
            print(f"{name}: {'the same' if same else 'DIFFERS'}")
    return int(not all(found.values()))


def _documents(arguments: argparse.Namespace, begin: Record) -> dict[str, tuple[str, list[bytes]]]:
    """The documents that what was given may be, by what it is, with the entry that is of it."""
    given: dict[str, tuple[str, list[bytes]]] = {}
    if arguments.request is not None:
        route = str((begin.get("call") or {}).get("route"))
        given["request"] = ("begin", [_prompt(arguments.request, route)])
    if arguments.answer is not None:
        given["answer"] = (
            "end",
            list(_answers(_read(arguments.answer).decode("utf-8", "replace"))),
        )
    return given


def _prompt(path: Path, route: str) -> bytes:
    """The document of a request's body. Raises StartupError."""
    if (dialect := DIALECTS.get(route)) is None:
        raise StartupError(f"A request of {route} cannot be compared.")
    try:
        generation = dialect.parse(parse_object(_read(path))).generation()
    except RequestError as error:
        raise StartupError(f"{path} is no request of {route}: {error.message}") from None
    return prompt_document(generation)


def _answers(text: str) -> Iterable[bytes]:
    """The documents of answers with this text, of each way in which one ends."""
    for told in dict.fromkeys((text, text.removesuffix("\n"))):
        for reason in get_args(FinishReason):
            yield answer_document(
                [CollectedChoice(index=0, deltas={"content": [told]}, reason=reason)]
            )


def _is_any(
    contents: Contents, entries: dict[str, Record], kind: str, documents: list[bytes]
) -> bool:
    """Whether one of the documents is the recorded one. Raises StartupError where none is left."""
    if kind not in entries:
        raise StartupError("The call has no end, so there is no answer to compare with.")
    note = entries[kind].get("content")
    try:
        return any(is_same(contents, entries["begin"], note, each) for each in documents)
    except ContentGoneError as error:
        raise StartupError(f"It cannot be compared: {error}.") from None


def _read(path: Path) -> bytes:
    try:
        return plain_file.read(path, MAX_BYTES, may_be_link=True)
    except OSError as error:
        raise StartupError(f"{path}: {words_of(error)}.") from None
