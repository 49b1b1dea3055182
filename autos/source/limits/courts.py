"""The limits that each request to the source passes before it is sent (`Courts.turn`).

Courts do not block each other: each has a concurrency limit, a queue and a breaker. One court may
use at most nine tenths of the bound over all courts, so a court whose requests hang leaves capacity
for the others. When a court has sent nothing for `SILENCE_SECONDS`, queued requests to it are
rejected unsent, because a worker's slots are few and other courts need them.

These limits apply within one worker process. They do not reserve a tenth over several workers, nor
any capacity if the bound is below ten.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeVar

import structlog

from autos import stall_watch
from autos.source.limits.breaker import OVERLOAD, Breaker
from autos.source.limits.limiter import AdaptiveLimit, Limiter
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
    """Is notified of changes of courts' limits and breakers (for metrics)."""

    def court_changed(self, court: str, limit: int, is_open: bool) -> None:
        """A request of this court ended: its limit now, and whether its breaker is open."""
        ...

    def request_rejected(self, court: str) -> None:
        """A request was not sent."""
        ...


class Courts:
    """Schedules requests by court. One per OS process.

    Args:
        limiter: the bound and the pace over all courts.
        most: the bound over all courts, from which a court's maximum follows.
        unit: seconds of a retry unit.
        silence: `SILENCE_SECONDS`, unless a test changes it.
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

        1. the rate limit of the task queue, and an activity slot of a worker (`worker.main`);
        2. a slot of its job (`activities`);
        3. the breaker of its court;
        4. the queue of its court;
        5. the adaptive limit of its court;
        6. a permit: the bound over all workers (`autos.records.permits`);
        7. the rate limit of this process;
        8. a connection of the HTTP client's pool (`autos.source.http_exchange.open_http`).

        This method covers 3 to 7. The trial request of an open breaker skips the queue.

        Args:
            name: the court.
            urgent: the court probably works again; send the request as a trial even if its breaker
                is open.

        Raises:
            NotSent: the breaker is open, or the court sends nothing.
        """
        court = self._courts.get(name)
        if court is None:
            court = self._courts[name] = _Court(self._share, self._unit, self._silence)
        try:
            is_trial = court.pass_breaker(urgent=urgent)
            if not is_trial:
                with stall_watch.queued():
                    await court.pass_queue()
        except NotSent:
            if self.observer is not None:
                self.observer.request_rejected(name)
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
            court.advance_queue()
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

    def data_received(self) -> None:
        """Record received bytes; call it for each piece of a large document."""
        stall_watch.progressed()
        self._court.data_received()

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
    """One court's limit, breaker and queue."""

    def __init__(self, most: int, unit: float, silence: float) -> None:
        self.limit = AdaptiveLimit(most)
        self.breaker = Breaker(_now, _jitter, unit)
        self.in_flight = 0
        self._silence = silence
        self._requests = 0
        self._heard_at = 0.0
        self._queue: deque[asyncio.Future[None]] = deque()

    def pass_breaker(self, *, urgent: bool) -> bool:
        """True if the request is a trial; raises NotSent."""
        if refused := self.breaker.reject(urgent=urgent):
            raise NotSent(refused)
        return self.breaker.reason is not None

    async def pass_queue(self) -> None:
        """Wait in the queue for a place in flight; raises NotSent if the court fails meanwhile."""
        if not self._queue and self.in_flight < self.limit.value:
            self.in_flight += 1
            return
        self._reject_if_silent()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            while not place.done():
                await asyncio.wait([place], timeout=self._silence)
                if not place.done():
                    self._reject_if_silent()
        except BaseException:
            if place.done() and not place.cancelled():
                # The place was granted before the cancellation arrived.
                self.in_flight -= 1
                self.advance_queue()
            place.cancel()
            raise
        if self.breaker.reason is not None:
            self.in_flight -= 1
            raise NotSent(self.breaker.refusal(self.breaker.seconds_left))

    def advance_queue(self) -> None:
        """Give free places to queued requests; an open breaker rejects all of them."""
        while self._queue and (
            self.in_flight < self.limit.value or self.breaker.reason is not None
        ):
            place = self._queue.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)

    def request_begins(self) -> None:
        """Record the start of a request."""
        if not self._requests:
            self.data_received()
        self._requests += 1

    def request_ends(self) -> None:
        """Record the end of a request. Even without a reply it restarts the silence timer, as the
        queue moves."""
        self._requests -= 1
        self.data_received()

    def data_received(self) -> None:
        """Restart the silence timer."""
        self._heard_at = _now()

    def _reject_if_silent(self) -> None:
        if self._requests > 0 and _now() - self._heard_at >= self._silence:
            raise NotSent(self.breaker.refusal(self._silence))
