"""The documents of one job: the state of each, the order of requests, and the retries.

Plain data without a clock, so it is tested without Temporal. The queue cannot know whether the
source works: `unconfirmed` returns the attempts that count only if it does, and the workflow checks
the source.
"""

from bisect import insort
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from operator import attrgetter

from autos.contracts.download import (
    AVAILABLE,
    DOUBTFUL,
    FAILED,
    PENDING,
    PROCESSING,
    BatchDocument,
    DocumentOutcome,
)
from autos.contracts.job_state import JobState, Retry
from autos.contracts.reasons import Reason
from autos.contracts.retries import OUTAGES, retry_rule

_DUE = attrgetter("due", "position")
_OUTAGE_SIGNS = OUTAGES | {Reason.CREDENTIAL}


def unconfirmed(outcomes: list[DocumentOutcome]) -> list[DocumentOutcome]:
    """The outcomes of a batch whose attempts count only if the source works.

    These are all outcomes when the batch looks like an outage, otherwise those that refused the
    credential, which may concern these documents alone.
    """
    if looks_like_outage(outcomes):
        return outcomes
    return [outcome for outcome in outcomes if outcome.reason is Reason.CREDENTIAL]


def looks_like_outage(outcomes: list[DocumentOutcome]) -> bool:
    """True when every outcome is a sign of an outage, which the next batch may meet as well."""
    return all(outcome.reason in _OUTAGE_SIGNS for outcome in outcomes)


class DocumentQueue:
    """Every document by position, and the order in which the rest is downloaded.

    Only that order is kept here. Everything else is in the job's state, which is changed in place.
    """

    def __init__(self, state: JobState, retry_unit: timedelta) -> None:
        self.state = state
        self._retry_unit = retry_unit
        # Documents in flight when a run ended are requested again. If their batch did finish, the
        # activity finds them in the records.
        state.states = state.states.replace(PROCESSING, PENDING)
        waiting = {retry.position for retry in state.retries}
        self._ready = deque(
            position for position in self._all_in(PENDING) if position not in waiting
        )

    @property
    def next_due(self) -> datetime | None:
        """When the next retry is due; None when there is none."""
        return self.state.retries[0].due if self.state.retries else None

    @property
    def ready(self) -> int:
        """How many documents can be requested now."""
        return len(self._ready)

    @property
    def ended(self) -> int:
        """How many documents have ended, available or failed."""
        return self.count(AVAILABLE) + self.count(DOUBTFUL) + self.count(FAILED)

    def count(self, letter: str) -> int:
        """How many documents are in the state with this character."""
        return self.state.states.count(letter)

    def reset(self, states: str) -> None:
        """Start with these documents, with no attempt made."""
        self.state.states = states
        self.state.tried, self.state.retries = {}, []
        self._ready = deque(self._all_in(PENDING))

    def make_due_ready(self, now: datetime) -> None:
        """Append every document whose retry is due to the ready ones."""
        retries = self.state.retries
        while retries and retries[0].due <= now:
            self._ready.append(retries.pop(0).position)

    def make_all_ready(self) -> None:
        """Append every document that waits for a retry to the ready ones, due or not."""
        self._ready.extend(retry.position for retry in self.state.retries)
        self.state.retries.clear()

    def retry_failed(self) -> None:
        """Append every failed or doubtful document to the ready ones."""
        for position in self._all_in(FAILED + DOUBTFUL):
            self._set(position, PENDING)
            self._ready.append(position)

    def take(self, size: int) -> list[BatchDocument]:
        """Set at most `size` ready documents to `processing` and return them."""
        taken: list[BatchDocument] = []
        while self._ready and len(taken) < size:
            position = self._ready.popleft()
            self._set(position, PROCESSING)
            taken.append(self._document(position))
        return taken

    def release(self, outcomes: Iterable[DocumentOutcome]) -> None:
        """Take documents out of `processing` until it is known whether their attempts count."""
        for outcome in outcomes:
            self._set(outcome.position, PENDING)

    def requeue(self, outcomes: Iterable[DocumentOutcome]) -> None:
        """Put released documents at the front of the ready ones; their attempt is not counted."""
        self._ready.extendleft(reversed([outcome.position for outcome in outcomes]))

    def settle(self, outcome: DocumentOutcome, now: datetime) -> None:
        """Apply the outcome of an attempt that ended at `now`."""
        position, reason = outcome.position, outcome.reason
        if reason is None:
            self._finish(position, DOUBTFUL if outcome.doubt else AVAILABLE)
            return
        if outcome.unsent:
            self._retry_later(position, reason, now, outcome.retry_after_seconds or 1)
            return
        if outcome.final or self._document(position).is_last(reason):
            self._finish(position, FAILED)
            return
        tried = self.state.tried.setdefault(position, {})
        tried[reason] = tried.get(reason, 0) + 1
        delay = retry_rule(reason).delay_after(tried[reason]) * self._retry_unit.total_seconds()
        self._retry_later(position, reason, now, max(delay, outcome.retry_after_seconds or 0))

    def fail_unfinished(self) -> None:
        """Fail every document that has not ended."""
        self.reset(self.state.states.translate(str.maketrans(PENDING + PROCESSING, FAILED * 2)))

    def _document(self, position: int) -> BatchDocument:
        return BatchDocument(position=position, tried=self.state.tried.get(position, {}))

    def _all_in(self, letters: str) -> list[int]:
        return [at for at, letter in enumerate(self.state.states) if letter in letters]

    def _retry_later(self, position: int, reason: Reason, now: datetime, seconds: float) -> None:
        self._set(position, PENDING)
        retry = Retry(position=position, due=now + timedelta(seconds=seconds), reason=reason)
        insort(self.state.retries, retry, key=_DUE)

    def _finish(self, position: int, letter: str) -> None:
        self._set(position, letter)
        self.state.tried.pop(position, None)

    def _set(self, position: int, letter: str) -> None:
        states = self.state.states
        self.state.states = states[:position] + letter + states[position + 1 :]
