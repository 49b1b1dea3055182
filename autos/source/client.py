"""The client of PDPJ: fetches listings and documents, and checks whether the source works.

It makes one request and reports the outcome; workflows decide when to retry. Two kinds of refusals
are checked immediately with further requests: of the token (`autos.source.credentials.authorizer`),
and of a process's detail, which may be broken or unknown.
"""

import asyncio
import hashlib
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

import aiohttp

from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason
from autos.settings import Settings
from autos.source.credentials.authorizer import Authorizer, TokenUse, accepts_token
from autos.source.credentials.provider import Credentials
from autos.source.http_exchange import WINDOW_SECONDS, Exchange, NoReply, Reply
from autos.source.limits.courts import CourtObserver, Courts, NotSent, Turn
from autos.source.limits.limiter import Limiter
from autos.source.listing.addresses import CaseAddresses, UnusableAddress
from autos.source.listing.duplicates import merge_movements
from autos.source.listing.models import ListedProcess
from autos.source.listing.parse import UnreadableListing, is_listed, parse_movements, parse_process
from autos.source.replies.content_types import content_type
from autos.source.replies.judge import (
    HEAD_BYTES,
    TAIL_BYTES,
    Answer,
    Available,
    Refused,
    judge,
    judge_listing,
)
from autos.source.spool import Quota, Spool

LISTING_BYTES: Final = 64 * 1024 * 1024
"""Maximum size of a listing, in bytes: some 100,000 documents."""
_PARSED_ASIDE_BYTES: Final = 512 * 1024
"""A listing of this many bytes or more is parsed in a thread, so as not to block the event loop."""
_CLOSED: Final = Refused(Reason.NO_ACCESS)
"""A listing that is refused although the source accepts the token."""

Outcome = TypeVar("Outcome")


class SourceRefused(Exception):
    """The source did not return the process; `reason.text` explains why."""

    def __init__(self, reason: Reason, final: bool, retry_after: float | None = None) -> None:
        super().__init__(reason.text)
        self.reason = reason
        self.final = final
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A complete document, in a spool. Close it (or use `with`)."""

    spool: Spool
    size: int
    sha256: str
    """Hexadecimal."""
    content_type: str
    size_differs: bool = False
    """The size differs from the listed one; the caller decides whether to keep the document."""

    def close(self) -> None:
        """Free the spool."""
        self.spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _DocumentRequest:
    path: str
    expected_size: int | None
    listed_type: str | None
    spool_directory: Path


class SourceClient:
    """Sends requests to PDPJ. One per OS process; `http`, `credentials` and `limiter` are not
    closed.

    Args:
        settings: the source's address, time-outs and size limits.
        http: see `open_http`.
        credentials: provides tokens.
        limiter: limits concurrency and rate over all courts.
        window: seconds over which `AUTOS_SOURCE_MIN_BYTES_PER_MINUTE` is measured.
    """

    def __init__(
        self,
        settings: Settings,
        http: aiohttp.ClientSession,
        credentials: Credentials,
        limiter: Limiter,
        window: float = WINDOW_SECONDS,
    ) -> None:
        self._exchange = Exchange(settings, http, window)
        self._authorizer = Authorizer(credentials, self._search_with)
        self._courts = Courts(limiter, settings.source_max_in_flight, settings.retry_unit_seconds)
        self._quota = Quota()
        self._max_bytes = settings.source_max_document_bytes
        # The firewall requires a browser's headers (docs/source.md#requests).
        headers = {
            "User-Agent": settings.pdpj_user_agent,
            "Accept-Language": "pt-BR,pt;q=0.9",
            "Accept-Encoding": "identity",
            "Origin": self._exchange.origin,
            "Referer": f"{self._exchange.origin}/consulta/autosdigitais",
        }
        self._listing_headers = headers | {"Accept": "application/json, text/plain, */*"}
        self._document_headers = headers | {
            "Accept": "application/pdf,application/octet-stream,text/html;q=0.8,*/*;q=0.5"
        }
        self._listing_idle = settings.source_metadata_timeout
        self._document_idle = settings.source_idle_timeout

    def observe(self, observer: CourtObserver) -> None:
        """Notify this observer of changes of courts' limits and breakers."""
        self._courts.observer = observer

    async def process(self, case: CaseNumber) -> ListedProcess:
        """Read a process's metadata and the list of all its documents.

        Raises:
            SourceRefused: with the reason. NOT_FOUND only after a search has confirmed it;
                NO_ACCESS also if only the detail refuses the token, twice; DOCUMENT_ERROR and
                UNREADABLE_LISTING concern this process alone.
        """
        request = partial(self._json, f"/api/v2/processos/{case.masked}")
        detail = await self._authorizer.send(case, request, if_accepted=_CLOSED)
        if detail == _CLOSED:
            # One such reply may be a temporary fault of the gateway.
            detail = await self._authorizer.send(case, request, if_accepted=_CLOSED)
        if isinstance(detail, Answer):
            try:
                listed = await asyncio.to_thread(
                    parse_process, case, detail.payload, self._exchange.origin
                )
                return await self._with_documents_of_movements(listed)
            except (UnreadableListing, RecursionError):
                detail = Refused(Reason.UNREADABLE_LISTING)
        elif detail.reason in (Reason.NOT_FOUND, Reason.DOCUMENT_ERROR):
            detail = await self._confirm(case, detail)
        final = detail.final or detail.reason is Reason.NO_ACCESS
        raise SourceRefused(detail.reason, final, detail.retry_after)

    async def document(
        self,
        case: CaseNumber,
        address: str,
        expected_size: int | None,
        spool_directory: Path,
        listed_type: str | None = None,
    ) -> Downloaded | Refused:
        """Download one document into a spool, hashing and judging it.

        Memory does not grow with the document. The request's permit is released when the bytes have
        arrived, before the caller stores them. CREDENTIAL that is not `unsent` concerns the
        document alone: the source accepts the token for the case itself.

        Args:
            case: the document's process.
            address: one of `ListedDocument.addresses`.
            expected_size: bytes, as listed, if they are.
            spool_directory: an existing folder on a disk with room; used beyond 8 MiB.
            listed_type: the media type, as listed, if it is.

        Raises:
            OSError: the disk is full, or the spool could not be written.
        """
        try:
            checked = CaseAddresses(case, self._exchange.origin).from_path(address)
        except UnusableAddress as error:
            return Refused(error.reason, final=True)
        request = _DocumentRequest(checked.path, expected_size, listed_type, spool_directory)
        return await self._authorizer.send(case, partial(self._download, request))

    async def probe(self, case: CaseNumber, *, urgent: bool = False) -> Refused | None:
        """Send the cheapest request; return None if source and credential work, else the refusal.

        Args:
            case: a process of the court that is probed.
            urgent: probe although the court's breaker is open, or the token is refused.
        """
        found = await self._search(case, urgent=urgent)
        if isinstance(found, Answer) or found.reason in (Reason.NOT_FOUND, Reason.NO_ACCESS):
            return None
        return found

    async def _with_documents_of_movements(self, listed: ListedProcess) -> ListedProcess:
        """Add from a search which document a movement brought in (docs/source.md#movements).

        If the search is refused, the movements stay as they are until the next reading.
        """
        if not listed.movements or any(each.document_id for each in listed.movements):
            return listed
        found = await self._search(listed.number)
        if isinstance(found, Refused):
            return listed
        searched = await asyncio.to_thread(parse_movements, listed.number, found.payload)
        return replace(listed, movements=merge_movements([listed.movements, searched]))

    async def _confirm(self, case: CaseNumber, detail: Refused) -> Refused:
        """Find out with a search whether a refused case is unknown or broken."""
        found = await self._search(case)
        if isinstance(found, Refused):
            return found
        if not is_listed(case, found.payload):
            # Hits of other numbers show nothing about this one (docs/source.md#searches).
            return Refused(Reason.NOT_FOUND)
        broken = detail.reason is Reason.DOCUMENT_ERROR
        return Refused(Reason.DOCUMENT_ERROR if broken else Reason.UNREADABLE_LISTING)

    async def _search(self, case: CaseNumber, *, urgent: bool = False) -> Answer | Refused:
        return await self._authorizer.send(
            case,
            partial(self._search_with, urgent=urgent),
            if_accepted=_CLOSED,
            urgent=urgent,
            is_search=True,
        )

    async def _search_with(self, use: TokenUse, *, urgent: bool = False) -> Answer | Refused:
        path = f"/api/v2/processos?numeroProcesso={use.case.masked}"
        return await self._json(path, use, urgent=urgent, is_search=True)

    async def _json(
        self, path: str, use: TokenUse, *, urgent: bool = False, is_search: bool = False
    ) -> Answer | Refused:
        try:
            async with self._courts.turn(use.case.court, urgent=urgent) as turn:
                found = turn.ended(await self._receive_json(path, use, turn))
        except NotSent as rejected:
            return rejected.refused
        if isinstance(found, Answer) or (is_search and accepts_token(found)):
            await self._authorizer.accepted(use)
        return found

    async def _download(self, request: _DocumentRequest, use: TokenUse) -> Downloaded | Refused:
        with ExitStack() as on_refusal:
            spool = on_refusal.enter_context(Spool(request.spool_directory, quota=self._quota))
            try:
                async with self._courts.turn(use.case.court) as turn:
                    outcome = turn.ended(await self._receive_file(request, use, spool, turn))
            except NotSent as rejected:
                return rejected.refused
            if isinstance(outcome, Downloaded):
                await self._authorizer.accepted(use)
                on_refusal.pop_all()
            return outcome

    async def _receive_json(self, path: str, use: TokenUse, turn: Turn) -> Answer | Refused:
        body = bytearray()
        use.sent_at = asyncio.get_running_loop().time()
        try:
            async with self._exchange.get(
                path, use.token, self._listing_headers, self._listing_idle
            ) as reply:
                if reply.status != 200:
                    head = await reply.head(HEAD_BYTES)
                    return _as_own(reply, judge_listing(reply.status, reply.headers, head))
                async with aclosing(reply.chunks()) as chunks:
                    async for chunk in chunks:
                        turn.data_received()
                        body += chunk
                        if len(body) > LISTING_BYTES:
                            return Refused(Reason.TOO_LARGE, final=True)
        except NoReply as no_reply:
            return no_reply.refused
        if len(body) < _PARSED_ASIDE_BYTES:
            return judge_listing(reply.status, reply.headers, bytes(body))
        return await asyncio.to_thread(judge_listing, reply.status, reply.headers, bytes(body))

    async def _receive_file(
        self, request: _DocumentRequest, use: TokenUse, spool: Spool, turn: Turn
    ) -> Downloaded | Refused:
        digest = hashlib.sha256()
        head = tail = b""
        use.sent_at = asyncio.get_running_loop().time()
        try:
            async with self._exchange.get(
                request.path, use.token, self._document_headers, self._document_idle
            ) as reply:
                if reply.status != 200:
                    head = await reply.head(HEAD_BYTES)
                elif reply.declared_length > self._max_bytes:
                    return Refused(Reason.TOO_LARGE, final=True)
                else:
                    await spool.reserve(reply.declared_length)
                    async with aclosing(reply.chunks()) as chunks:
                        async for chunk in chunks:
                            turn.data_received()
                            if spool.size + len(chunk) > self._max_bytes:
                                return Refused(Reason.TOO_LARGE, final=True)
                            head += chunk[: HEAD_BYTES - len(head)]
                            tail = (tail + chunk[-TAIL_BYTES:])[-TAIL_BYTES:]
                            digest.update(chunk)
                            await spool.write(chunk)
        except NoReply as no_reply:
            return no_reply.refused
        judged = judge(
            reply.status,
            reply.headers,
            first_bytes=head,
            last_bytes=tail,
            length=spool.size,
            expected_size=request.expected_size,
            listed_type=request.listed_type,
        )
        if isinstance(judged, Available):
            return Downloaded(spool, spool.size, digest.hexdigest(), judged.content_type)
        if judged.reason is Reason.SIZE_MISMATCH:
            kind = content_type(head, reply.headers.get("content-type"), request.listed_type)
            return Downloaded(spool, spool.size, digest.hexdigest(), kind, size_differs=True)
        return _as_own(reply, judged)


def _as_own(reply: Reply, judged: Outcome | Refused) -> Outcome | Refused:
    """Turn a refusal by another host into ERROR_BODY: it does not concern credential or case."""
    if reply.from_other_host and 400 <= reply.status < 500 and reply.status not in (408, 429):
        return Refused(Reason.ERROR_BODY)
    return judged
