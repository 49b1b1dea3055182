"""The client of PDPJ: a process's listing, a document's bytes, and whether the source works.

It asks once and says what came of it; when to ask again is the workflow's business. The one
exception is a refused token: with a refresh at hand the request is made once more. No redirect is
followed, no cookie is kept, no other host than the configured one is asked. Logs of the HTTP
library are turned down, since they hold whole addresses, and signed ones are secrets.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx2

from autos.cnj import CaseNumber
from autos.contracts.states import Reason
from autos.settings import Settings
from autos.source.addresses import UnusableAddress, read_path
from autos.source.content_types import content_type
from autos.source.courts import CourtObserver, Courts, Heard
from autos.source.credentials import CredentialRefused, Credentials
from autos.source.limits import Limiter
from autos.source.listing import ListedProcess
from autos.source.parse import UnreadableListing, parse_process
from autos.source.replies import HEAD_BYTES, Answer, Available, Refused, judge, judge_listing
from autos.source.spool import Quota, Spool

CONNECT_SECONDS: Final = 15.0
LISTING_BYTES: Final = 64 * 1024 * 1024
"""No listing is larger: some 100,000 documents. Beyond it the reply is not read on."""
_PARSED_ASIDE_BYTES: Final = 512 * 1024
"""From this size on a listing is parsed in a thread, so that the event loop goes on."""

Outcome = TypeVar("Outcome")


class SourceRefused(Exception):
    """The source did not give what was asked for; `reason.text` is for a person to read."""

    def __init__(self, reason: Reason, final: bool, retry_after: float | None = None) -> None:
        super().__init__(reason.text)
        self.reason = reason
        self.final = final
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A document that arrived whole and was judged to be one. Close it (or use `with`)."""

    spool: Spool
    size: int
    sha256: str
    """Hexadecimal."""
    content_type: str
    size_differs: bool = False
    """The size is another than listed. Whether to keep it is for the caller to decide."""

    def close(self) -> None:
        """Free the spool."""
        self.spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_http(settings: Settings) -> httpx2.AsyncClient:
    """An HTTP client for source or store; one of each per process, closed by who opened it.

    HTTP/1.1 only: HTTP/2 costs twice the CPU here (facts/transfer-and-libraries.md §B2). Proxies
    and credentials of the environment are not used.
    """
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # A few more than requests at once, for tokens and probes.
    connections = settings.source_max_in_flight + 8
    return httpx2.AsyncClient(
        http2=False,
        trust_env=False,
        follow_redirects=False,
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        timeout=httpx2.Timeout(settings.source_idle_timeout, connect=CONNECT_SECONDS),
    )


class SourceClient:
    """Asks PDPJ. One per process; `http`, `credentials` and `limiter` are shared and not closed."""

    def __init__(
        self,
        settings: Settings,
        http: httpx2.AsyncClient,
        credentials: Credentials,
        limiter: Limiter,
    ) -> None:
        self._origin = settings.pdpj_base_url.rstrip("/")
        self._http = http
        self._credentials = credentials
        self._courts = Courts(limiter, settings.source_max_in_flight, settings.retry_unit_seconds)
        self._quota = Quota()
        self._largest = settings.source_max_document_bytes
        # The firewall wants a browser's headers (facts/pdpj-api.md §3).
        headers = {
            "User-Agent": settings.pdpj_user_agent,
            "Accept-Language": "pt-BR,pt;q=0.9",
            "Accept-Encoding": "identity",
            "Origin": self._origin,
            "Referer": f"{self._origin}/consulta/autosdigitais",
        }
        self._listing_headers = headers | {"Accept": "application/json, text/plain, */*"}
        self._document_headers = headers | {
            "Accept": "application/pdf,application/octet-stream,text/html;q=0.8,*/*;q=0.5"
        }
        self._listing_timeout = _timeout(settings.source_metadata_timeout)
        self._document_timeout = _timeout(settings.source_idle_timeout)

    def observe(self, observer: CourtObserver) -> None:
        """Have changes of courts' limits and breakers told to somebody."""
        self._courts.observer = observer

    async def process(self, number: CaseNumber, *, urgent: bool = False) -> ListedProcess:
        """Read a process's metadata and the list of all its documents.

        Args:
            number: the process.
            urgent: asked although the court's breaker is open, as its trial.

        Raises:
            SourceRefused: with the reason; NOT_FOUND only after a search has confirmed it.
        """
        detail = await self._listing(f"/api/v2/processos/{number.masked}", number, urgent)
        if isinstance(detail, Answer):
            try:
                return await asyncio.to_thread(parse_process, number, detail.payload, self._origin)
            except UnreadableListing:
                detail = Refused(Reason.NOT_FOUND, final=True)
        if detail.reason in (Reason.NOT_FOUND, Reason.DOCUMENT_ERROR):
            detail = await self._confirm_unknown(number)
        raise SourceRefused(detail.reason, detail.final, detail.retry_after)

    async def document(
        self, address: str, expected_size: int | None, spool_directory: Path
    ) -> Downloaded | Refused:
        """Fetch one document's bytes into a spool, hashing and judging them.

        Memory does not grow with the document; a place in flight is held exactly while the
        request lasts, not while the caller stores the bytes.

        Args:
            address: one of `ListedDocument.addresses`.
            expected_size: bytes, as listed, if they are.
            spool_directory: an existing folder on a disk with room; used beyond 8 MiB.

        Raises:
            OSError: the disk is full, or the spool could not be written.
        """
        try:
            checked = read_path(address)
        except UnusableAddress as error:
            return Refused(error.reason, final=True)

        async def fetch(token: str) -> Downloaded | Refused:
            return await self._fetch(
                checked.path, token, checked.number.court, expected_size, spool_directory
            )

        return await self._with_token(fetch)

    async def probe(self, number: CaseNumber, *, urgent: bool = False) -> Refused | None:
        """Ask the cheapest question there is: None if source and credential work now."""
        found = await self._search(number, urgent)
        if isinstance(found, Answer) or found.reason in (Reason.NOT_FOUND, Reason.NO_ACCESS):
            return None
        return found

    async def _confirm_unknown(self, number: CaseNumber) -> Refused:
        found = await self._search(number)
        # A hit says that the case exists: its detail is out of order, not absent.
        return Refused(Reason.UNAVAILABLE) if isinstance(found, Answer) else found

    async def _search(self, number: CaseNumber, urgent: bool = False) -> Answer | Refused:
        path = f"/api/v2/processos?numeroProcesso={number.masked}"
        return await self._listing(path, number, urgent)

    async def _listing(self, path: str, number: CaseNumber, urgent: bool) -> Answer | Refused:
        async def ask(token: str) -> Answer | Refused:
            async def request(heard: Heard) -> Answer | Refused:
                return await self._ask(path, token, heard)

            return await self._courts.ask(number.court, request, urgent=urgent)

        return await self._with_token(ask)

    async def _ask(self, path: str, token: str, heard: Heard) -> Answer | Refused:
        body = bytearray()
        started = False
        try:
            async with self._get(
                path, token, self._listing_headers, self._listing_timeout
            ) as response:
                started = True
                async for chunk in response.aiter_bytes():
                    heard()
                    body += chunk
                    if len(body) > LISTING_BYTES:
                        return Refused(Reason.TOO_LARGE, final=True)
        except httpx2.RequestError as error:
            return _refused_by_transport(error, started)
        if len(body) < _PARSED_ASIDE_BYTES:
            return judge_listing(response.status_code, response.headers, bytes(body))
        return await asyncio.to_thread(
            judge_listing, response.status_code, response.headers, bytes(body)
        )

    async def _fetch(
        self, path: str, token: str, court: str, expected_size: int | None, folder: Path
    ) -> Downloaded | Refused:
        spool = Spool(folder, quota=self._quota)
        try:
            outcome = await self._courts.ask(
                court, lambda heard: self._receive(path, token, expected_size, spool, heard)
            )
        except BaseException:
            spool.close()
            raise
        if isinstance(outcome, Refused):
            spool.close()
        return outcome

    async def _receive(
        self, path: str, token: str, expected_size: int | None, spool: Spool, heard: Heard
    ) -> Downloaded | Refused:
        digest = hashlib.sha256()
        head = b""
        started = False
        try:
            async with self._get(
                path, token, self._document_headers, self._document_timeout
            ) as response:
                started = True
                if _declared_length(response) > self._largest:
                    return Refused(Reason.TOO_LARGE, final=True)
                await spool.reserve(_declared_length(response))
                async with aclosing(_body(response)) as chunks:
                    async for chunk in chunks:
                        heard()
                        if len(head) < HEAD_BYTES:
                            head += chunk[: HEAD_BYTES - len(head)]
                        if response.status_code != 200 and len(head) == HEAD_BYTES:
                            break
                        if spool.size + len(chunk) > self._largest:
                            return Refused(Reason.TOO_LARGE, final=True)
                        digest.update(chunk)
                        await spool.write(chunk)
        except httpx2.RequestError as error:
            return _refused_by_transport(error, started)
        verdict = judge(response.status_code, response.headers, head, spool.size, expected_size)
        if isinstance(verdict, Available):
            return Downloaded(spool, spool.size, digest.hexdigest(), verdict.content_type)
        if verdict.reason is Reason.SIZE_MISMATCH:
            kind = content_type(head, response.headers.get("content-type"))
            return Downloaded(spool, spool.size, digest.hexdigest(), kind, size_differs=True)
        return verdict

    async def _with_token(
        self, ask: Callable[[str], Awaitable[Outcome | Refused]]
    ) -> Outcome | Refused:
        try:
            token = await self._credentials.token()
        except CredentialRefused:
            # Nobody was asked, so it must not count as an attempt.
            return Refused(Reason.CREDENTIAL, unsent=True)
        outcome = await ask(token)
        if not isinstance(outcome, Refused) or outcome.reason is not Reason.CREDENTIAL:
            return outcome
        if await self._credentials.refused(token):
            with suppress(CredentialRefused):
                return await ask(await self._credentials.token())
        return outcome

    @asynccontextmanager
    async def _get(
        self, path: str, token: str, headers: dict[str, str], timeouts: dict[str, float]
    ) -> AsyncIterator[httpx2.Response]:
        request = httpx2.Request(
            "GET",
            self._origin + path,
            headers=headers | {"Authorization": f"Bearer {token}"},
            extensions={"timeout": timeouts},
        )
        response = await self._http.send(request, stream=True)
        try:
            yield response
        finally:
            await response.aclose()


def _declared_length(response: httpx2.Response) -> int:
    declared = response.headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


def _body(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    # Asked for as it is; a server that compresses all the same is understood.
    if response.headers.get("content-encoding", "identity") == "identity":
        return response.aiter_raw()
    return response.aiter_bytes()


def _refused_by_transport(error: httpx2.RequestError, started: bool) -> Refused:
    if isinstance(error, httpx2.TimeoutException):
        return Refused(Reason.TIMEOUT)
    return Refused(Reason.TRUNCATED if started else Reason.UNAVAILABLE)


def _timeout(idle: float) -> dict[str, float]:
    return {"connect": CONNECT_SECONDS, "read": idle, "write": idle, "pool": idle}
