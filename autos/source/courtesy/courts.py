"""Between the client and the limiter: courts do not block each other.

Each court has a limit of its own under the bound of all (`AdaptiveLimit`), a line in front of it,
and a breaker. A tenth of the bound is out of one court's reach, so that a court whose requests hang
leaves the others a way. Who stands in line of a court that has been silent for `SILENCE_SECONDS`
is sent away, unsent: a worker has only so many places, and others need them.

A request passes, in this order: the breaker of its court, the court's line and limit, a permit (one
bound over all workers, `autos.records.permits`), the pace (`autos.source.courtesy.permits`), a
connection of the pool. What comes before is not the source's: the token
(`autos.source.credentials`), and the places of a job and of the worker's queue.

All of it is one process's knowledge. Not promised: that several workers keep the tenth together,
nor that it exists where the bound is below ten.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import structlog

from autos import stall_watch
from autos.source.courtesy.adaptive_limit import AdaptiveLimit
from autos.source.courtesy.breaker import OVERLOAD, Breaker
from autos.source.courtesy.permits import Limiter
from autos.source.replies.judge import Refused

log = structlog.get_logger(__name__)

SILENCE_SECONDS: Final = 20.0

Outcome = TypeVar("Outcome")
Heard = Callable[[], None]
"""To be called with every sign of life, so that a large document does not pass for silence."""


class CourtObserver(Protocol):
    """Is told when something about a court changes (metrics)."""

    def court_changed(self, court: str, limit: int, is_open: bool) -> None:
        """The limit, or the breaker, is now this."""
        ...

    def held_back(self, court: str) -> None:
        """A request was not sent."""
        ...


class Courts:
    """Sends requests when their court's turn is, or holds them back. One per process.

    Args:
        limiter: the bound and the pace over all courts.
        most: the bound, from which a court's largest share follows.
        unit: seconds of a retry unit.
        clock: seconds; the event loop's unless a test gives its own.
        silence: seconds; see the module.
    """

    def __init__(
        self,
        limiter: Limiter,
        most: int,
        unit: float,
        clock: Callable[[], float] | None = None,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._limiter = limiter
        self._share = most - most // 10
        self._unit = unit
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._silence = silence
        self._courts: dict[str, _Court] = {}
        self.observer: CourtObserver | None = None

    async def ask(
        self,
        name: str,
        request: Callable[[Heard], Awaitable[Outcome | Refused]],
        *,
        urgent: bool = False,
    ) -> Outcome | Refused:
        """Make the request when it is its turn and learn from the outcome.

        Args:
            name: the court.
            request: makes exactly one request.
            urgent: somebody has reason to believe that it works again; an open breaker lets it
                through as a trial.
        """
        court = self._courts.get(name)
        if court is None:
            court = self._courts[name] = _Court(self._share, self._unit, self._clock, self._silence)
        refused = court.breaker.hold_back(urgent=urgent)
        trial = refused is None and court.breaker.reason is not None
        if refused is None and not trial:
            with stall_watch.queued():
                refused = await court.wait_in_line()
        if refused is not None:
            if self.observer is not None:
                self.observer.held_back(name)
            return refused
        round_ = court.limit.round
        try:
            async with self._limiter.slot(name):
                court.request_begins()
                try:
                    outcome = await request(court.heard)
                finally:
                    court.request_ends()
            was_open = court.breaker.reason is not None
            court.learn(outcome, round_, trial=trial)
        except BaseException:
            if trial:
                court.breaker.trial_ended_without_answer()
            raise
        finally:
            if not trial:
                court.in_flight -= 1
            court.authenticate()
        self._tell(name, court, was_open)
        return outcome

    def _tell(self, name: str, court: "_Court", was_open: bool) -> None:
        limit, reason = court.limit.value, court.breaker.reason
        if was_open != (reason is not None):
            if reason is None:
                log.info("source_breaker_closed", court=name, limit=limit)
            else:
                seconds = round(court.breaker.seconds_left, 1)
                log.warning(
                    "source_breaker_opened",
                    court=name,
                    reason=reason.value,
                    seconds=seconds,
                    limit=limit,
                )
        if self.observer is not None:
            self.observer.court_changed(name, limit, reason is not None)


def _jitter() -> float:
    return random.uniform(0.8, 1.2)  # noqa: S311 - no secret


class _Court:
    """One court's limit, breaker and line."""

    def __init__(self, most: int, unit: float, clock: Callable[[], float], silence: float) -> None:
        self.limit = AdaptiveLimit(most)
        self.breaker = Breaker(clock, _jitter, unit)
        self.in_flight = 0
        self._clock = clock
        self._silence = silence
        self._requests = 0
        self._heard_at = 0.0
        self._line: deque[asyncio.Future[None]] = deque()

    async def wait_in_line(self) -> Refused | None:
        """Wait for a place in flight and take it; a refusal if the court went out of order."""
        if not self._line and self.in_flight < self.limit.value:
            self.in_flight += 1
            return None
        if self._is_silent():
            return self.breaker.refusal(self._silence)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            while not turn.done():
                await asyncio.wait([turn], timeout=self._silence)
                if not turn.done() and self._is_silent():
                    turn.cancel()
                    return self.breaker.refusal(self._silence)
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The turn and the cancellation came in the same moment.
                self.in_flight -= 1
                self.authenticate()
            turn.cancel()
            raise
        if self.breaker.reason is None:
            return None
        self.in_flight -= 1
        return self.breaker.refusal(self.breaker.seconds_left)

    def authenticate(self) -> None:
        """Give free places to those in line; all of them may go when there is nothing to wait for.

        Whoever comes out finds the breaker open and is held back.
        """
        while self._line and (self.in_flight < self.limit.value or self.breaker.reason is not None):
            turn = self._line.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)

    def learn(self, outcome: object, round_: int, *, trial: bool) -> None:
        """Take in how a request ended that began in the given round."""
        refused = outcome if isinstance(outcome, Refused) else None
        if refused is None:
            self.limit.succeeded()
        elif refused.reason in OVERLOAD:
            self.limit.overloaded(round_)
        self.breaker.learn(refused, trial=trial)

    def request_begins(self) -> None:
        """A request is sent."""
        if not self._requests:
            self._heard_at = self._clock()
        self._requests += 1

    def request_ends(self) -> None:
        """A request is over, and the line moves, even where nothing came."""
        self._requests -= 1
        self._heard_at = self._clock()

    def heard(self) -> None:
        """Something came from the court."""
        stall_watch.progressed()
        self._heard_at = self._clock()

    def _is_silent(self) -> bool:
        return self._requests > 0 and self._clock() - self._heard_at >= self._silence
