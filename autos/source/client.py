"""The client of PDPJ: a process's listing, a document's bytes, and whether the source works.

It asks once and says what came of it; when to ask again is the workflow's business. Two refusals
are looked into at once: one of the token, which may be refreshed or mean the document alone, and
one of a process's detail, which may be broken or unknown.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx2

from autos.cnj import CaseNumber
from autos.contracts.states import Reason
from autos.settings import Settings
from autos.source.courtesy.courts import CourtObserver, Courts, Heard
from autos.source.courtesy.permits import Limiter
from autos.source.credentials.provider import CredentialRefused, Credentials
from autos.source.credentials.trust import Asking, TokenCheck, Trust, shows_trust
from autos.source.exchange import WINDOW_SECONDS, Exchange, Reply, Unanswered
from autos.source.listing.addresses import UnusableAddress, read_path
from autos.source.listing.models import ListedProcess
from autos.source.listing.movements import merge_movements
from autos.source.listing.parse import UnreadableListing, lists, parse_movements, parse_process
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
"""No listing is larger: some 100,000 documents. Beyond it the reply is not read on."""
_PARSED_ASIDE_BYTES: Final = 512 * 1024
"""From this size on a listing is parsed in a thread, so that the event loop goes on."""
_NO_CREDENTIAL: Final = Refused(Reason.CREDENTIAL, unsent=True)
"""It says nothing of what was asked for, so it must not count as an attempt."""
_CLOSED: Final = Refused(Reason.NO_ACCESS)
"""A listing that is refused although the source takes the token."""

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


class SourceClient:
    """Asks PDPJ. One per process; `http`, `credentials` and `limiter` are shared and not closed.

    Args:
        settings: where the source is, and how patient to be with it.
        http: see `open_http`.
        credentials: where tokens come from.
        limiter: the bound and the pace over all courts.
        window: seconds that a body may come too slowly (`AUTOS_SOURCE_MIN_BYTES_PER_MINUTE`).
    """

    def __init__(
        self,
        settings: Settings,
        http: httpx2.AsyncClient,
        credentials: Credentials,
        limiter: Limiter,
        window: float = WINDOW_SECONDS,
    ) -> None:
        self._exchange = Exchange(settings, http, window)
        self._credentials = credentials
        self._trust = Trust(credentials, self._ask_search)
        self._courts = Courts(limiter, settings.source_max_in_flight, settings.retry_unit_seconds)
        self._quota = Quota()
        self._largest = settings.source_max_document_bytes
        # The firewall wants a browser's headers.
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
        """Have changes of courts' limits and breakers told to somebody."""
        self._courts.observer = observer

    async def process(self, number: CaseNumber, *, urgent: bool = False) -> ListedProcess:
        """Read a process's metadata and the list of all its documents.

        Args:
            number: the process.
            urgent: asked although the court's breaker is open, as its trial.

        Raises:
            SourceRefused: with the reason. NOT_FOUND only after a search has confirmed it;
                NO_ACCESS also where the detail, and no more than it, refuses a token twice;
                DOCUMENT_ERROR and UNREADABLE_LISTING are trouble of this process alone.
        """
        detail = await self._detail(number, urgent)
        if detail == _CLOSED:
            # Once may be a moment's weakness of the gateway.
            detail = await self._detail(number, urgent)
        if isinstance(detail, Answer):
            try:
                listed = await asyncio.to_thread(
                    parse_process, number, detail.payload, self._exchange.origin
                )
                return await self._with_documents_of_movements(listed)
            except (UnreadableListing, RecursionError):
                detail = Refused(Reason.UNREADABLE_LISTING)
        elif detail.reason in (Reason.NOT_FOUND, Reason.DOCUMENT_ERROR):
            detail = await self._confirm(number, detail)
        final = detail.final or detail.reason is Reason.NO_ACCESS
        raise SourceRefused(detail.reason, final, detail.retry_after)

    async def document(
        self,
        address: str,
        expected_size: int | None,
        spool_directory: Path,
        listed_type: str | None = None,
    ) -> Downloaded | Refused:
        """Fetch one document's bytes into a spool, hashing and judging them.

        Memory does not grow with the document; a place in flight is held exactly while the
        request lasts, not while the caller stores the bytes. CREDENTIAL that is not `unsent` is
        the document's own: the source takes the token for the case itself.

        Args:
            address: one of `ListedDocument.addresses`.
            expected_size: bytes, as listed, if they are.
            spool_directory: an existing folder on a disk with room; used beyond 8 MiB.
            listed_type: the media type, as listed, if it is.

        Raises:
            OSError: the disk is full, or the spool could not be written.
        """
        try:
            checked = read_path(address)
        except UnusableAddress as error:
            return Refused(error.reason, final=True)
        number = checked.number

        async def fetch(asking: Asking) -> Downloaded | Refused:
            spool = Spool(spool_directory, quota=self._quota)

            async def receive(heard: Heard) -> Downloaded | Refused:
                return await self._receive(
                    checked.path, asking, spool, heard, expected_size, listed_type
                )

            try:
                outcome = await self._courts.ask(number.court, receive)
                if isinstance(outcome, Downloaded):
                    await self._trust.worked(asking, number)
            except BaseException:
                spool.close()
                raise
            if isinstance(outcome, Refused):
                spool.close()
            return outcome

        return await self._with_token(number, fetch)

    async def probe(self, number: CaseNumber, *, urgent: bool = False) -> Refused | None:
        """Ask the cheapest question there is: None if source and credential work now."""
        found = await self._search(number, urgent)
        if isinstance(found, Answer) or found.reason in (Reason.NOT_FOUND, Reason.NO_ACCESS):
            return None
        return found

    async def _with_documents_of_movements(self, listed: ListedProcess) -> ListedProcess:
        """The portal's detail does not say which document a movement brought in; its search does.

        A search that is refused leaves the movements as they are, until the next reading.
        """
        if not listed.movements or any(each.document_id for each in listed.movements):
            return listed
        found = await self._search(listed.number)
        if isinstance(found, Refused):
            return listed
        searched = await asyncio.to_thread(parse_movements, listed.number, found.payload)
        return replace(listed, movements=merge_movements([listed.movements, searched]))

    async def _confirm(self, number: CaseNumber, detail: Refused) -> Refused:
        """What a detail that was not had means: unknown numbers and broken cases look alike."""
        found = await self._search(number)
        if isinstance(found, Refused):
            return found
        if not lists(found.payload, number):
            # Hits of other numbers say nothing of this one.
            return Refused(Reason.NOT_FOUND)
        broken = detail.reason is Reason.DOCUMENT_ERROR
        return Refused(Reason.DOCUMENT_ERROR if broken else Reason.UNREADABLE_LISTING)

    async def _detail(self, number: CaseNumber, urgent: bool) -> Answer | Refused:
        async def ask(asking: Asking) -> Answer | Refused:
            path = f"/api/v2/processos/{number.masked}"
            found = await self._ask(path, number, asking, urgent)
            if isinstance(found, Answer):
                await self._trust.worked(asking, number)
            return found

        return await self._with_token(number, ask, refused_alone=_CLOSED, urgent=urgent)

    async def _search(self, number: CaseNumber, urgent: bool = False) -> Answer | Refused:
        async def ask(asking: Asking) -> Answer | Refused:
            found = await self._ask_search(number, asking, urgent)
            if shows_trust(found):
                await self._trust.worked(asking, number)
            return found

        return await self._with_token(
            number, ask, refused_alone=_CLOSED, urgent=urgent, searched=True
        )

    async def _ask_search(
        self, number: CaseNumber, asking: Asking, urgent: bool = False
    ) -> Answer | Refused:
        path = f"/api/v2/processos?numeroProcesso={number.masked}"
        return await self._ask(path, number, asking, urgent)

    async def _ask(
        self, path: str, number: CaseNumber, asking: Asking, urgent: bool
    ) -> Answer | Refused:
        return await self._courts.ask(
            number.court, lambda heard: self._read(path, asking, heard), urgent=urgent
        )

    async def _read(self, path: str, asking: Asking, heard: Heard) -> Answer | Refused:
        body = bytearray()
        asking.sent_at = asyncio.get_running_loop().time()
        try:
            async with self._exchange.get(
                path, asking.token, self._listing_headers, self._listing_idle
            ) as reply:
                if reply.status != 200:
                    head = await reply.head(HEAD_BYTES)
                    return _at_home(reply, judge_listing(reply.status, reply.headers, head))
                async with aclosing(reply.chunks()) as chunks:
                    async for chunk in chunks:
                        heard()
                        body += chunk
                        if len(body) > LISTING_BYTES:
                            return Refused(Reason.TOO_LARGE, final=True)
        except Unanswered as unanswered:
            return unanswered.refused
        if len(body) < _PARSED_ASIDE_BYTES:
            return judge_listing(reply.status, reply.headers, bytes(body))
        return await asyncio.to_thread(judge_listing, reply.status, reply.headers, bytes(body))

    async def _receive(
        self,
        path: str,
        asking: Asking,
        spool: Spool,
        heard: Heard,
        expected_size: int | None,
        listed_type: str | None,
    ) -> Downloaded | Refused:
        digest = hashlib.sha256()
        head = tail = b""
        asking.sent_at = asyncio.get_running_loop().time()
        try:
            async with self._exchange.get(
                path, asking.token, self._document_headers, self._document_idle
            ) as reply:
                if reply.status != 200:
                    head = await reply.head(HEAD_BYTES)
                elif reply.declared_length > self._largest:
                    return Refused(Reason.TOO_LARGE, final=True)
                else:
                    await spool.reserve(reply.declared_length)
                    async with aclosing(reply.chunks()) as chunks:
                        async for chunk in chunks:
                            heard()
                            if spool.size + len(chunk) > self._largest:
                                return Refused(Reason.TOO_LARGE, final=True)
                            head += chunk[: HEAD_BYTES - len(head)]
                            tail = (tail + chunk[-TAIL_BYTES:])[-TAIL_BYTES:]
                            digest.update(chunk)
                            await spool.write(chunk)
        except Unanswered as unanswered:
            return unanswered.refused
        verdict = judge(
            reply.status,
            reply.headers,
            first_bytes=head,
            last_bytes=tail,
            length=spool.size,
            expected_size=expected_size,
            listed_type=listed_type,
        )
        if isinstance(verdict, Available):
            return Downloaded(spool, spool.size, digest.hexdigest(), verdict.content_type)
        if verdict.reason is Reason.SIZE_MISMATCH:
            kind = content_type(head, reply.headers.get("content-type"), listed_type)
            return Downloaded(spool, spool.size, digest.hexdigest(), kind, size_differs=True)
        return _at_home(reply, verdict)

    async def _with_token(
        self,
        number: CaseNumber,
        ask: Callable[[Asking], Awaitable[Outcome | Refused]],
        *,
        refused_alone: Refused | None = None,
        urgent: bool = False,
        searched: bool = False,
    ) -> Outcome | Refused:
        """Ask with the token at hand, and once more if it is refused and there is another.

        Args:
            number: the case it is about.
            ask: makes exactly one request.
            refused_alone: what it means when this is refused and the token is not; None for what
                the source said.
            urgent: somebody has reason to believe that the source takes the token again.
            searched: the request is itself the search of this case.
        """
        for _ in range(2):
            try:
                asking = Asking(await self._credentials.token())
            except CredentialRefused:
                return _NO_CREDENTIAL
            if self._credentials.is_refused(asking.token):
                if not self._credentials.claim_look(urgent=urgent):
                    return _NO_CREDENTIAL
                if not searched and not await self._is_taken_again(asking.token, number):
                    return _NO_CREDENTIAL
            outcome = await ask(asking)
            if not isinstance(outcome, Refused) or outcome.unsent:
                return outcome
            if outcome.reason is not Reason.CREDENTIAL:
                return outcome
            match await self._trust.verdict(asking, number, searched=searched):
                case TokenCheck.TAKEN:
                    return refused_alone or outcome
                case TokenCheck.UNKNOWN:
                    return outcome
                case TokenCheck.REFUSED:
                    if not await self._credentials.refused(asking.token):
                        break
        return _NO_CREDENTIAL

    async def _is_taken_again(self, token: str, number: CaseNumber) -> bool:
        now = Asking(token, asyncio.get_running_loop().time())
        return await self._trust.verdict(now, number) is TokenCheck.TAKEN


def _at_home(reply: Reply, verdict: Outcome | Refused) -> Outcome | Refused:
    """The verdict on a reply; what another host refuses says nothing of credential and case."""
    if reply.elsewhere and 400 <= reply.status < 500 and reply.status not in (408, 429):
        return Refused(Reason.ERROR_BODY)
    return verdict
