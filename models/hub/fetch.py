"""The Hugging Face Hub, through its own client, which this folder alone imports.

The client brings addresses, tokens, its connections and its errors, and what it reads from the
environment holds here too: ``HF_ENDPOINT`` (a mirror), ``HF_TOKEN``, ``HF_TOKEN_PATH`` and the file
that `hf auth login` writes, ``HF_HUB_DOWNLOAD_TIMEOUT``, ``HTTPS_PROXY`` / ``HTTP_PROXY`` /
``ALL_PROXY`` / ``NO_PROXY``, ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``. ``REQUESTS_CA_BUNDLE`` is not
read.

Its download function is not used: since 2.x it begins every file anew after an interruption, in
chunks of 10 MiB that are lost when a link breaks. We ask its session for the bytes from where we
are. That is plain HTTP with ranges, never the xet protocol, so any mirror will do.

Its errors in our words are in hub_errors.py.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import HfApi, ModelCardData, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from models import plain_file, tls
from models.errors import OriginError
from models.hub import bounded_client
from models.hub.hub_errors import KNOWN, NO_HUBS_JSON, HubErrors
from models.hub.origins import Listing, OriginFile
from models.refs import ModelRef

LISTING_TIMEOUT_S = 60.0
"""Seconds without a byte of the listing."""
LISTING_S = 300.0
"""Seconds for all of the listing."""
HEADERS_S = 120.0
"""Seconds for the headers of any other answer, redirects included."""
MAX_TOKEN_BYTES = 64 << 10
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_COMMIT = re.compile(r"[0-9a-f]{40}")


class HubOrigin:
    """One hub, with one token.

    Args:
        endpoint: its address; None for ``HF_ENDPOINT``, or the public Hub.
        token: sent with every request to the endpoint and to no other host. None for the client's
            own rules; False for none.

    Raises:
        OriginError: the endpoint is no address, or would make the token readable on its way.
        CertificatesError: the certificates to trust cannot be read.
    """

    def __init__(self, *, endpoint: str | None = None, token: str | bool | None = None) -> None:
        # Both are read when they are used, so neither depends on who imported the client first.
        # Without the first, the client would send what runs here, and ask the Hub for a list first.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        # Its warnings name addresses, with their signatures.
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        self.endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        if token is None:
            _check_token_file(Path(constants.HF_TOKEN_PATH))
        self._headers = build_hf_headers(token=token, library_name="intramural")
        self._senders: dict[str, str] = {}
        address = urlsplit(self.endpoint)
        if address.scheme not in ("http", "https") or not address.hostname or address.username:
            raise OriginError(
                "that is not the address of a hub. Write https://HOST, without a name and a "
                "password in it; a token goes into HF_TOKEN or --token-file."
            )
        tls.check_certificates()  # the client reads them for any address
        self._errors = HubErrors(self.endpoint, has_token=self.has_token)
        if self.has_token and address.scheme == "http" and address.hostname not in _LOOPBACK:
            raise OriginError(
                f"{self.endpoint} would get your token unencrypted. Use https, or send none "
                "(HF_HUB_DISABLE_IMPLICIT_TOKEN=1)."
            )

    @property
    def has_token(self) -> bool:
        """Whether a token is sent."""
        return "authorization" in self._headers

    def listing(self, ref: ModelRef | None) -> Listing:
        """The files of a revision, pinned to the commit that it is now.

        Raises:
            OriginError: no such repository or revision, gated, no connection.
            TransientOriginError: the hub is busy, or the connection broke.
        """
        if ref is None:
            raise OriginError("a hub needs the name of a repository (owner/name).")

        bounded_client.use()
        api = HfApi(endpoint=self.endpoint, headers=dict(self._headers), token=False)
        try:
            with bounded_client.answered_within(LISTING_S):
                info = api.model_info(
                    ref.repo, revision=ref.revision, files_metadata=True, timeout=LISTING_TIMEOUT_S
                )
        except (*KNOWN, *NO_HUBS_JSON) as error:
            self._errors.raise_for(error, ref)
        if not _COMMIT.fullmatch(info.sha or "") or info.siblings is None:
            raise OriginError(f"{self.endpoint} answers, but not as a hub does: no commit.")
        card = info.card_data if isinstance(info.card_data, ModelCardData) else None
        licence = card.get("license") if card is not None else None
        if card is not None and licence == "other":  # the Hub's word for one with its own name
            licence = card.get("license_name") or licence
        return Listing(
            ref=ModelRef(repo=ref.repo, revision=str(info.sha)),
            files=tuple(self._offer(sibling, ref.repo, str(info.sha)) for sibling in info.siblings),
            licence=licence if isinstance(licence, str) and licence.strip() else None,
        )

    @contextmanager
    def open(
        self, ref: ModelRef | None, file: OriginFile, offset: int
    ) -> Iterator[tuple[int, Iterator[bytes]]]:
        """One file's bytes from ``offset`` on, or from 0 where the hub does not do ranges.

        Raises:
            OriginError, TransientOriginError: as in ``listing``.
        """
        if ref is None:
            raise OriginError("a hub needs the name of a repository (owner/name).")
        url = hf_hub_url(ref.repo, file.path, revision=ref.revision, endpoint=self.endpoint)
        # Sizes and hashes are those of the file as it is, so it must come uncompressed.
        headers = {**self._headers, "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            with self._answer(url, headers) as response:
                self._senders[file.path] = response.url.host
                begin = offset if response.status_code == httpx2.codes.PARTIAL_CONTENT else 0
                yield begin, self._chunks(response, ref)
        except KNOWN as error:
            self._errors.raise_for(error, ref)

    @contextmanager
    def _answer(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
        """The answer to a GET, its body unread. Across redirects to another host no token goes."""
        request = bounded_client.use().stream(
            "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
        )
        with ExitStack() as stack:
            with bounded_client.answered_within(HEADERS_S):
                response = stack.enter_context(request)
                hf_raise_for_status(response)
            yield response

    def parties(self, file: OriginFile) -> tuple[str, str]:
        """The two who said what the file is, and who sent its bytes: a redirect's host, often."""
        said_by = urlsplit(self.endpoint).netloc
        return said_by, self._senders.get(file.path, said_by)

    def _offer(self, sibling: RepoSibling, repo: str, commit: str) -> OriginFile:
        """The listing's facts about a file; where a mirror's are too few, it is asked again."""
        lfs, path, size = sibling.lfs, sibling.rfilename, sibling.size
        facts = (lfs.size, lfs.sha256) if lfs is not None else (size, sibling.blob_id)
        if not (_is_size(facts[0]) and _is_hash(facts[1])):
            raise OriginError(
                f"{self.endpoint} lists {path!r:.200} with a size or a hash that is none: "
                f"{facts[0]!r:.50}, {facts[1]!r:.100}."
            )
        if lfs is not None:
            return OriginFile(path=path, size=lfs.size, sha256=lfs.sha256)
        if sibling.blob_id is not None and size is not None:
            return OriginFile(path=path, size=size, git_blob=sibling.blob_id)
        ref = ModelRef(repo=repo, revision=commit)
        url = hf_hub_url(repo, path, revision=commit, endpoint=self.endpoint)
        try:
            with bounded_client.answered_within(HEADERS_S):
                metadata = get_hf_file_metadata(url, headers=dict(self._headers), token=False)
        except (*KNOWN, *NO_HUBS_JSON) as error:
            self._errors.raise_for(error, ref)
        etag, size = metadata.etag or "", metadata.size
        if size == 0 and etag not in _EMPTY:
            size = self._length_of_get(url, path, ref)
        if size is None or size < 0 or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", etag):
            raise OriginError(f"{self.endpoint} says neither size nor hash of {path} in {repo}.")
        # A proxy may take the SHA-1 of the content for what the Hub has git's of the blob for.
        kind = "sha256" if len(etag) == 64 else "sha1"
        return OriginFile(path=path, size=size, **{kind: etag})

    def _length_of_get(self, url: str, path: str, ref: ModelRef) -> int:
        """A file's size where HEAD says none: some proxies answer it without looking behind them.

        Raises:
            OriginError: GET does not say it either.
        """
        try:
            with self._answer(url, self._headers) as response:
                length = response.headers.get("Content-Length", "")
        except KNOWN as error:
            self._errors.raise_for(error, ref)
        if not re.fullmatch(r"[0-9]{1,15}", length):
            raise OriginError(
                f"{self.endpoint} contradicts itself: asked for the head of {path} it says 0 "
                "bytes with the hash of other content, and asked for the file it says no size. "
                "Turn off what rewrites HEAD there, or take another mirror: --from URL."
            )
        return int(length)

    def _chunks(self, response: httpx2.Response, ref: ModelRef) -> Iterator[bytes]:
        try:
            yield from response.iter_bytes()
        except httpx2.HTTPError as error:
            self._errors.raise_for(error, ref)


_EMPTY = frozenset(
    {
        "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    }
)
"""Hashes of no bytes: git's of the blob, SHA-1, SHA-256."""


def _check_token_file(path: Path) -> None:
    """Look at the file of the Hub's token before the client reads it, whatever it is.

    Raises:
        OriginError: it is none that could be read; no file is no token, and so is the null device.
    """
    try:
        if str(path) != os.devnull:
            plain_file.read_text(path, MAX_TOKEN_BYTES, may_be_link=True)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise OriginError(
            f"the Hub's token in {path} (HF_TOKEN_PATH) cannot be read: {error.strerror or error}. "
            "Move that away, or give a token in HF_TOKEN or --token-file."
        ) from None


def _is_size(value: object) -> bool:
    """Whether a listing's size is one, or is not given."""
    return value is None or (type(value) is int and 0 <= value < 1 << 63)


def _is_hash(value: object) -> bool:
    """Whether a listing's hash is one, or is not given."""
    return value is None or (
        isinstance(value, str) and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", value) is not None
    )
