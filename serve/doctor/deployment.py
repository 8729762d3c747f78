"""A running deployment, examined over HTTP as its clients and its orchestrator see it.

No text is generated. Redirects are not followed and proxies of the environment are not used, so
that nothing is sent anywhere but to the address that was given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType, TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from serve.doctor.finding import Finding, failure, ok, skipped, warning
from serve.environment import client_tls
from serve.errors import StartupError
from serve.governance.loopback import is_loopback_host

TIMEOUT_S = 5.0
SKEW_WARNING_S, SKEW_FAILURE_S = 5.0, 60.0
FULL_CACHE = 0.95
ENGINE_GAUGE = "requests_running"
"""A metric that is there once an engine is."""
_SAMPLE = re.compile(r"^intramural_(\w+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)

STARTING = "not_ready"
"""The code of a server that loads its model, which is nothing that is wrong with it."""
UNREADY: Mapping[str, str] = MappingProxyType(
    {
        STARTING: "Wait: /startupz shows how far it is.",
        "draining": "It is about to end. If nobody restarts it, start it.",
        "engine_dead": "Its engine died. It comes back by itself; if not, see the server's log.",
    }
)
"""What to do about each code of /readyz."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; where none came, ``status`` is 0 and ``error`` says why."""

    status: int
    headers: Mapping[str, str]
    body: str
    error: str = ""

    def json(self) -> dict[str, Any]:
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def code(self) -> str:
        """The code of the error that it carries; empty without one."""
        error = self.json().get("error")
        return str(error.get("code", "")) if isinstance(error, dict) else ""


class Deployment:
    """A client of one address.

    Args:
        url: with or without ``/v1``.
        key: of the API; None asks without.

    Raises:
        StartupError: it is no http or https address.
    """

    def __init__(
        self, url: str, key: str | None, transport: httpx.BaseTransport | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise StartupError(f"--url {url[:80]!r}: write http://HOST:PORT or https://HOST.")
        self.url = url.rstrip("/").removesuffix("/v1")
        self.host = parts.hostname
        self.is_plain = parts.scheme == "http"
        self.has_key = key is not None
        self._key = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(
            base_url=self.url,
            timeout=TIMEOUT_S,
            trust_env=False,
            transport=transport,
            verify=client_tls(url),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    @property
    def is_loopback(self) -> bool:
        return is_loopback_host(f"[{self.host}]" if ":" in self.host else self.host)

    def get(self, path: str, *, with_key: bool = True) -> Answer:
        """Never raises: an answer that did not come has status 0."""
        try:
            response = self._client.get(path, headers=self._key if with_key else {})
        except (httpx.HTTPError, UnicodeError) as error:
            return Answer(0, {}, "", str(error) or type(error).__name__)
        return Answer(response.status_code, response.headers, response.text)


def alive(deployment: Deployment) -> Finding:
    """Does anything of ours answer?"""
    answer = deployment.get("/livez")
    if answer.error:
        return failure(
            f"Nothing answers at {deployment.url}: {answer.error}.",
            "Start it, or look at the address, the firewall and the certificate.",
        )
    if answer.status != httpx.codes.OK:
        return failure(
            f"/livez answers {answer.status}.", "Is this a server of ours? See what it logs."
        )
    return ok(f"{deployment.url} lives.")


def started(deployment: Deployment) -> Finding:
    """Has it loaded its model?"""
    answer = deployment.get("/startupz")
    startup = answer.json()
    if answer.status == httpx.codes.OK:
        return ok("It has started.")
    if startup.get("status") == "failed":
        return failure("Its start failed.", "See its log: the last lines say why.")
    phases = [phase for phase in startup.get("phases", ()) if not phase.get("is_finished")]
    now = phases[-1] if phases else {}
    if not now:
        return _unexpected("/startupz", answer)
    share = f" {now['done'] / now['total']:.0%}" if now.get("total") else ""
    eta = f", {now['eta_s']:.0f} s left" if now.get("eta_s") is not None else ""
    return warning(f"It is starting: {now['name']}{share}{eta}.", "Wait.")


def ready(deployment: Deployment) -> Finding:
    """Does it take work?"""
    answer = deployment.get("/readyz")
    if answer.status == httpx.codes.OK:
        return ok("It is ready.")
    advice = UNREADY.get(answer.code)
    if advice is None:
        return _unexpected("/readyz", answer)
    level = warning if answer.code == STARTING else failure
    return level(f"It is not ready: {answer.code}.", advice)


def gate(deployment: Deployment) -> Finding:
    """Is anybody kept out?"""
    answer = deployment.get("/v1/models", with_key=False)
    if answer.status == httpx.codes.UNAUTHORIZED:
        return ok("Who has no key is refused.")
    if answer.status != httpx.codes.OK and answer.code != STARTING:
        return _unexpected("/v1/models without a key", answer)
    if deployment.is_loopback:
        return skipped("It asks for no key, on loopback.")
    return failure(
        "It answers without a key: anybody who reaches it may ask.",
        "Start it with --api-key-file; see `python -m serve keys create`.",
    )


def transport(deployment: Deployment) -> Finding:
    """Are keys and prompts encrypted on their way?"""
    if not deployment.is_plain:
        return ok("TLS, with a certificate that this machine trusts.")
    if deployment.is_loopback:
        return skipped("Plain HTTP, on loopback.")
    return warning(
        "Plain HTTP: keys and prompts can be read on their way.",
        "Give it a certificate (--ssl-certfile), or put a proxy with one in front: docs/tls.md.",
    )


def models(deployment: Deployment) -> Finding:
    """The models that are served, and whether they are proven."""
    answer = deployment.get("/v1/models")
    if answer.status == httpx.codes.UNAUTHORIZED:
        if not deployment.has_key:
            return skipped("It wants a key, and OPENAI_API_KEY has none.")
        return failure(
            f"The key in OPENAI_API_KEY is refused: {_message(answer)}",
            "`python -m serve keys list` on its machine shows ids, states and expiry.",
        )
    if answer.code == STARTING:
        return skipped("Not known before it has started.")
    data = answer.json().get("data")
    cards = [card for card in data if isinstance(card, dict)] if isinstance(data, list) else []
    if answer.status != httpx.codes.OK or not cards:
        return _unexpected("/v1/models", answer)
    names = ", ".join(str(card.get("id")) for card in cards)
    digest = cards[0].get("digest")
    arm = answer.headers.get("x-intramural-arm")
    served = f"It serves {names}{f', as arm {arm}' if arm else ''}"
    if not digest:
        return warning(
            f"{served}, whose bytes nobody has proven.",
            "Bring the model there with `python -m models pull` or `import`.",
        )
    return ok(f"{served}; {digest[:19]}….")


def load(deployment: Deployment) -> Finding:
    """Does it keep up with what it is asked?"""
    answer = deployment.get("/metrics")
    if answer.status in {httpx.codes.UNAUTHORIZED, httpx.codes.NOT_FOUND}:
        return skipped(f"/metrics answers {answer.status}. Behind a proxy ask each replica itself.")
    figures: dict[str, float] = {}
    for name, value in _SAMPLE.findall(answer.body):
        figures[name] = figures.get(name, 0.0) + float(value)
    if answer.status == httpx.codes.OK and "build_info" in figures and ENGINE_GAUGE not in figures:
        return skipped("Not known before it has started.")
    if answer.status != httpx.codes.OK or ENGINE_GAUGE not in figures:
        return _unexpected("/metrics", answer)
    usage = figures.get("kv_cache_usage_ratio", 0.0)
    waiting = figures.get("requests_waiting", 0.0)
    summary = (
        f"{figures[ENGINE_GAUGE]:.0f} sequences run, {waiting:.0f} wait; "
        f"the KV cache is used to {usage:.0%}."
    )
    if waiting and usage >= FULL_CACHE:
        return warning(summary, "It is at its limit: add a replica, or a larger --kv-cache-tokens.")
    return ok(summary)


def skew(deployment: Deployment) -> Finding:
    """Do its clock and ours agree? To a second, by the Date of its answer."""
    answer = deployment.get("/livez")
    date = answer.headers.get("date")
    if date is None:
        return skipped("Its answers have no Date.")
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return skipped("The Date of its answers cannot be read.")
    seconds = (theirs - datetime.now(UTC)).total_seconds()
    summary = f"Its clock differs from this machine's by {seconds:+.0f} s."
    if abs(seconds) < SKEW_WARNING_S:
        return ok(summary)
    level = failure if abs(seconds) >= SKEW_FAILURE_S else warning
    return level(summary, "Run chrony or systemd-timesyncd on both: keys expire by these clocks.")


def _message(answer: Answer) -> str:
    error = answer.json().get("error")
    return str(error.get("message", "")) if isinstance(error, dict) else ""


def _unexpected(path: str, answer: Answer) -> Finding:
    problem = answer.error or f"{answer.status} {answer.code}".strip()
    return failure(
        f"{path} answers: {problem}.", "See the server's log, and that of what is before it."
    )
