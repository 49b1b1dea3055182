"""Sends requests with the token in use, and finds out what a refusal of one means.

A document that answers 401 shows nothing about the token yet: some documents, and some cases,
answer so to a token that works for all others (docs/source.md#refusals). So the token is checked by
itself: with the search of that case, the cheapest request that carries it, and if the search is
refused too, with the search of the case that the token worked for last. Only when these are
refused, the token is.

One check settles every request of that court that was sent before it. A source that changes its
mind during a check may be misread once; requests are retried.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeVar

from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason
from autos.source.credentials.provider import CredentialRefused, Credentials
from autos.source.replies.judge import Answer, Refused

NO_CREDENTIAL: Final = Refused(Reason.CREDENTIAL, unsent=True)
"""It says nothing about what was requested, so it does not count as an attempt."""

_KNOWN_USER: Final = frozenset({Reason.NOT_FOUND, Reason.NO_ACCESS})
"""Final refusals of a search by which the source shows that it takes the token."""

Outcome = TypeVar("Outcome")


class TokenCheck(Enum):
    """What a check of the token found."""

    ACCEPTED = auto()
    REFUSED = auto()
    UNKNOWN = auto()
    """The source could not be reached."""


@dataclass(slots=True)
class TokenUse:
    """One request's use of a token; the request sets `sent_at`, by the event loop's clock."""

    token: str
    sent_at: float = 0.0


Send = Callable[[TokenUse], Awaitable[Outcome | Refused]]
"""Makes exactly one request with the token."""
Search = Callable[[CaseNumber, TokenUse], Awaitable[Answer | Refused]]


def accepts_token(found: Answer | Refused) -> bool:
    """Whether the reply to a search shows that the source accepts the token."""
    return isinstance(found, Answer) or (found.final and found.reason in _KNOWN_USER)


class Authorizer:
    """What this process knows of the token in use.

    Args:
        credentials: hands out tokens, and is notified of what the source makes of them.
        search: searches for a case with the token given, and calls `accepted`.
    """

    def __init__(self, credentials: Credentials, search: Search) -> None:
        self._credentials = credentials
        self._search = search
        self._last_success = TokenUse("")
        self._worked_for: CaseNumber | None = None
        self._checks: dict[str, tuple[TokenUse, TokenCheck]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def send(
        self,
        number: CaseNumber,
        request: Send[Outcome],
        *,
        if_accepted: Refused | None = None,
        urgent: bool = False,
        is_search: bool = False,
    ) -> Outcome | Refused:
        """Send a request with the token, and again with the next token if the first is refused.

        Args:
            number: the case the request is about.
            request: makes exactly one request.
            if_accepted: what a refusal means when the token itself is accepted; None for what the
                source said.
            urgent: there is reason to believe that the source accepts a refused token again.
            is_search: the request is the search of this case.
        """
        for _ in range(2):
            try:
                use = TokenUse(await self._credentials.token())
            except CredentialRefused:
                return NO_CREDENTIAL
            if self._credentials.is_refused(use.token):
                if not self._credentials.claim_probe(urgent=urgent):
                    return NO_CREDENTIAL
                if not is_search and not await self._is_accepted_again(use.token, number):
                    return NO_CREDENTIAL
            outcome = await request(use)
            if not isinstance(outcome, Refused) or outcome.unsent:
                return outcome
            if outcome.reason is not Reason.CREDENTIAL:
                return outcome
            match await self._check(use, number, is_search=is_search):
                case TokenCheck.ACCEPTED:
                    return if_accepted or outcome
                case TokenCheck.UNKNOWN:
                    return outcome
                case TokenCheck.REFUSED:
                    if not await self._credentials.refused(use.token):
                        break
        return NO_CREDENTIAL

    async def accepted(self, use: TokenUse, number: CaseNumber) -> None:
        """Record that the source gave what was requested."""
        last = self._last_success
        if use.token != last.token or use.sent_at > last.sent_at:
            self._last_success = use
        self._worked_for = number
        await self._credentials.accepted(use.token)

    async def _is_accepted_again(self, token: str, number: CaseNumber) -> bool:
        now = TokenUse(token, asyncio.get_running_loop().time())
        return await self._check(now, number) is TokenCheck.ACCEPTED

    async def _check(
        self, use: TokenUse, number: CaseNumber, *, is_search: bool = False
    ) -> TokenCheck:
        """Find out whether the source accepts the token of a request that was refused."""
        async with self._locks.setdefault(number.court, asyncio.Lock()):
            if _settles(self._last_success, use):
                return TokenCheck.ACCEPTED
            last, result = self._checks.get(number.court, (TokenUse(""), TokenCheck.UNKNOWN))
            if not _settles(last, use):
                last = TokenUse(use.token, asyncio.get_running_loop().time())
                result = await self._probe(use.token, number, is_search=is_search)
                self._checks[number.court] = last, result
            return result

    async def _probe(self, token: str, number: CaseNumber, *, is_search: bool) -> TokenCheck:
        numbers = [] if is_search else [number]
        if self._worked_for not in (None, number):
            numbers.append(self._worked_for)
        for case in numbers:
            use = TokenUse(token)
            found = await self._search(case, use)
            if accepts_token(found):
                return TokenCheck.ACCEPTED
            if isinstance(found, Answer) or found.unsent or found.reason is not Reason.CREDENTIAL:
                return TokenCheck.UNKNOWN
        return TokenCheck.REFUSED


def _settles(later: TokenUse, use: TokenUse) -> bool:
    """Whether what one use of the token showed holds for another, which was sent before it."""
    return later.token == use.token and later.sent_at >= use.sent_at
