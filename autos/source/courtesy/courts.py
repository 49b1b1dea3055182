"""Everything a request to the source has to pass before it is sent: `Courts.turn`.

Courts do not block each other: each has a limit under the bound of all courts, a line in front of
it, and a breaker. A tenth of the bound is out of one court's reach, so a court whose requests hang
leaves the others a way. When a court has been silent for `SILENCE_SECONDS`, requests in its line
are rejected unsent: a worker has few places, and other courts need them.

All of this is known to one worker process only. Several workers do not keep the tenth together, and
with a bound below ten there is none.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeVar

import structlog

from autos import stall_watch
from autos.source.courtesy.breaker import OVERLOAD, Breaker
from autos.source.courtesy.limits import AdaptiveLimit, Limiter
from autos.source.replies.judge import Refused

log = structlog.get_logger(__name__)

SILENCE_SECONDS: Final = 20.0

Outcome = TypeVar("Outcome")


class NotSent(Exception):
    """The request was rejected before it was sent; `refused` says why and for how long."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.reason.text)
        self.refused = refused


class CourtObserver(Protocol):
    """Receives the changes of courts (for metrics)."""

    def court_changed(self, court: str, limit: int, is_open: bool) -> None:
        """A request of this court ended: its limit now, and whether its breaker is open."""
        ...

    def held_back(self, court: str) -> None:
        """A request was not sent."""
        ...


class Courts:
    """Gives requests their turn. One per process.

    Args:
        limiter: the bound and the pace over all courts.
        most: the bound, from which a court's largest share follows.
        unit: seconds of a retry unit.
        silence: seconds; see the module.
    """

    def __init__(
        self,
        limiter: Limiter,
        most: int,
        unit: float,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._limiter = limiter
        self._share = most - most // 10
        self._unit = unit
        self._silence = silence
        self._courts: dict[str, _Court] = {}
        self.observer: CourtObserver | None = None

    @asynccontextmanager
    async def turn(self, name: str, *, urgent: bool = False) -> AsyncIterator["Turn"]:
        """Send exactly one request in the block, and report its outcome by `Turn.ended`.

        What a request passes, in this order:

        1. the rate of the task queue, and a place for activities in a worker (`worker.main`);
        2. a slot of its job (`activities`);
        3. the breaker of its court;
        4. the line of its court;
        5. the adaptive limit of its court;
        6. a permit: one bound over all workers (`autos.records.permits`);
        7. the pace of this process;
        8. a connection of the HTTP client's pool (`autos.source.http_exchange.open_http`).

        This method is 3 to 7. The trial of an open breaker does not stand in line.

        Args:
            name: the court.
            urgent: there is reason to believe that the court works again; the request is sent as a
                trial although its breaker is open.

        Raises:
            NotSent: by the breaker, or because the court is silent.
        """
        court = self._courts.get(name)
        if court is None:
            court = self._courts[name] = _Court(self._share, self._unit, self._silence)
        try:
            is_trial = court.pass_breaker(urgent=urgent)
            if not is_trial:
                with stall_watch.queued():
                    await court.pass_line()
        except NotSent:
            if self.observer is not None:
                self.observer.held_back(name)
            raise
        turn = Turn(court, is_trial=is_trial)
        try:
            async with self._limiter.slot():
                court.request_begins()
                try:
                    yield turn
                finally:
                    court.request_ends()
        finally:
            if is_trial and not turn.has_ended:
                court.breaker.abandon_trial()
            if not is_trial:
                court.in_flight -= 1
            court.move_line()
        if turn.has_ended:
            self._report(name, court, was_open=turn.was_open)

    def _report(self, name: str, court: "_Court", *, was_open: bool) -> None:
        limit, reason = court.limit.value, court.breaker.reason
        if was_open and reason is None:
            log.info("source_breaker_closed", court=name, limit=limit)
        elif reason is not None and not was_open:
            log.warning(
                "source_breaker_opened",
                court=name,
                reason=reason.value,
                seconds=round(court.breaker.seconds_left, 1),
                limit=limit,
            )
        if self.observer is not None:
            self.observer.court_changed(name, limit, reason is not None)


class Turn:
    """The right to send one request now."""

    def __init__(self, court: "_Court", *, is_trial: bool) -> None:
        self._court = court
        self._is_trial = is_trial
        self._round = court.limit.round
        self.has_ended = False
        self.was_open = False
        """Whether the breaker was open just before this request ended."""

    def heard(self) -> None:
        """Something came from the court: to be called for each piece of a large document."""
        stall_watch.progressed()
        self._court.heard()

    def ended(self, outcome: Outcome | Refused) -> Outcome | Refused:
        """Record how the request ended; returns the outcome. Not called when it was cancelled."""
        court = self._court
        self.has_ended, self.was_open = True, court.breaker.reason is not None
        refused = outcome if isinstance(outcome, Refused) else None
        if refused is None:
            court.limit.succeeded()
        elif refused.reason in OVERLOAD:
            court.limit.overloaded(self._round)
        court.breaker.record(refused, trial=self._is_trial)
        return outcome


def _now() -> float:
    return asyncio.get_running_loop().time()


def _jitter() -> float:
    return random.uniform(0.8, 1.2)  # noqa: S311 - no secret


class _Court:
    """One court's limit, breaker and line."""

    def __init__(self, most: int, unit: float, silence: float) -> None:
        self.limit = AdaptiveLimit(most)
        self.breaker = Breaker(_now, _jitter, unit)
        self.in_flight = 0
        self._silence = silence
        self._requests = 0
        self._heard_at = 0.0
        self._line: deque[asyncio.Future[None]] = deque()

    def pass_breaker(self, *, urgent: bool) -> bool:
        """True if the request is a trial; raises NotSent."""
        if refused := self.breaker.reject(urgent=urgent):
            raise NotSent(refused)
        return self.breaker.reason is not None

    async def pass_line(self) -> None:
        """Wait for a place in flight and take it; raises NotSent if the court fails meanwhile."""
        if not self._line and self.in_flight < self.limit.value:
            self.in_flight += 1
            return
        self._reject_if_silent()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            while not place.done():
                await asyncio.wait([place], timeout=self._silence)
                if not place.done():
                    self._reject_if_silent()
        except BaseException:
            if place.done() and not place.cancelled():
                # The place and the cancellation came in the same moment.
                self.in_flight -= 1
                self.move_line()
            place.cancel()
            raise
        if self.breaker.reason is not None:
            self.in_flight -= 1
            raise NotSent(self.breaker.refusal(self.breaker.seconds_left))

    def move_line(self) -> None:
        """Give free places to the line; an open breaker empties the line, and rejects each."""
        while self._line and (self.in_flight < self.limit.value or self.breaker.reason is not None):
            place = self._line.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)

    def request_begins(self) -> None:
        """A request is sent."""
        if not self._requests:
            self.heard()
        self._requests += 1

    def request_ends(self) -> None:
        """A request is over, even if nothing came: the line moves, which is a sign of life."""
        self._requests -= 1
        self.heard()

    def heard(self) -> None:
        """The court is not silent."""
        self._heard_at = _now()

    def _reject_if_silent(self) -> None:
        if self._requests > 0 and _now() - self._heard_at >= self._silence:
            raise NotSent(self.breaker.refusal(self._silence))
