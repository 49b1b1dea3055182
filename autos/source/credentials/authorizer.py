"""Sends requests with the token in use, and finds out what a refusal of one means.

A 401 for a document does not prove that the token is refused: some documents and cases answer 401
to a token that works for all others (docs/source.md#refusals). So the token is checked separately:
by a search of that case, the cheapest request with a token, and if that is refused too, by a search
of the case for which the token worked last. The token counts as refused only when both are refused.

One check decides for every request of that court that was sent before it. If the source's answer
changes during a check, one request may be misjudged; requests are retried.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, TypeVar

from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason
from autos.source.credentials.provider import CredentialRefused, Credentials
from autos.source.replies.judge import Answer, Refused

NO_CREDENTIAL: Final = Refused(Reason.CREDENTIAL, unsent=True)
"""A refused token is no evidence about the document or case, so this is not an attempt."""

_KNOWN_USER: Final = frozenset({Reason.NOT_FOUND, Reason.NO_ACCESS})
"""Final refusals of a search that prove that the source accepts the token."""

Outcome = TypeVar("Outcome")


class TokenCheck(Enum):
    """The result of a token check."""

    ACCEPTED = auto()
    REFUSED = auto()
    UNKNOWN = auto()
    """The source could not be reached."""


@dataclass(slots=True)
class TokenUse:
    """One request about a case with a token.

    The request sets `sent_at`, by the event loop's clock.
    """

    token: str
    case: CaseNumber
    sent_at: float = 0.0


Send = Callable[[TokenUse], Awaitable[Outcome | Refused]]
"""Makes exactly one request with the token."""
Search = Callable[[TokenUse], Awaitable[Answer | Refused]]


def accepts_token(found: Answer | Refused) -> bool:
    """Whether the reply to a search shows that the source accepts the token."""
    return isinstance(found, Answer) or (found.final and found.reason in _KNOWN_USER)


class Authorizer:
    """Sends requests with the token in use, and remembers the results of token checks.

    Args:
        credentials: provides tokens, and records whether the source accepts them.
        search: searches for the case with the token, and calls `accepted`.
    """

    def __init__(self, credentials: Credentials, search: Search) -> None:
        self._credentials = credentials
        self._search = search
        self._last_success: TokenUse | None = None
        self._worked_for: CaseNumber | None = None
        self._checks: dict[str, tuple[TokenUse, TokenCheck]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def send(
        self,
        case: CaseNumber,
        request: Send[Outcome],
        *,
        if_accepted: Refused | None = None,
        urgent: bool = False,
        is_search: bool = False,
    ) -> Outcome | Refused:
        """Send a request with the token, and again with the next token if the first is refused.

        Args:
            case: what the request is about.
            request: makes exactly one request.
            if_accepted: the meaning of a refusal when the token itself is accepted; None keeps the
                source's reason.
            urgent: the source probably accepts a refused token again.
            is_search: the request is the search of this case.
        """
        for _ in range(2):
            try:
                use = TokenUse(await self._credentials.token(), case)
            except CredentialRefused:
                return NO_CREDENTIAL
            if self._credentials.is_refused(use.token):
                if not self._credentials.claim_probe(urgent=urgent):
                    return NO_CREDENTIAL
                if not is_search and not await self._is_accepted_again(use):
                    return NO_CREDENTIAL
            outcome = await request(use)
            if not isinstance(outcome, Refused) or outcome.unsent:
                return outcome
            if outcome.reason is not Reason.CREDENTIAL:
                return outcome
            match await self._check(use, is_search=is_search):
                case TokenCheck.ACCEPTED:
                    return if_accepted or outcome
                case TokenCheck.UNKNOWN:
                    return outcome
                case TokenCheck.REFUSED:
                    if not await self._credentials.refused(use.token):
                        break
        return NO_CREDENTIAL

    async def accepted(self, use: TokenUse) -> None:
        """Record that the source accepted the token."""
        last = self._last_success
        if last is None or use.token != last.token or use.sent_at > last.sent_at:
            self._last_success = use
        self._worked_for = use.case
        await self._credentials.accepted(use.token)

    async def _is_accepted_again(self, use: TokenUse) -> bool:
        now = replace(use, sent_at=asyncio.get_running_loop().time())
        return await self._check(now) is TokenCheck.ACCEPTED

    async def _check(self, use: TokenUse, *, is_search: bool = False) -> TokenCheck:
        """Find out whether the source accepts the token of a request that was refused."""
        court = use.case.court
        async with self._locks.setdefault(court, asyncio.Lock()):
            if _settles(self._last_success, use):
                return TokenCheck.ACCEPTED
            last, result = self._checks.get(court, (None, TokenCheck.UNKNOWN))
            if not _settles(last, use):
                last = replace(use, sent_at=asyncio.get_running_loop().time())
                result = await self._probe(use, is_search=is_search)
                self._checks[court] = last, result
            return result

    async def _probe(self, use: TokenUse, *, is_search: bool) -> TokenCheck:
        cases = [] if is_search else [use.case]
        if self._worked_for not in (None, use.case):
            cases.append(self._worked_for)
        for case in cases:
            found = await self._search(TokenUse(use.token, case))
            if accepts_token(found):
                return TokenCheck.ACCEPTED
            if isinstance(found, Answer) or found.unsent or found.reason is not Reason.CREDENTIAL:
                return TokenCheck.UNKNOWN
        return TokenCheck.REFUSED


def _settles(later: TokenUse | None, use: TokenUse) -> bool:
    """Whether what one use of the token showed holds for another, which was sent before it."""
    return later is not None and later.token == use.token and later.sent_at >= use.sent_at
