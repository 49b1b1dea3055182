"""The documents of one job: which state each is in, which is asked for next and when again.

Plain data and no clock of its own, so it is tested without Temporal. Whether the source itself is
out of order it cannot know: `in_doubt` says which attempts count only if it works, and the
workflow finds that out.
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
    Outcome,
    Wanted,
)
from autos.contracts.job_state import JobState, Retry
from autos.contracts.retries import OUTAGES, retry_rule
from autos.contracts.states import Reason

_DUE = attrgetter("due", "position")
_SIGNS = OUTAGES | {Reason.CREDENTIAL}


def in_doubt(outcomes: list[Outcome]) -> list[Outcome]:
    """The outcomes of a batch whose attempts count only if the source itself works.

    All of them when there is nothing else than signs of an outage; otherwise the refusals of the
    credential, which may concern these documents alone.
    """
    if speaks_for_all(outcomes):
        return outcomes
    return [outcome for outcome in outcomes if outcome.reason is Reason.CREDENTIAL]


def speaks_for_all(outcomes: list[Outcome]) -> bool:
    """True when a batch shows nothing but signs of an outage: the next one may meet it, too."""
    return all(outcome.reason in _SIGNS for outcome in outcomes)


class DocumentQueue:
    """Every document by position, one character each, and the order of what is still to do.

    Everything but that order lives in the job's state, which is changed in place.
    """

    def __init__(self, state: JobState, retry_unit: timedelta) -> None:
        self.state = state
        self._retry_unit = retry_unit
        # What was in flight when a run ended is asked for again; a batch that did finish left its
        # documents in the records, where the activity finds them.
        state.states = state.states.replace(PROCESSING, PENDING)
        waiting = {retry.position for retry in state.retries}
        self._ready = deque(
            position for position in self._all_in(PENDING) if position not in waiting
        )

    @property
    def next_due(self) -> datetime | None:
        """When the next retry is due; None when none waits."""
        return self.state.retries[0].due if self.state.retries else None

    @property
    def ready(self) -> int:
        """How many documents can be asked for at once."""
        return len(self._ready)

    @property
    def ended(self) -> int:
        """How many documents have ended, well or not."""
        return self.count(AVAILABLE) + self.count(DOUBTFUL) + self.count(FAILED)

    def count(self, letter: str) -> int:
        """How many documents are in the state with this character."""
        return self.state.states.count(letter)

    def reset(self, states: str) -> None:
        """Begin with these documents; nothing of them has been tried."""
        self.state.states = states
        self.state.attempts, self.state.mismatches, self.state.unstored = {}, {}, {}
        self.state.retries = []
        self._ready = deque(self._all_in(PENDING))

    def make_due_ready(self, moment: datetime) -> None:
        """Put every retry whose time has come behind what is ready."""
        retries = self.state.retries
        while retries and retries[0].due <= moment:
            self._ready.append(retries.pop(0).position)

    def make_all_ready(self) -> None:
        """Put every retry behind what is ready, whenever it was due."""
        self._ready.extend(retry.position for retry in self.state.retries)
        self.state.retries.clear()

    def retry_failed(self) -> None:
        """Put everything that has failed or is in doubt behind what is ready."""
        for position in self._all_in(FAILED + DOUBTFUL):
            self._set(position, PENDING)
            self._ready.append(position)

    def take(self, size: int) -> list[Wanted]:
        """The next documents, at most `size`, now `processing`."""
        taken: list[Wanted] = []
        while self._ready and len(taken) < size:
            position = self._ready.popleft()
            self._set(position, PROCESSING)
            taken.append(self._wanted(position))
        return taken

    def release(self, outcomes: Iterable[Outcome]) -> None:
        """Take documents out of `processing` while it is in doubt whether their attempts count."""
        for outcome in outcomes:
            self._set(outcome.position, PENDING)

    def put_back(self, outcomes: Iterable[Outcome]) -> None:
        """Released documents come first again, with no attempt counted."""
        self._ready.extendleft(reversed([outcome.position for outcome in outcomes]))

    def settle(self, outcome: Outcome, moment: datetime) -> None:
        """Take in what became of a document at the given moment."""
        position, reason = outcome.position, outcome.reason
        if reason is None:
            self._finish(position, DOUBTFUL if outcome.doubt else AVAILABLE)
            return
        if outcome.unsent:
            self._try_later(position, reason, moment, outcome.retry_after_seconds or 1)
            return
        tried = self._wanted(position)
        if outcome.final or tried.is_last(reason):
            self._finish(position, FAILED)
            return
        counted = tried.counted(reason)
        if reason is Reason.STORAGE:
            self.state.unstored[position] = counted
        else:
            self.state.attempts[position] = tried.attempt
        if reason is Reason.SIZE_MISMATCH:
            self.state.mismatches[position] = counted
        delay = retry_rule(reason).delay_after(counted) * self._retry_unit.total_seconds()
        self._try_later(position, reason, moment, max(delay, outcome.retry_after_seconds or 0))

    def fail_the_rest(self) -> None:
        """Give up everything that has not ended."""
        self.reset(self.state.states.translate(str.maketrans(PENDING + PROCESSING, FAILED * 2)))

    def _wanted(self, position: int) -> Wanted:
        return Wanted(
            position=position,
            attempt=self.state.attempts.get(position, 0) + 1,
            mismatches=self.state.mismatches.get(position, 0),
            unstored=self.state.unstored.get(position, 0),
        )

    def _all_in(self, letters: str) -> list[int]:
        return [at for at, letter in enumerate(self.state.states) if letter in letters]

    def _try_later(self, position: int, reason: Reason, moment: datetime, seconds: float) -> None:
        self._set(position, PENDING)
        retry = Retry(position=position, due=moment + timedelta(seconds=seconds), reason=reason)
        insort(self.state.retries, retry, key=_DUE)

    def _finish(self, position: int, letter: str) -> None:
        self._set(position, letter)
        self.state.attempts.pop(position, None)
        self.state.mismatches.pop(position, None)
        self.state.unstored.pop(position, None)

    def _set(self, position: int, letter: str) -> None:
        states = self.state.states
        self.state.states = states[:position] + letter + states[position + 1 :]
