"""``POST /oauth/token``: a key's id and secret for a short token (RFC 6749, sections 4.4 and 5).

For clients that speak OAuth and no other way. The key's id is the client's id, its secret the
client's secret. The request is form-encoded and small; answers have the RFC's shape. A public
route: what it is sent is the credential.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

import orjson
from starlette.requests import Request
from starlette.responses import Response

from serve import timeline
from serve.api.http.middleware import call_of, header_values
from serve.api.openai.schemas import JsonReply
from serve.api.policy import Policy
from serve.api.routes import RouteSpec, ServerState
from serve.errors import (
    InvalidApiKey,
    InvalidClient,
    OAuthError,
    RequestError,
    TooManyFailures,
    UnsupportedGrantType,
)

PATH: Final = "/oauth/token"
TOKEN: Final = Policy(is_public=True, max_body_bytes=4096, body="form")
MAX_FAILURES: Final = 120
FAILURE_WINDOW_S: Final = 60.0

_BASIC = re.compile(r"(?i:basic) +([A-Za-z0-9+/]{4,1024}={0,2})")
_FORM_FIELDS: Final = 16
_UNTOLD = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
"""Characters that a description may not have (RFC 6749, section 5.2)."""


class FailureBound:
    """Counts failures of all clients together, in windows: many answers become 429.

    Nobody who shows the right secret is held up, so nobody can lock others out.
    """

    def __init__(self, clock: Callable[[], float] = timeline.now) -> None:
        self._clock = clock
        self._began_at = clock()
        self._count = 0

    def failed(self) -> None:
        """Count one. Raises TooManyFailures where there were too many of late."""
        now = self._clock()
        if now - self._began_at >= FAILURE_WINDOW_S:
            self._began_at, self._count = now, 0
        self._count += 1
        if self._count > MAX_FAILURES:
            raise TooManyFailures(
                f"More than {MAX_FAILURES} requests for tokens in {FAILURE_WINDOW_S:g} s had a "
                "wrong secret.",
                retry_after_s=max(1, round(self._began_at + FAILURE_WINDOW_S - now)),
            )


def routes(state: ServerState) -> tuple[RouteSpec, ...]:
    """The route for tokens."""
    bound = FailureBound()

    async def token(request: Request) -> Response:
        """A short token for a key.

        Raises:
            OAuthError: as RFC 6749 has it, section 5.2.
            TooManyFailures: many wrong secrets came, and this one is wrong, too.
            KeyStoreUnavailable: the keys cannot be read.
            AuditUnavailable: that a token is given cannot be recorded.
        """
        if state.tokens is None:
            raise OAuthError("This server has no API keys, so it gives no tokens.")
        form = _form(await request.body())
        authorization = [raw.decode("latin-1") for raw in _authorization(request)]
        client_id, client_secret = _client(authorization, form)
        if form.get("grant_type") != "client_credentials":
            raise UnsupportedGrantType("grant_type is client_credentials, and nothing else.")
        scopes = form.get("scope", "").split() or None
        try:
            made = state.tokens.make(client_id, client_secret, scopes)
        except InvalidApiKey:
            bound.failed()
            raise _refused_client(authorization) from None
        call = call_of(request.scope)
        call.record.key_id = client_id
        await state.service.recorder.act(call, "token.issue", {"scopes": list(made.scopes)})
        answer = {
            "access_token": made.text,
            "token_type": "Bearer",
            "expires_in": made.expires_in_s,
            "scope": " ".join(made.scopes),
        }
        return JsonReply(answer, headers={"cache-control": "no-store", "pragma": "no-cache"})

    return (RouteSpec(path=PATH, handler=token, policy=TOKEN, method="POST"),)


def problem(error: RequestError) -> bytes:
    """An error in the RFC's shape: ``{"error", "error_description"}``."""
    if isinstance(error, OAuthError):
        code = error.code
    elif error.status == 503:
        code = "temporarily_unavailable"
    else:
        code = "server_error" if error.status >= 500 else "invalid_request"
    told = _UNTOLD.sub("?", error.message.replace('"', "'"))
    return orjson.dumps({"error": code, "error_description": told})


def _authorization(request: Request) -> list[bytes]:
    return header_values(request.scope, b"authorization")


def _form(raw: bytes) -> dict[str, str]:
    """The fields of a form-encoded body. Raises OAuthError where one comes twice."""
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(raw),
            errors="strict",
            max_num_fields=_FORM_FIELDS,
        )
    except ValueError:
        raise OAuthError("The body is no form: send grant_type=client_credentials&...") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError("A field of the form comes twice.")
    return form


def _client(authorization: list[str], form: Mapping[str, str]) -> tuple[str, str]:
    """The client's id and secret, from the one place where they are.

    Raises:
        OAuthError: they are in none, or in both.
        InvalidClient: the header is of another scheme.
    """
    in_form = "client_secret" in form
    if bool(authorization) == in_form or len(authorization) > 1:
        raise OAuthError(
            "Send the client's id and secret once: in the header 'Authorization: Basic ...', or as "
            "client_id and client_secret in the form."
        )
    if in_form:
        return form.get("client_id", ""), form["client_secret"]
    match = _BASIC.fullmatch(authorization[0])
    try:
        text = base64.b64decode(match[1], validate=True).decode() if match else ""
    except ValueError:
        text = ""
    client_id, colon, client_secret = text.partition(":")
    if not colon or form.get("client_id", client_id) != client_id:
        raise _refused_client(authorization)
    return unquote_plus(client_id), unquote_plus(client_secret)


def _refused_client(authorization: list[str]) -> InvalidClient:
    error = InvalidClient("No API key has this id and secret, or it is revoked or expired.")
    if authorization:
        error.headers["www-authenticate"] = 'Basic realm="intramural"'
    return error
