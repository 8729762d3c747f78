"""Errors of the Hub's client, in our words: what happened, and what to do.

No message holds an address with a query: those of the CDN carry signatures.
"""

from __future__ import annotations

import re
from typing import NoReturn

import httpx2
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers

from models import catalog
from models.errors import OriginError, TransientOriginError
from models.hub.bounded_client import HubFaultError
from models.refs import ModelRef

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})

KNOWN = (
    HfHubHTTPError,
    OfflineModeIsEnabled,
    httpx2.HTTPError,
    httpx2.InvalidURL,
)


NO_HUBS_JSON = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
"""Errors of the client over JSON and headers of another shape than a hub's."""


class HubErrors:
    """Our errors of one hub.

    Args:
        endpoint: its address.
        has_token: whether a token is sent.
    """

    def __init__(self, endpoint: str, *, has_token: bool) -> None:
        self._endpoint = endpoint
        self._has_token = has_token

    def raise_for(self, error: Exception, ref: ModelRef) -> NoReturn:
        """The same in our words. The order is that of the client's tree: the special first."""
        match error:
            case OfflineModeIsEnabled():
                message = (
                    "HF_HUB_OFFLINE is set, so nothing is fetched. Unset it, or take the model "
                    "from a folder: --from PATH."
                )
            case GatedRepoError():
                message = self._gated(ref)
            case RevisionNotFoundError():
                message = f"{ref.repo} has no revision {ref.revision!r} at {self._endpoint}."
            case EntryNotFoundError():
                message = f"{ref} lacks a file that it lists, at {self._endpoint}. Pull again."
            case RepositoryNotFoundError():
                message = self._unknown(ref)
            case HfHubHTTPError():
                self._raise_status(error)
            case HubFaultError():
                message = str(error)
            case httpx2.ConnectError() | httpx2.ProxyError() | httpx2.ConnectTimeout():
                raise TransientOriginError(self._unreachable(error)) from None
            case httpx2.TransportError():
                raise TransientOriginError(f"the connection broke ({_reason(error)})") from None
            case _:
                message = (
                    f"{self._endpoint} answers, but not as a hub does ({type(error).__name__})."
                )
        raise OriginError(message) from None

    def _raise_status(self, error: HfHubHTTPError) -> NoReturn:
        status = error.response.status_code
        if status in TRANSIENT:
            raise TransientOriginError(
                f"{self._endpoint} answers {status}", retry_after_s=_retry_after_s(error.response)
            ) from None
        if status in (401, 403):
            message = (
                f"{self._endpoint} answers {status}: the token is unknown or may not read this."
            )
        else:
            message = f"{self._endpoint} answers {status}."
        raise OriginError(message) from None

    def _gated(self, ref: ModelRef) -> str:
        page = f"{self._endpoint}/{ref.repo}"
        if self._has_token:
            return (
                f"{ref.repo} is gated, and the account of the token that was sent is not let in "
                f"(yet). Accept the licence with that account at\n  {page}\nand look there whether "
                "the request was granted; some repositories decide by hand."
            )
        return (
            f"{ref.repo} is gated: its licence must be accepted first, and no token was sent.\n"
            f"  1. Accept the licence at {page}\n"
            f"  2. Make a token that may read at {self._endpoint}/settings/tokens\n"
            "  3. Give it in the variable HF_TOKEN, or in a file: --token-file FILE"
        )

    def _unknown(self, ref: ModelRef) -> str:
        near = catalog.load().near(ref.repo)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        token = "with this token" if self._has_token else "without a token (HF_TOKEN, --token-file)"
        return (
            f"there is no repository {ref.repo} at {self._endpoint} that can be read {token}.{hint}"
        )

    def _unreachable(self, error: Exception) -> str:
        return (
            f"{self._endpoint} cannot be reached ({_reason(error)}). A proxy is set by "
            "HTTPS_PROXY, a mirror by HF_ENDPOINT or --from URL, certificates by SSL_CERT_FILE. "
            "Without a connection take the model from a folder: --from PATH."
        )


def _retry_after_s(response: httpx2.Response) -> float | None:
    """Seconds to wait, as the Hub's own header or the standard one asks; None where none does."""
    limit = parse_ratelimit_headers(response.headers)
    if response.status_code == httpx2.codes.TOO_MANY_REQUESTS and limit and not limit.remaining:
        return limit.reset_in_seconds + 1.0  # it is rounded down
    seconds = response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdigit() else None


def _reason(error: Exception) -> str:
    """The kind of error and the system's word for it, never an address."""
    text = re.sub(r"\[Errno -?\d+\] ", "", str(error))
    return type(error).__name__ if not text or "://" in text else f"{type(error).__name__}: {text}"
