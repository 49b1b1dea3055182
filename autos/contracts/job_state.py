"""The state of a running job, which `DownloadProcessWorkflow` keeps.

A run changes it in place and passes the same object to the next run when it continues as new.
Positions, ids, counts, reasons and times only.
"""

from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel, Field

from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.states import JobStatus

_HALF_LIFE_SECONDS: Final = 60.0
"""Half-life of work in the pace."""


class Retry(BaseModel):
    """One document that will be retried."""

    position: int
    due: datetime
    reason: Reason


class Wait(BaseModel):
    """What a stalled job is waiting for."""

    waiting_for: WaitReason
    since: datetime
    until: datetime | None = None
    """When the job gives up; None where the wait has no limit."""


class Pace(BaseModel):
    """The number of documents that end per second of work; recent work weighs most.

    Time without a batch in flight, such as a wait, is not counted as work.
    """

    documents: float = 0.0
    seconds: float = 0.0
    since: datetime | None = None
    """The start of the work that is not counted yet; None while there is none."""
    uncounted: int = 0

    @property
    def per_second(self) -> float | None:
        """Documents per second; None while there is nothing to measure."""
        return self.documents / self.seconds if self.documents and self.seconds else None

    def work(self, now: datetime) -> None:
        """Record that work starts or continues."""
        self.since = self.since or now

    def rest(self) -> None:
        """Record that no batch is in flight."""
        self.since = None

    def count(self, documents: int, now: datetime) -> None:
        """Add documents that have ended."""
        self.uncounted += documents
        passed = (now - self.since).total_seconds() if self.since else 0.0
        if self.uncounted and passed > 0:
            weight = 0.5 ** (passed / _HALF_LIFE_SECONDS)
            self.documents = self.documents * weight + self.uncounted
            self.seconds = self.seconds * weight + passed
            self.since, self.uncounted = now, 0


class JobState(BaseModel):
    """The state of one job."""

    status: JobStatus = JobStatus.PENDING
    reason: Reason | None = None
    """Why the job waits, or why it ended as it did."""
    started_at: datetime | None = None

    states: str = ""
    """One character per document, by position (`autos.contracts.download.STATES`)."""
    tried: dict[int, dict[Reason, int]] = Field(default_factory=dict)
    """Attempts that count, by position and reason; only of documents that have not ended."""
    retries: list[Retry] = Field(default_factory=list)
    """Documents to be retried later, the soonest first."""
    batches: int = 0
    bytes_stored: int = 0
    pace: Pace = Field(default_factory=Pace)

    subscriptions: list[str] = Field(default_factory=list)
    """Subscriptions attached and not notified yet."""
    max_age_seconds: int | None = None
    """Smallest requested `max_age` not yet met by a fetch; None when all are met."""
    fetched_at: datetime | None = None
    listing_attempts: int = 0
    """Failed fetches of the metadata while the source worked, in a row."""
    next_reading_at: datetime | None = None
    """When the metadata is fetched again after such a failure."""
    again: bool = False
    """The next fetch retries what had failed, because the job was reopened or `retry_failed`."""

    wait: Wait | None = None
    """For source or credential. It continues during a pause."""
    paused_since: datetime | None = None
    nudged: bool = False
    """The next attempt is due now, because of an operator or a new credential."""

    def satisfies(self, max_age_seconds: int, now: datetime) -> bool:
        """True when the last fetched metadata is recent enough."""
        oldest = now - timedelta(seconds=max_age_seconds)
        return self.fetched_at is not None and self.fetched_at >= oldest

    def request_metadata(self, max_age_seconds: int) -> None:
        """Keep a request until a fetch satisfies it; the strictest one replaces the others."""
        if self.max_age_seconds is None or max_age_seconds < self.max_age_seconds:
            self.max_age_seconds = max_age_seconds

    def changed_by(self, subscription_id: str | None, max_age_seconds: int, now: datetime) -> bool:
        """True if attaching with these arguments would change anything."""
        new_subscription = subscription_id is not None and subscription_id not in self.subscriptions
        return new_subscription or not (
            self.satisfies(max_age_seconds, now)
            or (self.max_age_seconds is not None and self.max_age_seconds <= max_age_seconds)
        )
