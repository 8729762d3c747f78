"""The server that is asked: its address and key, its models, and one answer as a stream of events.

A prompt goes to the address that is named and nowhere else: no proxy and no .netrc of the
environment is read, no redirect followed.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from models import plain_file
from serve.environment import client_api_key, client_tls, valid_api_key
from serve.errors import StartupError
from serve.observe.terminal_lines import printable

JSON = {"content-type": "application/json"}
CONNECT_TIMEOUT_S = 10.0
MAX_KEY_FILE_BYTES = 4096
MAX_SHOWN_CHARS = 600
"""Of what a server says when it refuses."""


class AskError(Exception):
    """A question that got no whole answer. Its message is a plain line for people.

    ``code`` is the server's word for the reason (docs/errors.md), if it has one.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, and where it is from: ``OPENAI_API_KEY`` or ``--key-file FILE``."""

    text: str
    origin: str


def key_from(file: Path | None) -> Key | None:
    """The key of a file, or of the environment where no file is named; None without one.

    Raises:
        StartupError: the file cannot be read, or holds no key.
    """
    if file is None:
        text = client_api_key()
        return Key(text, "OPENAI_API_KEY") if text else None
    try:
        with plain_file.opened(file, may_be_link=True, may_be_pipe=True) as opened:
            text = opened.read(MAX_KEY_FILE_BYTES + 1).decode("ascii", "replace")
    except OSError as error:
        raise StartupError(f"--key-file {file} cannot be read: {error.strerror}") from None
    if not text.strip() or len(text) > MAX_KEY_FILE_BYTES:
        raise StartupError(f"--key-file {file}: a file that holds the key alone is needed")
    return Key(valid_api_key(text, f"--key-file {file}"), f"--key-file {file}")


def base_of(given: str) -> str:
    """The server's address without a slash or the API's ``/v1`` at its end.

    ``localhost:8000`` is taken for ``http://localhost:8000``.

    Raises:
        StartupError: it is no address of a server.
    """
    url = given.strip()
    url = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname)
        is_address = is_address and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, an address in open brackets
        is_address = False
    if not is_address or parts.query or parts.fragment or parts.username is not None:
        raise StartupError(
            f"--url {given[:80]!r}: an address is needed, such as http://127.0.0.1:8000 or "
            "https://llm.example.org/v1; without a user, a question mark or a number sign."
        )
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


class Server:
    """An OpenAI-compatible server.

    Args:
        base: its address, as ``base_of`` has it.
        key: sent with each request, if there is one.
        transport: a stand-in for the network, for tests.
    """

    def __init__(
        self, base: str, key: Key | None, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.base, self._key = base, key
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key.text}"} if key else {},
            # A model may think for minutes; only a connection that does not come is given up.
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
            trust_env=False,
            follow_redirects=False,
            verify=client_tls(base),
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def models(self) -> list[str]:
        """The names of what it serves, its first one first.

        Raises:
            AskError: it does not say.
        """
        try:
            response = self._client.get(f"{self.base}/v1/models")
        except httpx.HTTPError as error:
            raise AskError(self._unreached(error)) from None
        if response.status_code != httpx.codes.OK:
            raise self._refusal(response)
        try:
            names = [str(entry["id"]) for entry in response.json()["data"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise AskError(
                f"{self.base} answers, but not as an OpenAI-compatible server does: there is no "
                "list of models at /v1/models. Is --url the server's address?"
            ) from None
        if not names:
            raise AskError(f"{self.base} serves no model.")
        return names

    def document(self, path: str, query: Mapping[str, str]) -> Any:
        """The JSON that a route answers to GET.

        Raises:
            AskError: it refuses, or answers with something else.
        """
        try:
            response = self._client.get(self.base + path, params=dict(query))
        except httpx.HTTPError as error:
            raise AskError(self._unreached(error)) from None
        if response.status_code != httpx.codes.OK:
            raise self._refusal(response)
        try:
            return response.json()
        except (ValueError, RecursionError):
            raise AskError(f"{self.base}{path} answers, but not with JSON.") from None

    def events(self, body: dict[str, Any]) -> Generator[dict[str, Any], None, None]:
        """The chunks of one streamed chat completion. Closing it early stops the answer.

        Raises:
            AskError: it was refused, or broke off.
        """
        url = f"{self.base}/v1/chat/completions"
        try:
            # As ASCII: half of a surrogate pair, which UTF-8 cannot have, is an escape.
            content = json.dumps(body).encode("ascii")
            with self._client.stream("POST", url, content=content, headers=JSON) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    raise self._refusal(response)
                yield from _chunks(response)
        except httpx.ConnectError as error:
            raise AskError(self._unreached(error)) from None
        except httpx.HTTPError as error:
            raise AskError(f"the answer broke off: {_reason(error)}") from None

    def _unreached(self, error: httpx.HTTPError) -> str:
        reason = _reason(error)
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            return (
                f"the certificate of {self.base} is not trusted ({reason}). SSL_CERT_FILE names a "
                "file of the authorities that are."
            )
        if "[SSL" in reason:
            return f"{self.base} does not speak TLS ({reason}). Is it http:// rather than https://?"
        return f"no server answers at {self.base} ({reason}). Start one with `make serve`."

    def _refusal(self, response: httpx.Response) -> AskError:
        message, code = _said(response.content)
        return AskError(self._refused(response, message), code)

    def _refused(self, response: httpx.Response, said: str | None) -> str:
        status = response.status_code
        if status == httpx.codes.UNAUTHORIZED:
            return f"401: {said or 'the server wants a key.'} {self._about_key()}"
        if response.is_redirect:
            where = printable(response.headers.get("location", ""))[:MAX_SHOWN_CHARS]
            return f"the server answered {status}: ask {where or 'elsewhere'}. Give that as --url."
        if said is not None:
            return f"{status}: {said}"
        if status == httpx.codes.NOT_FOUND:
            return f"the server answered 404: is {self.base} the address, with its path before /v1?"
        return f"the server answered {status}"

    def _about_key(self) -> str:
        if self._key is None:
            return (
                "No key was sent: set OPENAI_API_KEY, or name a file that holds one with "
                "--key-file FILE."
            )
        return f"The key that was sent is from {self._key.origin}."


def _chunks(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """Server-sent events (WHATWG HTML, section 9.2) whose data is a JSON object each."""
    for line in response.iter_lines():
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data in {"", "[DONE]"}:
            continue
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            raise AskError("the answer broke off: what came is no JSON") from None
        if not isinstance(chunk, dict):
            raise AskError("the answer broke off: what came is no object")
        if chunk.get("error"):
            message, code = _said(data)
            raise AskError(message or "the server failed", code)
        yield chunk


def _reason(error: httpx.HTTPError) -> str:
    return printable(str(error))[:MAX_SHOWN_CHARS] or type(error).__name__


def _said(body: bytes | str) -> tuple[str | None, str | None]:
    """Message and code of an error in OpenAI's form, each one printable line, or None."""
    try:
        error = json.loads(body)["error"]
        found = error.get("message"), error.get("code")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, None
    message, code = (
        printable(text)[:MAX_SHOWN_CHARS] if isinstance(text, str) and text else None
        for text in found
    )
    return message, code
