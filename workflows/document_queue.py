"""The documents of one job: which state each is in, which is asked for next and when again.

Plain data and no clock of its own, so it is tested without Temporal. It does not decide about
outages; the workflow tells it whether an attempt counts.
"""

import heapq
from collections import deque
from datetime import datetime, timedelta
from operator import itemgetter

from autos.contracts.download import (
    AVAILABLE,
    FAILED,
    PENDING,
    PROCESSING,
    Outcome,
    Retry,
    Wanted,
)
from autos.contracts.retries import retry_rule
from autos.contracts.states import Reason

_DUE = itemgetter(0, 1)
"""When a retry is due, and its position among those due at once."""


class DocumentQueue:
    """Every document by position, one character each, and the order of what is still to do."""

    def __init__(
        self, states: str, attempts: dict[int, int], retries: list[Retry], retry_unit: timedelta
    ) -> None:
        # What was in flight when a run ended is asked for again; a batch that did finish left its
        # documents in the records, where the activity finds them.
        self._states = bytearray(states.replace(PROCESSING, PENDING), "ascii")
        self._attempts = dict(attempts)
        self._later = [(retry.due, retry.position, retry) for retry in retries]
        heapq.heapify(self._later)
        waiting = {retry.position for retry in retries}
        self._ready = deque(
            position
            for position, state in enumerate(self._states)
            if state == ord(PENDING) and position not in waiting
        )
        self._retry_unit = retry_unit

    @property
    def states(self) -> str:
        """One character per document, by position."""
        return self._states.decode("ascii")

    @property
    def attempts(self) -> dict[int, int]:
        """Counted attempts of the documents that are tried and not done."""
        return dict(self._attempts)

    @property
    def retries(self) -> list[Retry]:
        """What is asked for again later, the soonest first."""
        return [retry for _, _, retry in sorted(self._later, key=_DUE)]

    @property
    def next_due(self) -> datetime | None:
        """When the next retry is due; None when none waits."""
        return self._later[0][0] if self._later else None

    @property
    def ready(self) -> int:
        """How many documents can be asked for at once."""
        return len(self._ready)

    def count(self, state: str) -> int:
        """How many documents are in the state with this character."""
        return self._states.count(ord(state))

    def make_due_ready(self, moment: datetime) -> None:
        """Put every retry whose time has come behind what is ready."""
        while self._later and self._later[0][0] <= moment:
            self._ready.append(heapq.heappop(self._later)[1])

    def make_all_ready(self) -> None:
        """Put every retry behind what is ready, whenever it was due."""
        self._ready.extend(position for _, position, _ in sorted(self._later, key=_DUE))
        self._later.clear()

    def retry_failed(self) -> None:
        """Put everything that has failed behind what is ready."""
        for position, state in enumerate(self._states):
            if state == ord(FAILED):
                self._states[position] = ord(PENDING)
                self._ready.append(position)

    def take(self, size: int) -> list[Wanted]:
        """The next documents, at most `size`, now `processing`."""
        taken: list[Wanted] = []
        while self._ready and len(taken) < size:
            position = self._ready.popleft()
            self._states[position] = ord(PROCESSING)
            taken.append(Wanted(position=position, attempt=self._attempts.get(position, 0) + 1))
        return taken

    def release(self, position: int) -> None:
        """Take a document out of `processing` while it is in doubt whether its attempt counts."""
        self._states[position] = ord(PENDING)

    def put_back(self, positions: list[int]) -> None:
        """Released documents come first again, with no attempt counted."""
        self._ready.extendleft(reversed(positions))

    def settle(self, outcome: Outcome, moment: datetime) -> None:
        """Take in what became of a document at the given moment."""
        position, reason = outcome.position, outcome.reason
        if reason is None:
            self._finish(position, AVAILABLE)
            return
        if outcome.unsent:
            self._try_later(position, reason, moment, outcome.retry_after_seconds or 1)
            return
        rule = retry_rule(reason)
        attempt = self._attempts.get(position, 0) + 1
        if outcome.final or attempt >= rule.attempts:
            self._finish(position, FAILED)
            return
        self._attempts[position] = attempt
        delay = rule.delay_after(attempt) * self._retry_unit.total_seconds()
        self._try_later(position, reason, moment, max(delay, outcome.retry_after_seconds or 0))

    def _try_later(self, position: int, reason: Reason, moment: datetime, seconds: float) -> None:
        self._states[position] = ord(PENDING)
        due = moment + timedelta(seconds=seconds)
        retry = Retry(position=position, due=due, reason=reason)
        heapq.heappush(self._later, (retry.due, position, retry))

    def fail_the_rest(self) -> None:
        """Give up everything that has not ended."""
        for position, state in enumerate(self._states):
            if state in (ord(PENDING), ord(PROCESSING)):
                self._finish(position, FAILED)
        self._ready.clear()
        self._later.clear()

    def _finish(self, position: int, state: str) -> None:
        self._states[position] = ord(state)
        self._attempts.pop(position, None)
