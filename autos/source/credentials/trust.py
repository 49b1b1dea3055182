"""Whether a refusal means the token or only what was asked for.

A document that answers 401 says nothing of the token yet: some documents, and some cases, answer so
to a token that works for all others. So the token is asked about by itself: with the search of that
case, the cheapest question that carries it, and where the search refuses too, with the search of
the case that it worked for last. Only when these refuse, the token is refused.

An answer settles the doubt of every request of that court that was sent before it. Not promised:
that a source which changes its mind at that very moment is not misread once; requests are repeated.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from autos.cnj import CaseNumber
from autos.contracts.states import Reason
from autos.source.credentials.provider import Credentials
from autos.source.replies.judge import Answer, Refused

_TAKEN: Final = frozenset({Reason.NOT_FOUND, Reason.NO_ACCESS})
"""Refusals by which the source shows that it knows who asks."""


class TokenCheck(Enum):
    """What is known of a token."""

    TAKEN = auto()
    REFUSED = auto()
    UNKNOWN = auto()
    """The source could not be asked."""


@dataclass(slots=True)
class Asking:
    """One request: the token it carries, and when it was sent, by the event loop's clock."""

    token: str
    sent_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Settled:
    token: str
    at: float
    verdict: TokenCheck


def shows_trust(found: Answer | Refused) -> bool:
    """Whether the answer to a search shows that the source takes the token it carried."""
    return isinstance(found, Answer) or (found.final and found.reason in _TAKEN)


Search = Callable[[CaseNumber, Asking], Awaitable[Answer | Refused]]


class Trust:
    """What this process knows of the token in use.

    Args:
        credentials: are told when the token works.
        search: asks the source for a number, with the token given, and notes when it was sent.
    """

    def __init__(self, credentials: Credentials, search: Search) -> None:
        self._credentials = credentials
        self._search = search
        self._token = ""
        self._worked_at = 0.0
        self._witness: CaseNumber | None = None
        self._settled: dict[str, _Settled] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def worked(self, asking: Asking, number: CaseNumber) -> None:
        """The source gave what was asked for."""
        if asking.token != self._token:
            self._token, self._worked_at = asking.token, 0.0
        self._worked_at = max(self._worked_at, asking.sent_at)
        self._witness = number
        await self._credentials.accepted(asking.token)

    async def verdict(
        self, asking: Asking, number: CaseNumber, *, searched: bool = False
    ) -> TokenCheck:
        """Find out whether the source takes the token of a request that was refused.

        Args:
            asking: the request.
            number: the case it was about.
            searched: the request was itself the search of this case.
        """
        async with self._locks.setdefault(number.court, asyncio.Lock()):
            if asking.token == self._token and self._worked_at >= asking.sent_at:
                return TokenCheck.TAKEN
            settled = self._settled.get(number.court)
            if settled is None or settled.token != asking.token or settled.at < asking.sent_at:
                began = asyncio.get_running_loop().time()
                verdict = await self._find_out(asking.token, number, searched)
                settled = self._settled[number.court] = _Settled(asking.token, began, verdict)
            return settled.verdict

    async def _find_out(self, token: str, number: CaseNumber, searched: bool) -> TokenCheck:
        numbers = [] if searched else [number]
        if self._witness not in (None, number):
            numbers.append(self._witness)
        for case in numbers:
            asking = Asking(token)
            found = await self._search(case, asking)
            if shows_trust(found):
                await self.worked(asking, case)
                return TokenCheck.TAKEN
            if isinstance(found, Answer) or found.unsent or found.reason is not Reason.CREDENTIAL:
                return TokenCheck.UNKNOWN
        return TokenCheck.REFUSED
