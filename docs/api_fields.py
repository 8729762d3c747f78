"""The page of every field that clients send, by route: honoured, ignored and why, refused and why.

It is made of the types of the bodies and of the tables beside them, so it says what is done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from serve.api.app import DIALECTS
from serve.api.openai.bodies import Body
from serve.api.openai.fields import FIELDS, PROMPT_FIELDS, FieldTable, Unsupported
from serve.api.openai.meanings import MEANINGS
from serve.api.openai.moderations import ModerationRequest
from serve.api.operations.feedback_request import NO_FIELDS, FeedbackRequest
from serve.api.operations.tokenize_request import DetokenizeRequest, TokenizeRequest

_OTHERS: Final[Mapping[str, type[Body]]] = {
    "/v1/moderations": ModerationRequest,
    "/tokenize": TokenizeRequest,
    "/detokenize": DetokenizeRequest,
    "/v1/feedback": FeedbackRequest,
}
ROUTES: Final[Mapping[str, type[Body]]] = {
    **{dialect.path: dialect.openapi["body"] for dialect in DIALECTS},
    **_OTHERS,
}
"""The type of each route's body."""
_OWN: Final = {"/v1/chat/completions": FIELDS, "/v1/feedback": NO_FIELDS}
TABLES: Final[Mapping[str, FieldTable]] = {path: _OWN.get(path, PROMPT_FIELDS) for path in ROUTES}
EVERYWHERE: Final = "all"


def lines() -> list[str]:
    """The page's lines, without the one that says what it is made of."""
    return [
        "# Every field\n",
        "What becomes of each field that a body may have. What holds for all of them, such as what",
        "asks for nothing, is in [the API's rules](api.md#the-rules); types and ranges are in",
        "`/openapi.json`. Any other name is refused, with the nearest one that there is. Below,",
        "`all` are the routes that take a prompt or tokens.",
        *_honoured(),
        *_ignored(),
        *_refused(),
    ]


def _honoured() -> list[str]:
    found = []
    for path, body in ROUTES.items():
        meanings = MEANINGS[body.__name__]
        found += [f"\n## Honoured by {path}\n", "| field | meaning |", "|---|---|"]
        for name in sorted(body.model_fields):
            found.append(_row(f"`{name}`", meanings.get(name, "-")))
    return found


def _ignored() -> list[str]:
    found = [
        "\n## Ignored on purpose\n",
        "Accepted with any value, without effect: none of them could change an answer.\n",
        "| field | routes | why |",
        "|---|---|---|",
    ]
    reasons = {name: why for table in TABLES.values() for name, why in table.ignored.items()}
    for name in sorted(reasons):
        routes = [path for path in ROUTES if _is_ignored(path, name)]
        found.append(_row(f"`{name}`", _spelt(routes), reasons[name]))
    return found


def _is_ignored(path: str, name: str) -> bool:
    return name not in ROUTES[path].model_fields and name in TABLES[path].ignored


def _refused() -> list[str]:
    found = [
        "\n## Refused\n",
        "Each would change the answer in a way that is not offered, and gets a 400 with the code",
        "`unsupported_parameter`. Null, empty values and those in the second column ask for",
        "nothing, and pass.\n",
        "| field | passes | routes | why |",
        "|---|---|---|---|",
    ]
    rows: dict[tuple[str, str], tuple[Unsupported, list[str]]] = {}
    for path, table in TABLES.items():
        for name, unsupported in table.refused.items():
            if name not in ROUTES[path].model_fields:
                row = rows.setdefault((name, unsupported.reason), (unsupported, []))
                row[1].append(path)
    for (name, reason), (unsupported, routes) in sorted(rows.items(), key=lambda row: row[0]):
        passes = ", ".join(f"`{json.dumps(value)}`" for value in _neutral(unsupported)) or "-"
        found.append(_row(f"`{name}`", passes, _spelt(routes), reason))
    return found


def _neutral(unsupported: Unsupported) -> list[Any]:
    """The values that pass, each once: 1 and 1.0 are the same, and 1 and true are not."""
    values = [value for value in unsupported.neutral if value is not None]
    values += [] if any(value is True for value in values) else [False]
    kept: list[Any] = []
    for value in values:
        if not any(value == other and type(value) is not bool for other in kept):
            kept.append(value)
    return kept


def _spelt(routes: list[str]) -> str:
    if len(routes) == len([table for table in TABLES.values() if table is not NO_FIELDS]):
        return EVERYWHERE
    return ", ".join(f"`{path}`" for path in routes)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
