"""`python -m serve chat`: a terminal chat with any OpenAI-compatible server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
from rich.console import Console
from rich.text import Text

from models.rules.names import printable
from serve.cli.flags import Parser
from serve.environment import client_api_key, client_tls
from serve.errors import StartupError

MAX_LINE_CHARS = 1 << 20
_NOT_OURS = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
_CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in b"\t\n"
}

HELP = (
    "/system TEXT sets the system message · /reset forgets the conversation · /exit or Ctrl-D ends"
)


def run_chat(argv: Sequence[str]) -> int:
    """Run the chat until the user ends it; returns the exit code."""
    arguments = _parser().parse_args(list(argv))
    headers = {"Authorization": f"Bearer {key}"} if (key := client_api_key()) else {}
    # No proxy and no .netrc of the environment: a prompt goes to the server that is named, only.
    with httpx.Client(
        base_url=arguments.url,
        headers=headers,
        timeout=None,  # noqa: S113
        trust_env=False,
        verify=client_tls(arguments.url),
    ) as client:
        chat = Chat(client, arguments.model or _only_model(client), Console(), arguments)
        if arguments.message:
            return 0 if chat.say(arguments.message) else 1
        chat.loop()
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m serve chat",
        description=f"{__doc__} The key, if the server wants one, is read from OPENAI_API_KEY.",
        epilog=HELP,
        allow_abbrev=False,
    )
    parser.add_argument("message", nargs="?", help="say this, print the answer and end")
    parser.add_argument(
        "--url", default="http://127.0.0.1:8000", help="server (default: %(default)s)"
    )
    parser.add_argument("--model", help="model to ask (default: the server's first)")
    parser.add_argument("--system", help="system message")
    parser.add_argument("--temperature", type=float, default=0.0, help="default: %(default)s")
    parser.add_argument(
        "--max-tokens", type=int, help="most tokens of an answer (default: the server's)"
    )
    return parser


class Chat:
    """A conversation: the messages so far and the server that continues them."""

    def __init__(self, client: httpx.Client, model: str, console: Console, options: Any) -> None:
        self._client = client
        self._model = model
        self._console = console
        self._options = options
        self._messages: list[dict[str, str]] = []
        self._set_system(options.system)

    def loop(self) -> None:
        """Read lines and act on them until /exit or the end of input."""
        self._console.print(
            Text.assemble((printable(self._model), "bold"), f" · {HELP}"), style="dim"
        )
        while True:
            try:
                text = self._line().strip()
            except (EOFError, KeyboardInterrupt):
                self._console.print()
                return
            if text in {"/exit", "/quit"}:
                return
            if text == "/reset":
                self._messages = [m for m in self._messages if m["role"] == "system"]
            elif text.startswith("/system"):
                self._set_system(text.removeprefix("/system").strip())
            elif text.startswith("/"):
                self._console.print(HELP, style="dim", highlight=False)
            elif text:
                self.say(text)

    def say(self, text: str) -> bool:
        """Send one message and print the answer as it comes.

        Returns:
            Whether an answer came. A message that failed is not kept, so it can be sent again.
        """
        self._messages.append({"role": "user", "content": text})
        answer = ""
        try:
            for part in self._stream():
                answer += part
                self._console.print(
                    _shown(part), end="", markup=False, highlight=False, soft_wrap=True
                )
            self._console.print()
        except KeyboardInterrupt:
            self._console.print(" [interrupted]", style="dim", markup=False)
        except (httpx.HTTPError, StartupError) as error:
            self._console.print(f"error: {_shown(str(error))}", style="red", markup=False)
            self._messages.pop()
            return False
        self._messages.append({"role": "assistant", "content": answer})
        return True

    def _line(self) -> str:
        """The next line of standard input; of a file or a pipe, whose lines may have no end.

        Raises:
            EOFError: there is none.
            StartupError: it is too long.
        """
        prompt = "[bold green]›[/] "
        if sys.stdin.isatty():
            return self._console.input(prompt)
        self._console.print(prompt, end="")
        line = sys.stdin.readline(MAX_LINE_CHARS + 1)
        if not line:
            raise EOFError
        if len(line) > MAX_LINE_CHARS:
            raise StartupError(
                f"a line of standard input has more than {MAX_LINE_CHARS:,} characters: send less "
                "at once."
            )
        return line

    def _set_system(self, text: str | None) -> None:
        self._messages = [m for m in self._messages if m["role"] != "system"]
        if text:
            self._messages.insert(0, {"role": "system", "content": text})

    def _stream(self) -> Iterator[str]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": self._messages,
            "temperature": self._options.temperature,
            "stream": True,
        }
        if self._options.max_tokens:
            body["max_tokens"] = self._options.max_tokens
        with self._client.stream("POST", "/v1/chat/completions", json=body) as response:
            if response.status_code != httpx.codes.OK:
                raise StartupError(_message_of(response.read(), response.status_code))
            for line in response.iter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                yield _text_of(line.removeprefix("data: "))


def _text_of(event: str) -> str:
    """The text that an event of the stream brings.

    Raises:
        StartupError: it is an error, or none that we know.
    """
    try:
        document = json.loads(event)
        if "error" in document:
            raise StartupError(str(document["error"]["message"]))
        return "".join(choice["delta"].get("content") or "" for choice in document["choices"])
    except _NOT_OURS:
        raise StartupError("the server streams something else than chat completions.") from None


def _shown(text: str) -> str:
    """A server's text for a terminal: what would steer that is written as escapes."""
    return text.translate(_CONTROLS)


def _only_model(client: httpx.Client) -> str:
    try:
        response = client.get("/v1/models")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StartupError(
            f"no server answers at {client.base_url} ({error}). Start one with `make serve`."
        ) from None
    if response.status_code != httpx.codes.OK:
        raise StartupError(_message_of(response.content, response.status_code))
    try:
        return str(response.json()["data"][0]["id"])
    except _NOT_OURS:
        raise StartupError(
            f"{client.base_url} answers, and lists no models as OpenAI's API does. Is it the "
            "address of such a server? Else name the model: --model."
        ) from None


def _message_of(body: bytes, status: int) -> str:
    try:
        return f"{status}: {json.loads(body)['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return f"the server answered {status}"
