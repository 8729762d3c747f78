"""/v1/usage and /admin/usage: sums of the ledger, one's own and everybody's, as JSON or CSV."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from serve.api.http.middleware import call_of
from serve.api.http.turnstile import Turnstile
from serve.api.openai.schemas import JsonReply
from serve.api.operations.usage_shapes import described_usage
from serve.api.policy import ADMIN, ANY_KEY
from serve.api.routes import RouteSpec, ServerState
from serve.errors import InternalError, NoLedger, UsageUnavailable
from serve.governance.usage.csv_form import MEDIA_TYPE, to_csv
from serve.governance.usage.query import ADMIN_PARAMETERS, PARAMETERS, parse_query
from serve.governance.usage.reports import UsageReport, UsageReports
from serve.storage.counting.counters import StoreUnavailable

MAX_RUNNING: Final = 2
MAX_WAITING: Final = 30
RETRY_AFTER_S: Final = 5


def routes(state: ServerState) -> tuple[RouteSpec, ...]:
    """Both reports. They use no engine, so they have a bound of their own."""
    turnstile = Turnstile(max_running=MAX_RUNNING, max_waiting=MAX_WAITING)

    async def own_usage(request: Request) -> Response:
        """Report the caller's own usage: that of the key's tenant and owner, by day, model or key.

        Raises:
            RequestError: see docs/errors.md.
        """
        query, form = parse_query(request.query_params.multi_items(), is_admin=False)
        principal = call_of(request.scope).principal
        if principal is None:
            raise InternalError("The request has no principal.")
        async with turnstile.passed():
            report = await _found(_reports(state).own(principal, query))
        return _answer(request, report, form)

    async def all_usage(request: Request) -> Response:
        """Report everybody's usage, by day, model, key, tenant or owner. Needs the scope admin.

        Raises:
            RequestError: see docs/errors.md.
        """
        query, form = parse_query(request.query_params.multi_items(), is_admin=True)
        async with turnstile.passed():
            report = await _found(_reports(state).everyone(query))
        return _answer(request, report, form)

    own = described_usage(PARAMETERS)
    everyone = described_usage({**PARAMETERS, **ADMIN_PARAMETERS})
    return (
        RouteSpec(path="/v1/usage", handler=own_usage, policy=ANY_KEY, openapi=own),
        RouteSpec(path="/admin/usage", handler=all_usage, policy=ADMIN, openapi=everyone),
    )


def _reports(state: ServerState) -> UsageReports:
    if state.usage is None:
        raise NoLedger("This server keeps no ledger of usage, so it has no report of it.")
    return state.usage


async def _found(report: Awaitable[UsageReport]) -> UsageReport:
    """The report. Raises UsageUnavailable where the database does not answer."""
    try:
        return await report
    except StoreUnavailable:
        raise UsageUnavailable(
            "The database of usage does not answer. Usage is still counted; ask again after the "
            "time in Retry-After.",
            retry_after_s=RETRY_AFTER_S,
        ) from None


def _answer(request: Request, report: UsageReport, form: str) -> Response:
    if (form or _form_of(request)) != "csv":
        return JsonReply(report.as_json(), headers={"vary": "Accept"})
    headers = {"content-disposition": 'attachment; filename="usage.csv"', "vary": "Accept"}
    if report.next is not None:
        asked = [pair for pair in request.query_params.multi_items() if pair[0] != "after"]
        query = urlencode([*asked, ("after", report.next)])
        headers["link"] = f'<{request.url.path}?{query}>; rel="next"'  # RFC 8288
    return Response(to_csv(report), media_type=MEDIA_TYPE, headers=headers)


def _form_of(request: Request) -> str:
    """The form that the Accept header puts first; JSON where it does not decide (RFC 9110)."""
    weights = {"text/csv": 0.0, "application/json": 0.0}
    for part in ",".join(request.headers.getlist("accept")).split(","):
        kind, _, parameters = part.strip().lower().partition(";")
        if kind.strip() in weights:
            weights[kind.strip()] = _weight(parameters)
    return "csv" if weights["text/csv"] > weights["application/json"] else "json"


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
