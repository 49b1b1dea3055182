"""Everything a running job knows: the live state of `DownloadProcessWorkflow`.

A run works on it in place and hands the same object to the next when it continues as new, so
nothing is copied in or out. Positions, ids, counts, reasons and times only.
"""

from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel, Field

from autos.contracts.states import JobStatus, Reason, WaitReason

_HALF_LIFE_SECONDS: Final = 60.0
"""Work that long ago counts half in the pace."""


class Retry(BaseModel):
    """One document that will be asked for again."""

    position: int
    due: datetime
    reason: Reason


class Wait(BaseModel):
    """What a stalled job waits for, and since and until when."""

    waiting_for: WaitReason
    since: datetime
    until: datetime | None = None
    """When the job gives up; None where nothing ends the wait but help."""


class Pace(BaseModel):
    """How many documents end in a second of work, with the latest work weighing most.

    Time without a batch in flight, such as a wait, is no work.
    """

    documents: float = 0.0
    seconds: float = 0.0
    since: datetime | None = None
    """The start of the work that is not counted yet; None while none is done."""
    uncounted: int = 0

    @property
    def per_second(self) -> float | None:
        """Documents a second; None while nothing can be said."""
        return self.documents / self.seconds if self.documents and self.seconds else None

    def work(self, now: datetime) -> None:
        """Work begins, or goes on."""
        self.since = self.since or now

    def rest(self) -> None:
        """No work is done from here on."""
        self.since = None

    def count(self, documents: int, now: datetime) -> None:
        """So many documents have ended."""
        self.uncounted += documents
        passed = (now - self.since).total_seconds() if self.since else 0.0
        if self.uncounted and passed > 0:
            weight = 0.5 ** (passed / _HALF_LIFE_SECONDS)
            self.documents = self.documents * weight + self.uncounted
            self.seconds = self.seconds * weight + passed
            self.since, self.uncounted = now, 0


class JobState(BaseModel):
    """See the module."""

    status: JobStatus = JobStatus.PENDING
    reason: Reason | None = None
    """Why the job waits, or ended as it did."""
    started_at: datetime | None = None

    states: str = ""
    """One character per document, by position (`autos.contracts.download.STATES`)."""
    tried: dict[int, dict[Reason, int]] = Field(default_factory=dict)
    """Attempts that counted, by position and reason; only of documents that are not done."""
    retries: list[Retry] = Field(default_factory=list)
    """Documents to be asked for again later, the soonest first."""
    batches: int = 0
    bytes_stored: int = 0
    pace: Pace = Field(default_factory=Pace)

    subscriptions: list[str] = Field(default_factory=list)
    """Attached and not yet announced to."""
    max_age_seconds: int | None = None
    """The strictest request that no reading of the metadata has satisfied; None when all are."""
    fetched_at: datetime | None = None
    listing_attempts: int = 0
    """Failed readings of the metadata while the source worked, in a row."""
    next_reading_at: datetime | None = None
    """When the metadata are read again after such a failure."""
    again: bool = False
    """The next reading of the metadata lets what had failed be tried again: the job was asked for
    once more after its end, or for a retry."""

    wait: Wait | None = None
    """For source or credential. It goes on beneath a pause."""
    paused_since: datetime | None = None
    nudged: bool = False
    """Somebody says that what the job waits for works again."""

    def satisfies(self, max_age_seconds: int, now: datetime) -> bool:
        """True when the metadata as last read is young enough."""
        oldest = now - timedelta(seconds=max_age_seconds)
        return self.fetched_at is not None and self.fetched_at >= oldest

    def want_metadata(self, max_age_seconds: int) -> None:
        """Keep a request until a reading satisfies it; the strictest stands for all."""
        if self.max_age_seconds is None or max_age_seconds < self.max_age_seconds:
            self.max_age_seconds = max_age_seconds

    def changed_by(self, subscription_id: str | None, max_age_seconds: int, now: datetime) -> bool:
        """True if attaching with these arguments would change anything."""
        return (subscription_id is not None and subscription_id not in self.subscriptions) or not (
            self.satisfies(max_age_seconds, now)
            or (self.max_age_seconds is not None and self.max_age_seconds <= max_age_seconds)
        )
